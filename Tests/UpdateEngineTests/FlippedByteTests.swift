import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Testing
import Trust

@testable import UpdateEngine

/// Every single byte of a small but whole bundle, changed in every way that is tried, against the shipped engine.
@Suite("A change of any byte of a bundle")
struct FlippedByteTests {
    private let device: TestDevice
    private let bundle: [UInt8]
    private let header: BundleHeader
    /// What the release writes: slot name and image.
    private let images: [(name: String, bytes: [UInt8])]
    private let empty = [UInt8](repeating: 0xa5, count: 16_384)

    /// Two components; windows of 4096 bytes: zstd, zero and stored ones, and short last ones.
    init() throws {
        device = try TestDevice()
        let text = Array(String(repeating: "the same again and again. ", count: 158).utf8.prefix(4096))
        images = [
            ("rootfs", text + [UInt8](repeating: 0, count: 4096) + noise(300, seed: 3)),
            ("bios", Array(text.reversed()) + noise(200, seed: 4)),
        ]
        let made = try SmallBundle.make(images, by: device.key)
        bundle = made
        header = try BundleHeader.decode(made.rawBytes)
        try clear()
    }

    private func clear() throws {
        for (name, _) in images {
            for set in SlotSet.allCases { try FileSystem.replace(device.slotPath(name, set), with: empty) }
        }
    }

    /// Installs these bytes as a new device would; `installed` or the code of the refusal.
    private func outcome(_ bytes: [UInt8]) throws -> String {
        let path = device.directory + "/flipped.kedge"
        try Descriptor(open: path, [.read, .write, .create]).write(bytes.rawBytes, at: 0)
        device.boot.records = [BootRecord()]
        device.state.journal = [nil, nil]
        device.state.heads = [:]
        do throws(Failure) {
            try device.engine().install(path)
            return "installed"
        } catch { return error.code }
    }

    private static let isNightly = ProcessInfo.processInfo.environment["KEDGE_NIGHTLY"] == "1"

    /// What a byte becomes: one flipped bit, another one at each place; at night every bit, and the values at which
    /// numbers and texts break.
    private static func changes(of byte: UInt8, at place: Int) -> [UInt8] {
        if !isNightly { return [byte ^ 1 << UInt8(place % 8)] }
        var values = (0..<8).map { byte ^ 1 << UInt8($0) }
        for value in [~byte, byte &+ 1, byte &- 1, 0, 0x7f, 0xff, 0x22] where value != byte {
            if !values.contains(value) { values.append(value) }
        }
        return values
    }

    @Test("The bundle as it is goes in, with all of its bytes")
    func control() throws {
        #expect(try outcome(bundle) == "installed")
        for (name, bytes) in images {
            #expect(Array(try device.contents(name, .b).prefix(bytes.count)) == bytes)
        }
        let kinds = Set(try UnverifiedHead(inspecting: bundle).manifest.components.map(\.kind))
        #expect(kinds == [.rootfs, .bios] && bundle.count < 4096)
    }

    @Test("is refused; of the head and the end before a byte of a slot is written, of the payload before its window is")
    func everyByte() throws {
        let payload = Int(header.payloadOffset)..<Int(header.endOffset)
        var count = 0
        for place in bundle.indices {
            for value in Self.changes(of: bundle[place], at: place) {
                var changed = bundle
                changed[place] = value
                let code = try outcome(changed)
                count += 1
                #expect(code != "installed", "byte \(place) as \(value)")
                #expect(try device.boot.load().active == .a && device.boot.load().acceptedSequence == 0)
                try checkSlots(wasInPayload: payload.contains(place), "byte \(place) as \(value): \(code)")
            }
        }
        #expect(count >= bundle.count * (Self.isNightly ? 12 : 1))
        try Attack("MEN-1412", "any changed byte of a bundle").record(
            "refused, \(count) of \(count) changes of \(bundle.count) bytes")
    }

