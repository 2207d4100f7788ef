import BootControl
import BundleFormat
import Foundation
import Platform
import Testing

/// A fresh directory that goes with its owner.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/kedge-boot-\(UUID().uuidString)"
        try FileSystem.makeDirectories(path, mode: 0o700)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
}

/// Programs that some tests compare against.
enum Tool {
    static func exists(_ names: String...) -> Bool {
        let path = (ProcessInformation.environment("PATH") ?? "") + ":/usr/sbin:/sbin"
        return names.allSatisfy { name in
            path.split(separator: ":").contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }
        }
    }

    /// Runs a program that must succeed, and gives its output.
    @discardableResult
    static func run(_ arguments: String...) throws -> String {
        let outcome = try ChildProcess.run(arguments, milliseconds: 30_000)
        try #require(outcome.succeeded, "\(arguments): \(outcome.output)")
        return outcome.output
    }
}

/// Whole files as bytes.
enum Bytes {
    static func read(_ path: String) throws -> [UInt8] { try FileSystem.read(path, limit: 1 << 26) }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try Descriptor(open: path, [.write, .create, .truncate])
        try file.write(bytes.rawBytes, at: 0)
    }

    /// Changes one byte in place.
    static func set(_ byte: UInt8, at index: Int, of path: String) throws {
        try Descriptor(open: path, [.write]).write([byte].rawBytes, at: UInt64(index))
    }

    static func fixture(_ name: String) throws -> [UInt8] {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try read(root.path + "/Fixtures/" + name)
    }
}

extension Digest {
    /// A digest whose bytes count up from `first`.
    static func counting(from first: UInt8) -> Digest {
        guard let digest = Digest(hex: Hex.encode((0..<32).map { first &+ $0 })) else { preconditionFailure() }
        return digest
    }
}

extension BootRecord {
    /// A record in which every field differs from its default.
    static let full = BootRecord(
        revision: 0x0102_0304_0506_0708, active: .b, phase: .trial, triesLeft: 3, userSpaceBoots: 2,
        reason: .healthFailed, attempt: "rollout-2026/11#7",
        slotA: SlotRecord(
            state: .good, manifest: .counting(from: 0x20), sequence: 0x1112_1314_1516_1718,
            securityVersion: 0x2122_2324),
        slotB: SlotRecord(
            state: .trial, manifest: .counting(from: 0x60), sequence: 0x3132_3334_3536_3738,
            securityVersion: 0x4142_4344),
        floor: 0x5152_5354, acceptedSequence: 0x6162_6364_6566_6768)

    /// The same with another revision, for comparing with what a home gives back.
    func revised(_ revision: UInt64) -> BootRecord {
        var copy = self
        copy.revision = revision
        return copy
    }
}

/// A loop device over a file, detached at the latest with its owner.
final class LoopDevice {
    let path: String
    private var isAttached = true

    /// Whether this machine lets us make one.
    static let works: Bool = {
        guard Tool.exists("losetup"), ProcessInformation.user == 0 else { return false }
        return (try? ChildProcess.run(["losetup", "-f"], milliseconds: 10_000))?.succeeded ?? false
    }()

    init(_ file: String) throws {
        path = try Tool.run("losetup", "-f", "--show", file).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    func detach() throws {
        if isAttached { try Tool.run("losetup", "-d", path) }
        isAttached = false
    }

    deinit { try? detach() }
}
