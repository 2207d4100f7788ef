import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: killed and stopped", Needs.partitioner)
struct KedgedKillTests {
    static let isNightly = ProcessInfo.processInfo.environment["KEDGE_NIGHTLY"] == "1"
    static let seed = UInt64(ProcessInfo.processInfo.environment["KEDGE_SEED"] ?? "") ?? UInt64.random(in: 1...999_999)

    /// When to kill: after a random delay, or once a word is on standard error.
    enum Moment: CustomTestStringConvertible, Sendable {
        case delay(number: Int)
        case line(String)
        var testDescription: String {
            switch self {
            case .delay(let number): "random moment \(number) of seed \(KedgedKillTests.seed)"
            case .line(let word): "at \(word)"
            }
        }
    }

    static let moments: [Moment] =
        ["planning:", "fetching:", " 30 %", " 60 %", "written:", "verified:", "armed:"].map { .line($0) }
        + (0..<(isNightly ? 200 : 9)).map { .delay(number: $0) }

    /// One random number in 0..<1 for each number.
    static func fraction(_ number: Int) -> Double {
        var state = seed &+ UInt64(number) &* 0x9e37_79b9_7f4a_7c15
        state = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
        state = (state ^ (state >> 27)) &* 0x94d0_49bb_1331_11eb
        return Double((state ^ (state >> 31)) >> 11) / Double(1 << 53)
    }

    /// Most that a kill may cost: an epoch, what is on the way in the pipeline, a head, and what the kernel held for
    /// the socket of a process that is gone (tcp(7), tcp_rmem: the third number).
    static func allowance() throws -> UInt64 {
        let text = String(decoding: try FileSystem.read("/proc/sys/net/ipv4/tcp_rmem", limit: 4096), as: UTF8.self)
        let socket = UInt64(text.split(whereSeparator: { $0.isWhitespace }).last ?? "0") ?? 0
        return 8 << 20 + 6 << 20 + 256 << 10 + socket
    }

    private static let image = FieldGateway.image(megabytes: 27)
    /// Bytes per second, of which nginx gives those of the first second at once: the download takes a second more, and
    /// in these nanoseconds an install comes to about its end.
    private static let rate = 14 << 20
    private static let duration = 1.4e9

    @Test(
        "A kill at any moment leaves what runs as it is, and the next install finishes with the exact image",
        Needs.nginx, arguments: moments)
    func kill(at moment: Moment) throws {
        let gateway = try FieldGateway(rootfs: "32M")
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", Self.image)]))
        let server = try BundleServer(serving: gateway.directory.path, rate: Self.rate)
        let slotA = try gateway.digest("rootfs", "a")
        let killed = try gateway.kedged(["install", server.url(bundle)]) { process, errors in
            switch moment {
            case .line(let word): if !errors.contains(word) { return false }
            case .delay(let number):
                if !errors.contains("planning:") { return false }
                SystemTime().sleep(nanoseconds: UInt64(Self.fraction(number) * Self.duration))
            }
            Foundation.kill(process.processIdentifier, SIGKILL)
            return true
        }
        #expect(killed.signaled || killed.status == 0)

        let record = try gateway.record()
        let isArmed = record["phase"]?.text == "trial"
        #expect(record["active"]?.text == (isArmed ? "b" : "a"))
        #expect(record["a"]?["state"]?.text == "good")
        #expect(try gateway.digest("rootfs", "a") == slotA)
        if isArmed { #expect(try gateway.holds("rootfs", "b", Self.image)) }
        let between = try gateway.status()
        #expect(between["result"] == JSONValue.null)
        let open = isArmed ? ["armed"] : ["idle", "planned", "fetching", "written", "verified"]
        #expect(open.contains(between["phase"]?.text ?? ""), "\(between["phase"]?.text ?? "")")
        if isArmed {
            try gateway.kedged(["install", server.url(bundle)]).expectFailure("engine.attempt-pending", 9)
        } else {
            try gateway.works("install", server.url(bundle))
        }
        #expect(try gateway.holds("rootfs", "b", Self.image))
        #expect(try gateway.digest("rootfs", "a") == slotA)
        #expect(try gateway.record()["active"]?.text == "b")
        let most = try FileSystem.size(of: bundle) + Self.allowance()
        #expect(try server.bytesSent() <= most)
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["phase"]?.text == "confirmed")
        #expect(try gateway.status()["running"]?["slot"]?.text == "b")
    }

