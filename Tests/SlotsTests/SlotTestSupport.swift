import BundleFormat
import Foundation
import Platform
import Slots
import Testing

@testable import Payload

/// A fresh directory that goes with its owner.
final class TemporaryDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/kedge-slots-\(UUID().uuidString)"
        try FileSystem.makeDirectories(path, mode: 0o700)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
}

/// Programs of the machine.
enum Tool {
    static func exists(_ name: String) -> Bool {
        let path = (ProcessInformation.environment("PATH") ?? "") + ":/usr/sbin:/sbin"
        return path.split(separator: ":").contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }
    }

    /// Runs a program that must succeed, and gives its output without white space around it.
    @discardableResult
    static func run(_ arguments: String...) throws -> String {
        let outcome = try ChildProcess.run(arguments, milliseconds: 30_000)
        try #require(outcome.succeeded, "\(arguments): \(outcome.output)")
        return outcome.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// Whole files as bytes.
enum Bytes {
    static func read(_ path: String) throws -> [UInt8] {
        let file = try Descriptor(open: path, [.read])
        return try file.readBytes(at: 0, count: Int(file.size()))
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        try Descriptor(open: path, [.write, .create, .truncate]).write(bytes.rawBytes, at: 0)
    }

    /// Bytes in which no two blocks are alike.
    static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        var words = [UInt64](repeating: 0, count: count / 8 + 1)
        for index in words.indices {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            words[index] = state
        }
        return words.withUnsafeBytes { Array($0.prefix(count)) }
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
    static let need: Comment = "needs root, losetup and a free loop device"

    init(_ file: String, sectorSize: Int = 512) throws {
        path = try Tool.run("losetup", "-f", "--show", "-b", String(sectorSize), file)
    }

    func detach() throws {
        if isAttached { try Tool.run("losetup", "-d", path) }
        isAttached = false
    }

    deinit { try? detach() }
}

/// A mounted file system, unmounted at the latest with its owner.
final class MountedFileSystem {
    let path: String
    private var isMounted = false

    /// Whether this machine lets us mount.
    static let works: Bool = {
        guard Tool.exists("mount"), ProcessInformation.user == 0, let directory = try? TemporaryDirectory() else {
            return false
        }
        return (try? MountedFileSystem(type: "tmpfs", at: directory("probe"))) != nil
    }()
    static let need: Comment = "needs root and permission to mount"

    init(type: String, source: String = "none", options: String = "rw", at path: String) throws {
        self.path = path
        try FileSystem.makeDirectories(path)
        try Tool.run("mount", "-t", type, "-o", options, source, path)
        isMounted = true
    }

    func unmount() throws {
        if isMounted { try Tool.run("umount", path) }
        isMounted = false
    }

    deinit { try? unmount() }
}

/// An image and the component that describes it.
struct Image {
    let component: Component
    let bytes: [UInt8]

    init(
        _ bytes: [UInt8], id: String = "rootfs", kind: ComponentKind = .rootfs, windowSize: Int = 65536,
        version: String? = nil
    ) throws {
        self.bytes = bytes
        let digest = SHA256.digest(of: bytes)
        component = Component(
            id: try #require(Identifier(id)), kind: kind, target: try #require(Identifier(id)), version: version,
            size: UInt64(bytes.count), digest: digest, windowSize: windowSize,
            table: TableReference(offset: 0, length: 0, digest: digest), verityRoot: nil)
    }

    var windowCount: Int { (bytes.count + component.windowSize - 1) / component.windowSize }

    /// A window as the decoder would give it: zeros behind its bytes up to a multiple of 4096, and other bytes
    /// behind those.
    func window(_ index: Int) throws -> VerifiedWindow {
        let start = index * component.windowSize
        let part = Array(bytes[start..<min(start + component.windowSize, bytes.count)])
        let buffer = try AlignedBuffer(capacity: component.windowSize + 4096)
        buffer.fill(0xee, from: 0, to: buffer.capacity)
        buffer.copy(part.rawBytes, to: 0)
        buffer.zero(from: part.count, to: (part.count + 4095) / 4096 * 4096)
        return VerifiedWindow(
            component: component.id, index: index, offset: UInt64(start), length: part.count, buffer: buffer)
    }

    func write(_ index: Int, to slot: any Slot) throws { try slot.write(window(index)) }

    /// Opens, writes all windows, flushes and seals.
    func install(in slot: any Slot) throws {
        try slot.check(component)
        try slot.open(component)
        for index in 0..<windowCount { try write(index, to: slot) }
        try slot.flush()
        try slot.seal(component)
    }

    /// All bytes of the image as the open slot gives them.
    func readBack(from slot: any Slot) throws -> [UInt8] {
        let buffer = try AlignedBuffer(capacity: component.windowSize)
        var out: [UInt8] = []
        while out.count < bytes.count {
            let wanted = min(component.windowSize, bytes.count - out.count)
            let count = try slot.read(at: UInt64(out.count), count: wanted, into: buffer)
            if count == 0 { break }
            out += [UInt8](copying: buffer.bytes.extracting(0..<count))
        }
        return out
    }
}

/// What went wrong on other threads.
final class Failures: @unchecked Sendable {
    private let monitor = Monitor()
    private var found: [String] = []
    var all: [String] { monitor.locked { found } }

    func catching(_ body: () throws -> Void) {
        do { try body() } catch { monitor.locked { found.append("\(error)") } }
    }
}
