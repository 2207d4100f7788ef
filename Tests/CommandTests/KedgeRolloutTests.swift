import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

/// The emulator, 200 simulated gateways on it (20 of them in the laboratory), and a release to roll out.
private final class RolloutBench {
    let workspace: KedgeWorkspace
    private let hub: EmulatorProcess
    private let fleet: ScriptProcess
    private let environment: [String: String]

    init(address: String, failing: [String] = [], silent: [String] = [], seconds: Double = 0.2) throws {
        workspace = try KedgeWorkspace(imageBytes: 100_000)
        hub = try EmulatorProcess(address: address)
        environment = ["KEDGE_HUB_CONNECTION": hub.owner]
        let list = { (names: [String]) in JSONValue.array(names.map { .string($0) }) }
        let options = JSONValue.members([
            ("count", .integer(200)), ("lab", .integer(20)), ("failing", list(failing)), ("silent", list(silent)),
            ("seconds", .real("\(seconds)")), ("log", .string(workspace.directory("fleet.log"))),
        ])
        fleet = try ScriptProcess("simulated-fleet.py", [hub.directory, address, hub.owner, options.compactText])
        #expect(fleet.words == ["ready"])
        let built = try workspace.run(["build", "recipe.toml", "-o", "r.kedge", "--key", "keys/release.key"])
        try #require(built.status == 0, "\(built.errors)")
    }

    func plan(_ rings: [String], _ more: [String] = []) throws {
        let made = try workspace.run(
            ["rollout", "plan", "r.kedge", "--name", "spring", "--url", "https://files.example/r.kedge"]
                + rings.flatMap { ["--ring", $0] } + more)
        try #require(made.status == 0, "\(made.errors)")
    }

    func rollout(_ command: String, _ more: [String] = []) throws -> BuiltCommand.Outcome {
        let arguments = ["rollout", command, "spring.rollout.json", "--ca", hub.directory + "/ca.pem"] + more
        return try workspace.run(arguments, environment: environment)
    }

    func status() throws -> JSONValue {
        let outcome = try rollout("status", ["--json"])
        return try JSONValue.parse(Array(outcome.output.utf8), limit: 1 << 20)
    }

    /// Numbers of a ring: `[targeted, working, confirmed, failed, canceled]`.
    func ring(_ name: String) throws -> [Int64] {
        let ring = try status()["rings"]?.elements?.first { $0["name"]?.text == name }
        return ["targeted", "working", "confirmed", "failed", "canceled"].map { ring?[$0]?.number ?? -1 }
    }

    /// What the gateways did, in order: `begin gw-001`, `confirmed gw-001`.
    func log() throws -> [String] {
        String(decoding: try workspace.directory.bytes("fleet.log"), as: UTF8.self).split(separator: "\n").map {
            String($0)
        }
    }

    func await(_ what: String, _ condition: () throws -> Bool) throws {
        for _ in 0..<600 {
            if try condition() { return }
            SystemTime().sleep(nanoseconds: 100_000_000)
        }
        Issue.record("it did not come: \(what)")
    }
}

@Suite("kedge rollout", .serialized, .enabled(if: ScriptProcess.isAvailable))
struct KedgeRolloutTests {
    private static let rings = ["canary=5%", "lab=tags.site = 'lab'", "all=rest"]

    @Test("200 gateways get a release ring by ring, each only after the one before")
    func rings() throws {
        let bench = try RolloutBench(address: "127.88.7.1")
        try bench.plan(Self.rings)
        let preview = try bench.rollout("apply", ["--dry-run"])
        #expect(preview.output == "canary: 9 devices\nlab: 20 devices\nall: 200 devices\n")
        #expect(try bench.rollout("status").status == 9)
        let done = try bench.rollout("apply", ["--watch", "1"])
        #expect(done.status == 0, "\(done.errors)")
        let status = try bench.status()
        #expect(status["state"]?.text == "complete")
        try bench.await("all") { try bench.ring("all") == [200, 0, 200, 0, 0] }
        #expect(try bench.ring("canary") == [9, 0, 9, 0, 0])
        let log = try bench.log()
        let begins = log.filter { $0.hasPrefix("begin ") }
        #expect(begins.count == 200 && Set(begins).count == 200)
        // Nobody of the laboratory begins before the canaries are done, and nobody else before the laboratory.
        let lab = Set((0..<20).map { "begin gw-0" + ($0 < 10 ? "0\($0)" : "\($0)") })
        #expect(Set(begins.prefix(9)).isDisjoint(with: lab))
        #expect(Set(begins[9..<29]) == lab)
        #expect(log.prefix(18).count { $0.hasPrefix("confirmed ") } == 9)
        #expect(try bench.rollout("apply").status == 0)
        #expect(try bench.rollout("remove").output == "spring: removed\n")
        #expect(try bench.rollout("status").status == 9)
    }