    /// The running slots are as they were, and no byte of a spare slot is one that the release does not put there.
    private func checkSlots(wasInPayload: Bool, _ what: String) throws {
        var touched = false
        for (name, image) in images {
            #expect(try device.contents(name, .a) == empty, "\(what): the running slot was written")
            let spare = try device.contents(name, .b)
            if spare == empty { continue }
            touched = true
            for (index, byte) in spare.enumerated() where byte != empty[index] {
                // Behind the image the tail is zeroed, in the end.
                let right = index < image.count ? image[index] : 0
                if byte != right { Issue.record("\(what): byte \(index) of \(name) is none of the release's") }
            }
        }
        #expect(!touched || wasInPayload, "\(what): a slot was written")
        if touched { try clear() }
    }
}

/// A bundle of the format's own encoders, with windows of 4096 bytes.
private enum SmallBundle {
    static func make(_ images: [(name: String, bytes: [UInt8])], by key: SigningKey) throws -> [UInt8] {
        var payload: [UInt8] = []
        var tables: [UInt8] = []
        var components: [Component] = []
        for (name, image) in images {
            var windows: [WindowEntry] = []
            for start in stride(from: 0, to: image.count, by: 4096) {
                let plain = Array(image[start..<min(start + 4096, image.count)])
                if plain.allSatisfy({ $0 == 0 }) {
                    windows.append(
                        WindowEntry(
                            codec: .zero, plainDigest: SHA256.digest(of: plain), storedDigest: SHA256.digest(of: plain),
                            storedOffset: 0, storedLength: 0))
                    continue
                }
                let packed = try zstd(plain)
                let stored = packed.count < plain.count ? packed : plain
                windows.append(
                    WindowEntry(
                        codec: packed.count < plain.count ? .zstd : .stored, plainDigest: SHA256.digest(of: plain),
                        storedDigest: SHA256.digest(of: stored), storedOffset: UInt64(payload.count),
                        storedLength: stored.count))
                payload += stored
            }
            let table = try ChunkTable(windowSize: 4096, imageSize: UInt64(image.count), windows: windows).encode()
            components.append(
                Component(
                    id: try #require(Identifier(name)), kind: name == "bios" ? .bios : .rootfs,
                    target: try #require(Identifier(name)),
                    version: nil,
                    size: UInt64(image.count), digest: SHA256.digest(of: image), windowSize: 4096,
                    table: TableReference(
                        offset: tables.count, length: table.count, digest: SHA256.digest(of: table)),
                    verityRoot: nil))
            tables += table
        }
        let manifest = Manifest(
            releaseID: "flip", version: "1", sequence: 5, securityVersion: 1,
            product: Product(vendor: "acme", deviceClass: "edge", hardware: 1...3),
            minimumUpdater: try #require(DottedVersion("0.1.0")), created: 1_650_000_000, notBefore: nil, expires: nil,
            update: .feature, advisories: [], sbomDigest: nil, sbomFormat: nil, components: components,
            reboot: .automatic, healthDeadline: 60, tablesLength: tables.count, payloadLength: UInt64(payload.count),
            meta: []
        ).bytes
        let message = SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: manifest)
        let section = try SignatureSection([
            ManifestSignature(algorithm: 1, keyID: key.publicKey.id, signature: try key.sign(message))
        ]).encode()
        let header = try BundleHeader(
            envelopeLength: section.count, manifestLength: manifest.count, tablesLength: tables.count,
            payloadLength: UInt64(payload.count))
        return header.encode() + section + manifest + tables + payload + header.encodeEnd()
    }

    /// A frame of the zstd program.
    private static func zstd(_ plain: [UInt8]) throws -> [UInt8] {
        let directory = FileManager.default.temporaryDirectory.path + "/kedge-zstd-\(UUID().uuidString)"
        try FileSystem.makeDirectories(directory, mode: 0o700)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileSystem.replace(directory + "/plain", with: plain)
        let outcome = try ChildProcess.run(
            ["zstd", "-q", "-19", "--no-check", directory + "/plain", "-o", directory + "/frame"],
            milliseconds: 60_000)
        guard outcome.succeeded else { return plain }
        return try FileSystem.read(directory + "/frame", limit: 1 << 16)
    }
}
