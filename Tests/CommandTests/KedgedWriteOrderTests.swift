import Foundation
import Platform
import Testing

/// The order in which writes and flushes reach a block device, as nbdkit's log filter saw them: the contract that the
/// crash explorer assumes of the real slots and the real record.
@Suite("kedged: order of writes", Needs.partitioner, Needs.loggedDevice)
struct KedgedWriteOrderTests {
    /// One line of the log.
    private enum Request: Equatable {
        case read(Range<UInt64>)
        case write(Range<UInt64>)
        case flush

        /// From `… Write id=140 offset=0x180000 count=0x4000 fua=0 ...`; nil for an answer.
        init?(_ line: Substring) {
            let words = line.split(separator: " ")
            guard words.count > 3, words.last == "..." else { return nil }
            func number(_ name: String) -> UInt64? {
                words.first { $0.hasPrefix(name + "=0x") }.flatMap { UInt64($0.dropFirst(name.count + 3), radix: 16) }
            }
            let range = number("offset").flatMap { offset in number("count").map { offset..<(offset + $0) } }
            switch (words[3], range) {
            case ("Read", let range?): self = .read(range)
            case ("Write", let range?): self = .write(range)
            case ("Flush", _): self = .flush
            default: return nil
            }
        }
        var written: Range<UInt64>? { if case .write(let range) = self { range } else { nil } }
    }

    @Test("the record says writing first, each image is flushed before the record arms it, and that write is the last")
    func order() throws {
        let gateway = try FieldGateway(boot: "uboot")
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", FieldGateway.image(megabytes: 12))]))
        let slot = try gateway.place("rootfs", "b")
        let log = try logged(gateway) { try gateway.works("install", bundle) }
        let requests = log.split(separator: "\n").compactMap { Request($0) }
        let slotRange = slot.offset..<(slot.offset + slot.size)
        let environments: [Range<UInt64>] = [1_048_576, 1_572_864].map { $0..<($0 + 16384) }
        let writes = requests.indices.filter { requests[$0].written != nil }
        let toSlot = writes.filter { slotRange.overlaps(requests[$0].written ?? 0..<0) }
        let toRecord = writes.filter { index in environments.contains { $0.overlaps(requests[index].written ?? 0..<0) }
        }
        // Nothing else of the disk is written, and each write lies within one of the two.
        #expect(toSlot.count + toRecord.count == writes.count)
        for index in toSlot { #expect(slotRange.contains(try #require(requests[index].written?.lowerBound))) }
        // More than one epoch of 8 MiB.
        #expect(toSlot.count > 8)
        #expect(toRecord.count == 2)
        let (first, last) = (try #require(toRecord.first), try #require(toRecord.last))
        #expect(first == writes.first && last == writes.last)
        #expect(requests[first] != requests[last], "the newest copy is never the one that is overwritten")
        let (slotFirst, slotLast) = (try #require(toSlot.first), try #require(toSlot.last))
        #expect(requests[first..<slotFirst].contains(.flush))
        #expect(requests[slotLast..<last].contains(.flush))
        // Within the image, too, epochs are flushed.
        #expect(requests[slotFirst..<slotLast].contains(.flush))
        // The switch is flushed and read back.
        let after = requests[(last + 1)...]
        let flush = try #require(after.firstIndex(of: .flush))
        let armed = try #require(requests[last].written)
        #expect(after[flush...].contains(.read(armed)))
        // And the whole image was read back from the medium before it.
        var back: UInt64 = 0
        for case .read(let range) in requests[slotLast..<last] where slotRange.overlaps(range) {
            back += UInt64(range.count)
        }
        #expect(back >= 12 << 20)
    }

    /// Gives the gateway its disk through nbdkit while `body` runs; the log.
    private func logged(_ gateway: FieldGateway, _ body: () throws -> Void) throws -> String {
        let mount = gateway.directory("mount")
        let log = gateway.directory("nbd.log")
        try FileSystem.makeDirectories(mount)
        let disk = gateway.path + "/disk.img"
        let server = try LoggedDevice(image: disk, at: mount, log: log)
        try gateway.configure { $0.replacing(disk, with: server.path) }
        do {
            try body()
        } catch {
            server.stop()
            throw error
        }
        server.stop()
        return String(decoding: try FileSystem.read(log, limit: 1 << 24), as: UTF8.self)
    }
}

/// A disk image behind nbdkit's log filter, as a file of a FUSE mount: every request of whoever uses it is logged.
private final class LoggedDevice {
    let path: String
    private let mount: String
    private let process = Process()

    init(image: String, at mount: String, log: String) throws {
        self.mount = mount
        path = mount + "/disk"
        process.executableURL = URL(filePath: "/usr/bin/nbdfuse")
        process.arguments = [
            path, "--command", "nbdkit", "-s", "--filter=log", "file", image, "logfile=" + log,
        ]
        process.standardInput = FileHandle.nullDevice
        try process.run()
        for _ in 0..<2000 where !FileManager.default.fileExists(atPath: path) && process.isRunning {
            SystemTime().sleep(nanoseconds: 10_000_000)
        }
        try #require(FileManager.default.fileExists(atPath: path), "nbdfuse does not mount")
    }

    func stop() {
        _ = try? ChildProcess.run(["fusermount3", "-u", mount], milliseconds: 60_000)
        process.waitUntilExit()
    }
}

extension Needs {
    /// nbdkit, nbdfuse, and the right to mount by FUSE.
    static let loggedDevice: ConditionTrait = .enabled(
        if: mayServe(), "needs nbdkit and nbdfuse (apt: nbdkit, libnbd-bin, fuse3), and /dev/fuse")

    private static func mayServe() -> Bool {
        guard let directory = try? CommandDirectory() else { return false }
        let (mount, image) = (directory("mount"), directory("image"))
        guard (try? FileSystem.makeDirectories(mount)) != nil,
            (try? FileSystem.replace(image, with: [UInt8](repeating: 0, count: 4096))) != nil,
            FileManager.default.isExecutableFile(atPath: "/usr/bin/nbdfuse"),
            let device = try? LoggedDevice(image: image, at: mount, log: directory("log"))
        else { return false }
        device.stop()
        return true
    }
}