    @Test("Too many failures in a ring halt the rollout; a person looks, resumes, and the rest gets it")
    func failures() throws {
        let bench = try RolloutBench(address: "127.88.7.2", failing: ["gw-003", "gw-005", "gw-008", "gw-013"])
        try bench.plan(Self.rings)
        let halted = try bench.rollout("apply", ["--watch", "1"])
        #expect(halted.status == 11)
        #expect(halted.errors.contains("rollout.halted: rollout spring is halted: ring lab: "))
        #expect(try bench.rollout("apply").status == 11)
        #expect(try bench.rollout("status").status == 11)
        // However many of them failed before it was noticed: the ring behind was never touched.
        #expect(try bench.log().count { $0.hasPrefix("begin ") } == 29)
        try bench.await("the laboratory") { try bench.ring("lab") == [20, 0, 16, 4, 0] }
        let status = try bench.status()
        #expect(status["failures"]?.elements?.count == 4)
        #expect(status["failures"]?.elements?.first?["code"]?.text == "health.failed")
        #expect(try bench.rollout("resume").status == 0)
        #expect(try bench.rollout("resume").status == 9)
        let done = try bench.rollout("apply", ["--watch", "1"])
        #expect(done.status == 0, "\(done.errors)")
        try bench.await("all") { try bench.ring("all") == [200, 0, 196, 4, 0] }
    }

    @Test("A halt pauses who is at work, and who was away finds the halt; resume lets them finish")
    func halt() throws {
        let bench = try RolloutBench(address: "127.88.7.3", silent: ["gw-190", "gw-191"], seconds: 20)
        try bench.plan(["all=rest"], ["--success", "99"])
        #expect(try bench.rollout("apply").status == 0)
        try bench.await("work") { try bench.ring("all") == [200, 198, 0, 0, 0] }
        #expect(try bench.rollout("halt", ["--reason", "a broken valve"]).status == 0)
        #expect(try bench.rollout("halt").status == 0)
        let status = try bench.status()
        #expect(status["state"]?.text == "halted")
        #expect(status["halt"]?["reason"]?.text == "a broken valve")
        let refused = try bench.rollout("apply")
        #expect(refused.status == 11 && refused.errors.contains("a broken valve"))
        SystemTime().sleep(nanoseconds: 1_000_000_000)
        #expect(try bench.ring("all") == [200, 198, 0, 0, 0])
        #expect(try bench.rollout("resume").status == 0)
        try bench.await("the end") { try bench.ring("all") == [200, 0, 198, 0, 0] }
        #expect(try bench.rollout("apply").status == 0)
        #expect(try bench.status()["state"]?.text == "complete")
    }

    @Test("A halt with --cancel ends the attempts of all who have not finished, for good")
    func cancel() throws {
        let bench = try RolloutBench(address: "127.88.7.4", seconds: 60)
        try bench.plan(["all=rest"])
        #expect(try bench.rollout("apply").status == 0)
        try bench.await("work") { try bench.ring("all") == [200, 200, 0, 0, 0] }
        #expect(try bench.rollout("halt", ["--cancel"]).status == 0)
        try bench.await("the end") { try bench.ring("all") == [200, 0, 0, 0, 200] }
        #expect(try bench.rollout("resume").status == 0)
        SystemTime().sleep(nanoseconds: 500_000_000)
        #expect(try bench.ring("all") == [200, 0, 0, 0, 200])
    }

    @Test("What cannot be rolled out is refused with one line, before the hub is changed")
    func refusals() throws {
        let bench = try RolloutBench(address: "127.88.7.5", silent: (0..<200).map { name($0) })
        try bench.plan(["lab=tags.site ='nowhere'", "all=rest"])
        let empty = try bench.rollout("apply")
        #expect(empty.status == 3 && empty.errors.contains("rollout.empty-ring: no device is in ring lab"))
        try bench.plan(["lab=tags.site LIKES 'x'"], ["--replace"])
        let condition = try bench.rollout("apply")
        #expect(condition.status == 3 && condition.errors.contains("rollout.condition"))
        #expect(try bench.rollout("status").status == 9)
        // A plan that was changed after it was started is no longer the same rollout.
        try bench.plan(["all=rest"], ["--replace"])
        #expect(try bench.rollout("apply").status == 0)
        try bench.plan(["all=rest"], ["--replace", "--success", "50"])
        let changed = try bench.rollout("apply")
        #expect(changed.status == 9 && changed.errors.contains("rollout.changed"))
        let path = bench.workspace.directory("connection")
        try FileSystem.replace(path, with: Array("HostName=127.88.7.5;SharedAccessKeyName=x;SharedAccessKey=c2U=".utf8))
        let unreachable = try bench.rollout("status", ["--connection", path])
        #expect(unreachable.status == 7 && !unreachable.errors.contains("c2U="))
        let nothing = try bench.workspace.run(["rollout", "status", "spring.rollout.json"])
        #expect(nothing.status == 3 && nothing.errors.contains("rollout.connection-string"))
    }

    private func name(_ number: Int) -> String { "gw-" + String("00\(number)".suffix(3)) }
}