    @Test("Killed again and again, the same attempt still comes to its end", Needs.nginx)
    func manyKills() throws {
        let gateway = try FieldGateway(rootfs: "32M")
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", Self.image)]))
        let server = try BundleServer(serving: gateway.directory.path, rate: Self.rate)
        let slotA = try gateway.digest("rootfs", "a")
        var kills = 0
        var attempts: Set<String> = []
        for number in 0..<6 {
            let outcome = try gateway.kedged(["install", server.url(bundle)]) { process, errors in
                if !errors.contains("planning:") { return false }
                SystemTime().sleep(nanoseconds: UInt64(Self.fraction(1000 + number) * Self.duration))
                Foundation.kill(process.processIdentifier, SIGKILL)
                return true
            }
            let status = try gateway.status()
            #expect(status["result"] == JSONValue.null)
            if let attempt = status["attempt"]?.text { attempts.insert(attempt) }
            if !outcome.signaled || status["phase"]?.text == "armed" { break }
            kills += 1
            #expect(try gateway.record()["active"]?.text == "a")
            #expect(try gateway.digest("rootfs", "a") == slotA)
        }
        if try gateway.status()["phase"]?.text != "armed" { try gateway.works("install", server.url(bundle)) }
        if let attempt = try gateway.status()["attempt"]?.text { attempts.insert(attempt) }
        #expect(attempts.count == 1, "seed \(Self.seed)")
        #expect(try gateway.holds("rootfs", "b", Self.image))
        #expect(
            try server.bytesSent() <= FileSystem.size(of: bundle) + UInt64(kills) * Self.allowance(),
            "\(kills) kills, seed \(Self.seed)")
    }

    /// A health command that tells its process id and then waits.
    private static func waiting(_ gateway: FieldGateway) -> String {
        "echo $$ > \(gateway.directory("pid.new")); mv \(gateway.directory("pid.new")) \(gateway.directory("pid")); "
            + "exec sleep 1000"
    }

    /// Runs a trial, kills kedged while the health command waits, and then the health command, which a power cut
    /// would have ended too.
    private static func killInHealthCheck(_ gateway: FieldGateway) throws -> BuiltCommand.Outcome {
        let outcome = try gateway.kedged(["run", "--once"]) { process, _ in
            if try FileSystem.kind(of: gateway.directory("pid")) == nil { return false }
            Foundation.kill(process.processIdentifier, SIGKILL)
            let text = String(decoding: try gateway.directory.bytes("pid"), as: UTF8.self)
            Foundation.kill(try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))), SIGKILL)
            return true
        }
        try FileSystem.remove(gateway.directory("pid"))
        return outcome
    }

    @Test(
        "A kill during the health check leaves the trial as it is, and the next start decides it",
        arguments: [true, false])
    func killedTrial(healthy: Bool) throws {
        let gateway = try FieldGateway()
        try gateway.works("install", gateway.build())
        try gateway.powerOn()
        try gateway.health(Self.waiting(gateway))
        #expect(try Self.killInHealthCheck(gateway).signaled)
        let record = try gateway.record()
        #expect(record["phase"]?.text == "trial" && record["active"]?.text == "b")
        #expect(record["triesLeft"]?.number == 2 && record["userSpaceBoots"]?.number == 1)
        #expect(try gateway.status()["phase"]?.text == "trial")
        #expect(try gateway.status()["result"] == JSONValue.null)
        try gateway.health(healthy ? "exit 0" : "exit 1")
        let next = try gateway.kedged(["run", "--once"])
        #expect(next.status == (healthy ? 0 : 11))
        #expect(try gateway.status()["phase"]?.text == (healthy ? "confirmed" : "rolledBack"))
    }

    @Test("A trial whose kedged is killed at every boot ends with the former release when its tries are gone")
    func triesRunOut() throws {
        let gateway = try FieldGateway()
        try gateway.works("install", gateway.build())
        try gateway.health(Self.waiting(gateway))
        for _ in 0..<3 {
            try gateway.powerOn()
            #expect(try Self.killInHealthCheck(gateway).signaled)
        }
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["running"]?["slot"]?.text == "a")
        #expect(try gateway.status()["result"]?["reason"]?.text == "not-confirmed")
    }

    @Test(
        "A stop signal ends an install cleanly, keeps what came, and the same call goes on",
        Needs.nginx, arguments: [SIGTERM, SIGINT, SIGHUP])
    func stopped(by signal: Int32) throws {
        let gateway = try FieldGateway()
        let image = FieldGateway.image(megabytes: 8)
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", image)]))
        let slow = try BundleServer(serving: gateway.directory.path, rate: 2 << 20)
        let slotB = try gateway.place("rootfs", "b")
        let stopped = try gateway.kedged(["install", slow.url(bundle)]) { process, errors in
            // As soon as the first window is in the slot.
            if !errors.contains("fetching:") { return false }
            if try gateway.bytes(slotB, count: 4096) != Array(image.prefix(4096)) { return false }
            Foundation.kill(process.processIdentifier, signal)
            return true
        }
        stopped.expectFailure("engine.stopped", 9)
        let between = try gateway.status()
        #expect(between["phase"]?.text == "fetching" && between["result"] == JSONValue.null)
        let written = try #require(between["bytes"]?["written"]?.number)
        #expect(written > 0)
        let fast = try BundleServer(serving: gateway.directory.path)
        let next = try gateway.works("install", fast.url(bundle), "--attempt", between["attempt"]?.text ?? "")
        #expect(next.errors.contains("armed:"))
        #expect(try gateway.holds("rootfs", "b", image))
        // What was flushed at the stop is neither fetched nor written again.
        let after = try gateway.status()
        #expect(after["bytes"]?["reused"]?.number ?? 0 >= written)
        #expect(try fast.bytesSent() <= FileSystem.size(of: bundle) + 256 << 10 - UInt64(written))
    }
}
