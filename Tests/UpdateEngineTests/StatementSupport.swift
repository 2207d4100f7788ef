import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Transfer
import Trust

@testable import UpdateEngine

/// A small document in memory; it can be told to fail, and remembers every version.
final class MemoryDocument: KeptDocument, @unchecked Sendable {
    var bytes: [UInt8]?
    var failWrites = false
    func read() throws(SystemError) -> [UInt8]? { bytes }
    func write(_ bytes: [UInt8]) throws(SystemError) {
        if failWrites { throw SystemError(number: 5, operation: "write", subject: "document") }
        self.bytes = bytes
    }
}

/// Opens files of the test's directory.
final class FolderOpener: SourceOpener {
    func open(_ location: String) throws(TransferError) -> any BundleSource { try FileSource(path: location) }
}

/// A test device whose trust root gives all roles away.
struct StatementDevice {
    let device: TestDevice
    let root: SigningKey
    var anna: SigningKey
    let ben: SigningKey
    let book = MemoryDocument()
    let kept = MemoryDocument()

    init() throws {
        device = try TestDevice()
        root = try SigningKey.generate()
        anna = try SigningKey.generate()
        ben = try SigningKey.generate()
        device.overrides = book
        device.trust = try TrustStore(rootFile: rootFile())
    }

    /// A root with Anna and Ben in the role override, and Anna in the role channel.
    func rootFile(version: UInt32 = 1, floor: UInt32 = 0, revoked: [Digest] = []) throws -> [UInt8] {
        let names = [(root, "root"), (device.key, "release"), (anna, "anna"), (ben, "ben")]
        let document = try TrustRoot(
            version: version, environment: .dev, created: 1_600_000_000,
            keys: names.map { TrustRoot.Key($0.0.publicKey, name: $0.1) },
            roles: [
                TrustRoot.Role(.root, keys: [root.publicKey.id], threshold: 1),
                TrustRoot.Role(.release, keys: [device.key.publicKey.id], threshold: 1),
                TrustRoot.Role(.override, keys: [anna.publicKey.id, ben.publicKey.id], threshold: 2),
                TrustRoot.Role(.channel, keys: [anna.publicKey.id], threshold: 1),
            ], revoked: revoked, floor: floor)
        return try RootDocument.sign(document, by: [root])
    }

    func sign<S: Statement>(_ statement: S?, by keys: [SigningKey]) throws -> [UInt8] {
        guard let statement else { throw EngineError.interrupted }
        var file = StatementSignatures(draft: statement)
        for key in keys { try file.sign(with: key) }
        return file.bytes
    }

    func digest(_ bundle: String) throws -> Digest {
        try UnverifiedHead(inspecting: FileSystem.read(bundle, limit: 1 << 26)).manifestDigest
    }

    /// Installs, boots and confirms a release; its bundle.
    @discardableResult
    func run(_ id: String, sequence: UInt64, security: UInt32, extra: String = "") throws -> String {
        let image = TestDevice.image(seed: sequence, megabytes: 1)
        let bundle = try device.bundle(
            id, sequence: sequence, security: security, images: [("rootfs", image)], extra: extra)
        try device.engine().install(bundle)
        try device.powerOn()
        try device.engine().recover()
        guard try device.boot.load().phase == .confirmed else { throw EngineError.interrupted }
        return bundle
    }

    /// The failure of an installation.
    func refusal(_ bundle: String, id: String? = nil, override: [UInt8]? = nil) throws -> Failure? {
        do {
            try device.engine().install(bundle, id: id, override: override)
            return nil
        } catch { return error }
    }
}
