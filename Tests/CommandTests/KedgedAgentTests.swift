import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: with an agent on standard input and output", Needs.partitioner)
struct KedgedAgentTests {
    @Test("One desired line leads through all phases in their order, over the reboot to confirmed")
    func wholeWay() throws {
        let gateway = try FieldGateway()
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", FieldGateway.image(megabytes: 9))]))
        let first = try AgentProcess(gateway)
        try first.desire("x-1", bundle, version: 1)
        try first.expect(phase: "armed", of: "x-1")
        first.endInput()
        #expect(first.end() == 0)
        #expect(try first.phases() == ["idle", "planned", "fetching", "written", "verified", "armed"])
        #expect(try first.reports().allSatisfy { $0["result"] == JSONValue.null })

        try gateway.powerOn()
        let second = try AgentProcess(gateway)
        let report = try second.expect(phase: "confirmed", of: "x-1")
        #expect(report["result"]?["phase"]?.text == "confirmed")
        #expect(report["running"]?["slot"]?.text == "b")
        second.endInput()
        #expect(second.end() == 0)
        #expect(try second.phases() == ["trial", "confirmed"])
    }

    @Test("A document that is delivered again does nothing, in the same process and in later ones")
    func redelivered() throws {
        let gateway = try FieldGateway()
        let bundle = try gateway.build()
        let first = try AgentProcess(gateway)
        for _ in 0..<3 { try first.desire("x-1", bundle) }
        try first.expect(phase: "armed")
        try first.desire("x-1", bundle)
        first.endInput()
        #expect(first.end() == 0)
        #expect(try first.phases().filter { $0 == "planned" }.count == 1)
        let armed = try gateway.record()

        let second = try AgentProcess(gateway)
        try second.desire("x-1", bundle)
        second.endInput()
        #expect(second.end() == 0)
        #expect(try gateway.record() == armed)
        #expect(try second.reports().allSatisfy { $0["refused"] == nil })

        try gateway.powerOn()
        let third = try AgentProcess(gateway)
        try third.desire("x-1", bundle)
        try third.expect(phase: "confirmed")
        third.endInput()
        #expect(third.end() == 0)
        let confirmed = try gateway.record()
        let fourth = try AgentProcess(gateway)
        try fourth.desire("x-1", bundle)
        try fourth.expect(phase: "confirmed")
        fourth.endInput()
        #expect(fourth.end() == 0)
        #expect(try gateway.record() == confirmed)
    }

