import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

/// Every system call that changes something fails, or the process is killed as it makes it: the real kedged on a real
/// gateway, under strace(1).
@Suite("kedged: failing system calls", Needs.partitioner, Needs.tracer, .serialized)
struct KedgedFailingCallTests {
    /// What strace does to the k-th call of each thread.
    struct Blow: CustomTestStringConvertible, Sendable {
        let calls: String
        /// As strace's `inject` wants it.
        let what: String
        var media = "file"
        var testDescription: String { "\(media): \(calls): \(what)" }
    }

    private static let mutating = "pwrite64,write,fdatasync,fsync,rename,renameat,renameat2,unlink,unlinkat,fallocate"
    static let blows = [
        Blow(calls: mutating, what: "signal=KILL"),
        Blow(calls: "pwrite64", what: "error=EIO"),
        Blow(calls: "pwrite64", what: "error=ENOSPC"),
        Blow(calls: "pwrite64", what: "error=EINTR"),
        // Said to be done, and never done: only the read-back can tell.
        Blow(calls: "pwrite64", what: "retval=4096"),
        Blow(calls: "fdatasync", what: "error=EIO"),
        Blow(calls: "fsync", what: "error=EIO"),
        Blow(calls: "rename,renameat,renameat2", what: "error=ENOSPC"),
        Blow(calls: "fallocate", what: "error=ENOSPC"),
        Blow(calls: "pread64", what: "error=EIO"),
    ]
    /// The same on block devices, which are written and read past the page cache.
    static let blowsOnDevices = [
        Blow(calls: mutating, what: "signal=KILL", media: "loop"),
        Blow(calls: "pwrite64", what: "error=EIO", media: "loop"),
        Blow(calls: "pwrite64", what: "retval=4096", media: "loop"),
        Blow(calls: "fdatasync", what: "error=EIO", media: "loop"),
        Blow(calls: "pread64", what: "error=EIO", media: "loop"),
    ]
    private static let isNightly = ProcessInfo.processInfo.environment["KEDGE_NIGHTLY"] == "1"
    /// In an ordinary run some of the calls; at night every one until a run is without a fault.
    private static let numbers = isNightly ? Array(1...4000) : [1, 2, 4, 7]

    @Test("Whichever call fails, what runs is untouched, and the next install comes to its end", arguments: blows)
    func failing(blow: Blow) throws { try strike(blow) }

    @Test("The same holds where the slots are block devices", Needs.mounting, arguments: blowsOnDevices)
    func failingOnDevices(blow: Blow) throws { try strike(blow) }

    private func strike(_ blow: Blow) throws {
        let gateway = try FieldGateway(media: blow.media, rootfs: "8M")
        let image = FieldGateway.image(megabytes: 3)
        // Two erase blocks of a flash chip beside it.
        let bios = Array(image.prefix(128 << 10))
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", image), ("bios", bios)]))
        let slotA = try gateway.digest("rootfs", "a")
        let biosA = try gateway.digest("bios", "a")
        let before = try Snapshot(gateway)
        var blows = 0
        for number in Self.numbers {
            try before.restore()
            let trace = gateway.directory("trace")
            let traced = try BuiltCommand(
                "kedged",
                startedBy: [
                    "strace", "-f", "-qq", "-o", trace, "-e", "trace=\(blow.calls)", "-e",
                    "inject=\(blow.calls):\(blow.what):when=\(number)",
                ])
            let outcome = try traced.run(
                ["--config", gateway.configuration, "install", bundle], in: gateway.directory.path)
            let log = String(decoding: try FileSystem.read(trace, limit: 1 << 24), as: UTF8.self)
            if !log.contains("INJECTED") && !log.contains("killed by SIGKILL") { break }
            blows += 1
            let place = "call \(number): \(outcome.errors)"
            if blow.what != "signal=KILL" {
                // An end of its own: done in spite of it, or refused with a code.
                #expect(!outcome.signaled && outcome.status != 1, "\(place)")
                // The dynamic loader reads before kedged begins.
                let unloaded = outcome.errors.contains("error while loading shared libraries")
                #expect(outcome.status == 0 || outcome.code != nil || unloaded, "\(place)")
            }
            let record = try gateway.record()
            let isArmed = record["phase"]?.text == "trial"
            #expect(record["active"]?.text == (isArmed ? "b" : "a"), "\(place)")
            #expect(record["a"]?["state"]?.text == "good", "\(place)")
            #expect(try gateway.digest("rootfs", "a") == slotA, "\(place)")
            #expect(try gateway.digest("bios", "a") == biosA, "\(place)")
            if isArmed {
                #expect(try gateway.holds("rootfs", "b", image), "\(place)")
            } else {
                #expect(outcome.status != 0 || outcome.signaled, "\(place)")
                try gateway.works("install", bundle)
            }
            #expect(try gateway.holds("rootfs", "b", image), "\(place)")
            #expect(try gateway.holds("bios", "b", bios), "\(place)")
            try gateway.powerOn()
            try gateway.works("run", "--once")
            #expect(try gateway.status()["phase"]?.text == "confirmed", "\(place)")
        }
        #expect(blows > 0)
        print("FAILED \(blow.testDescription): \(blows) calls")
    }

    /// A gateway as it is before the update, to begin every run alike. The disk stays in place, because loop devices hold
    /// on to it: of its slots only the spare one may have changed, and its bytes are put back.
    private struct Snapshot {
        private let gateway: FieldGateway
        private let saved: String
        private let spare: [UInt8]

        init(_ gateway: FieldGateway) throws {
            self.gateway = gateway
            saved = gateway.directory("saved")
            spare = try gateway.bytes(gateway.place("rootfs", "b"))
            try FileSystem.makeDirectories(saved)
            try copy(from: gateway.path, to: saved)
        }

        func restore() throws {
            for name in try FileSystem.list(gateway.path) where name != "disk.img" {
                try FileSystem.removeTree("\(gateway.path)/\(name)")
            }
            try copy(from: saved, to: gateway.path)
            try gateway.write(spare, to: gateway.place("rootfs", "b"))
        }

        private func copy(from: String, to: String) throws {
            let sources = try FileSystem.list(from).filter { $0 != "disk.img" }.map { "\(from)/\($0)" }
            let words = ["cp", "-a", "--sparse=always", "-t", to] + sources
            try #require(ChildProcess.run(words, milliseconds: 60_000).succeeded)
        }
    }
}

extension Needs {
    /// strace, and the right to trace a child.
    static let tracer: ConditionTrait = .enabled(if: mayTrace(), "needs strace(1) with inject, and ptrace(2)")

    private static func mayTrace() -> Bool {
        let words = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]
        return (try? ChildProcess.run(words, milliseconds: 60_000))?.succeeded == true
    }
}