    static let refused: [(line: String, code: String)] = [
        ("nonsense", "json.syntax"), ("[]", "json.type"), (#"{"ota":{"url":"x"}}"#, "json.missing"),
        (#"{"ota":{"attempt":"a b","url":"x"}}"#, "json.bounds"), (#"{"ota":{"attempt":"a"}}"#, "json.missing"),
        (#"{"ota":{"attempt":"a","url":"x","force":true}}"#, "json.unknown"),
        (#"{"ota":{"attempt":"a","action":"explode"}}"#, "json.bounds"),
        (#"{"ota":{"attempt":"a","action":"confirm"}}"#, "engine.nothing-to-confirm"),
        (#"{"ota":{"attempt":"a","action":"rollback"}}"#, "engine.nothing-to-roll-back"),
        (#"{"ota":{"attempt":"a","action":"cancel"}}"#, "engine.nothing-to-cancel"),
        (#"{"ota":{"attempt":"a","url":""# + String(repeating: "x", count: 70_000) + #""}}"#, "json.syntax"),
    ]

    @Test("A document that cannot be taken is answered with a code, and the next one is taken")
    func refusedDocuments() throws {
        let gateway = try FieldGateway()
        let agent = try AgentProcess(gateway)
        for (line, code) in Self.refused {
            let count = try agent.reports().filter { $0["refused"] != nil }.count
            try agent.say(line)
            let report = try agent.expect("refusal of \(line.prefix(60))") { _ in
                ((try? agent.reports().filter { $0["refused"] != nil }.count) ?? 0) > count
            }
            _ = report
            let refusal = try #require(try agent.reports().last { $0["refused"] != nil }?["refused"])
            #expect(refusal["code"]?.text == code, "\(line.prefix(60))")
            #expect(refusal["text"]?.text?.isEmpty == false && refusal["remedy"]?.text?.isEmpty == false)
        }
        try agent.say("")
        try agent.say(#"{"other":1}"#)
        try agent.desire("x-1", gateway.build())
        try agent.expect(phase: "armed", of: "x-1")
        agent.endInput()
        #expect(agent.end() == 0)
    }

    @Test("A release that is refused is reported as failed with its code, and kedged goes on")
    func refusedRelease() throws {
        let gateway = try FieldGateway()
        let agent = try AgentProcess(gateway)
        try agent.desire("x-1", gateway.build(FieldGateway.Release(id: "acme-edge-9", vendor: "other")))
        let report = try agent.expect(phase: "failed", of: "x-1")
        #expect(report["result"]?["code"]?.text == "policy.wrong-product")
        try agent.desire("x-2", gateway.build())
        try agent.expect(phase: "armed", of: "x-2")
        agent.endInput()
        #expect(agent.end() == 0)
    }

    @Test(
        "A stop in the middle of a download keeps the attempt, and the next start takes it up by itself",
        Needs.nginx)
    func stopAndResume() throws {
        let gateway = try FieldGateway()
        let image = FieldGateway.image(megabytes: 9)
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", image)]))
        let server = try BundleServer(serving: gateway.directory.path, rate: 2 << 20)
        let first = try AgentProcess(gateway)
        try first.desire("x-1", server.url(bundle))
        try first.expect(phase: "fetching")
        kill(first.process.processIdentifier, SIGTERM)
        #expect(first.end() == 0)
        #expect(try gateway.status()["phase"]?.text == "fetching")
        #expect(try gateway.status()["result"] == JSONValue.null)
        let second = try AgentProcess(gateway)
        let report = try second.expect(phase: "armed")
        #expect(report["attempt"]?.text == "x-1")
        second.endInput()
        #expect(second.end() == 0)
        #expect(try gateway.holds("rootfs", "b", image))
    }

    @Test("Input that ends lets what was asked for come to its end first")
    func endOfInput() throws {
        let gateway = try FieldGateway()
        let agent = try AgentProcess(gateway)
        try agent.desire("x-1", gateway.build())
        agent.endInput()
        #expect(agent.end() == 0)
        #expect(try agent.phases().last == "armed")
    }

    @Test("A cancel right behind its install is not lost")
    func cancelAtOnce() throws {
        let gateway = try FieldGateway()
        let (descriptor, port) = try Loopback.listen()
        defer { close(descriptor) }
        let agent = try AgentProcess(gateway)
        let url = "http://127.0.0.1:\(port)/r.kedge"
        try agent.desire("x-1", url)
        try agent.desire("x-1", action: "cancel")
        let report = try agent.expect(phase: "canceled", of: "x-1")
        #expect(report["result"]?["phase"]?.text == "canceled")
        agent.endInput()
        #expect(agent.end() == 0)
        #expect(try gateway.record()["phase"]?.text == "idle")
    }

    @Test("A newer wish replaces an attempt that a start took up by itself", Needs.nginx)
    func replaceResumed() throws {
        let gateway = try FieldGateway()
        let old = try gateway.build(FieldGateway.Release(images: [("rootfs", FieldGateway.image(megabytes: 9))]))
        let image = FieldGateway.image(megabytes: 2, seed: 7)
        let new = try gateway.build(
            FieldGateway.Release(id: "acme-edge-2.2.0", sequence: 13, images: [("rootfs", image)]))
        let slow = try BundleServer(serving: gateway.directory.path, rate: 256 << 10)
        let first = try AgentProcess(gateway)
        try first.desire("x-1", slow.url(old))
        try first.expect(phase: "fetching")
        kill(first.process.processIdentifier, SIGTERM)
        #expect(first.end() == 0)
        let second = try AgentProcess(gateway)
        try second.expect(phase: "fetching", of: "x-1")
        try second.desire("x-2", new)
        try second.expect(phase: "armed", of: "x-2")
        second.endInput()
        #expect(second.end() == 0)
        #expect(try gateway.holds("rootfs", "b", image))
        #expect(try second.reports().contains { $0["result"]?["attempt"]?.text == "x-1" })
    }

    @Test("Health that fails is reported as rolled back, and so it stays after the reboot")
    func rolledBack() throws {
        let gateway = try FieldGateway()
        try gateway.health("echo modbus is dead; exit 1")
        try gateway.works("install", gateway.build(), "--attempt", "x-1")
        try gateway.powerOn()
        let trial = try AgentProcess(gateway)
        let report = try trial.expect(phase: "rolledBack", of: "x-1")
        #expect(report["result"]?["reason"]?.text == "health-failed")
        trial.endInput()
        #expect(trial.end() == 0)
        try gateway.powerOn()
        let after = try AgentProcess(gateway)
        let again = try after.expect(phase: "rolledBack", of: "x-1")
        #expect(again["result"] == report["result"])
        after.endInput()
        #expect(after.end() == 0)
    }
}
