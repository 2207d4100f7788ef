import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: pause, resume, and room that runs out", Needs.partitioner, Needs.nginx, .serialized)
struct KedgedPauseTests {
    private let gateway: FieldGateway
    private let bundle: String
    private static let image = FieldGateway.image(megabytes: 10)

    init() throws {
        gateway = try FieldGateway()
        bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", Self.image)]))
    }

    private func expectArmed(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try gateway.record()["phase"]?.text == "trial", sourceLocation: sourceLocation)
        #expect(try gateway.holds("rootfs", "b", Self.image), sourceLocation: sourceLocation)
        #expect(try !gateway.data().contains("pause"), sourceLocation: sourceLocation)
    }

    private func expectPaused(sourceLocation: SourceLocation = #_sourceLocation) throws {
        let status = try gateway.status()
        #expect(status["pause"]?["code"]?.text == "engine.paused", sourceLocation: sourceLocation)
        #expect(status["phase"]?.text == "fetching", sourceLocation: sourceLocation)
        #expect(status["result"] == JSONValue.null, sourceLocation: sourceLocation)
    }

    @Test("A pause from a second process stops an install, stays over kills and reboots, and resume goes on")
    func command() throws {
        let server = try BundleServer(serving: gateway.directory.path, rate: 2 << 20)
        let first = try gateway.kedged(["install", server.url(bundle)]) { _, errors in
            if !errors.contains(" 20 %") { return false }
            let paused = try gateway.works("pause")
            #expect(paused.errors.contains("is paused"))
            return true
        }
        first.expectFailure("engine.paused", 9)
        try expectPaused()
        #expect(try gateway.works("status").output.contains("engine.paused"))
        try gateway.works("pause")
        try gateway.kedged(["install", server.url(bundle)]).expectFailure("engine.paused", 9)

        // Neither a daemon nor one that is killed, nor a reboot, takes it up.
        let sent = try server.bytesSent()
        let stays = try gateway.kedged(["run"]) { process, _ in
            SystemTime().sleep(nanoseconds: 1_500_000_000)
            Foundation.kill(process.processIdentifier, SIGKILL)
            return true
        }
        #expect(stays.signaled)
        try gateway.powerOn()
        try gateway.works("run", "--once")
        try expectPaused()
        #expect(try server.bytesSent() == sent)

        try gateway.works("resume")
        try expectArmed()
        #expect(try gateway.status()["bytes"]?["reused"]?.number ?? 0 >= 2 << 20)
        try gateway.kedged(["pause"]).expectFailure("engine.nothing-to-pause", 9)
        try gateway.kedged(["resume"]).expectFailure("engine.nothing-to-resume", 9)
    }

    @Test("A kedged that stays pauses and goes on as other processes ask, and cancel ends a paused attempt")
    func daemon() throws {
        let server = try BundleServer(serving: gateway.directory.path, rate: 2 << 20)
        func becomes(_ what: String, _ fits: (JSONValue) -> Bool) throws {
            for _ in 0..<1000 {
                if fits(try gateway.status()) { return }
                SystemTime().sleep(nanoseconds: 10_000_000)
            }
            Issue.record("never \(what)")
        }
        let killed = try gateway.kedged(["install", server.url(bundle)]) { process, errors in
            if !errors.contains(" 20 %") { return false }
            Foundation.kill(process.processIdentifier, SIGKILL)
            return true
        }
        #expect(killed.signaled)
        let stays = try gateway.kedged(["run"]) { process, errors in
            if !errors.contains("fetching:") { return false }
            for _ in 0..<2 {
                try gateway.works("pause")
                try becomes("paused") { $0["pause"]?["code"]?.text == "engine.paused" }
                SystemTime().sleep(nanoseconds: 500_000_000)
                let resumed = try gateway.works("resume")
                #expect(resumed.errors.contains("goes on"))
                try becomes("going on") { $0["pause"] == JSONValue.null }
            }
            try gateway.works("pause")
            SystemTime().sleep(nanoseconds: 500_000_000)
            try gateway.works("cancel")
            try becomes("canceled") { $0["phase"]?.text == "canceled" }
            Foundation.kill(process.processIdentifier, SIGTERM)
            return true
        }
        #expect(!stays.signaled && stays.status == 0, "\(stays.errors)")
        #expect(try gateway.record()["active"]?.text == "a")
        #expect(try !gateway.data().contains("pause"))
    }

    @Test("An agent pauses and resumes an attempt by documents, and hears of both")
    func agent() throws {
        let server = try BundleServer(serving: gateway.directory.path, rate: 3 << 20)
        let agent = try AgentProcess(gateway)
        try agent.desire("x-1", server.url(bundle), version: 1)
        try agent.expect(phase: "fetching", of: "x-1")
        try agent.desire("x-1", action: "pause", version: 2)
        let pause = try agent.expect("pause") { $0["pause"]?["code"]?.text == "engine.paused" }
        #expect(pause["phase"]?.text == "fetching" && pause["result"] == JSONValue.null)
        // A restart with the same desired document keeps it paused.
        agent.endInput()
        #expect(agent.end() == 0)
        let second = try AgentProcess(gateway)
        try second.desire("x-1", action: "pause", version: 2)
        try second.expect("pause") { $0["pause"]?["code"]?.text == "engine.paused" }
        try second.desire("y-1", action: "pause", version: 3)
        try second.expect("refusal") { $0["refused"]?["code"]?.text == "engine.nothing-to-pause" }
        try second.desire("x-1", action: "resume", version: 4)
        try second.expect(phase: "armed", of: "x-1")
        second.endInput()
        #expect(second.end() == 0)
        try expectArmed()
    }

    @Test("A resume that names the place starts an attempt of which the device never heard")
    func resumeUnknown() throws {
        let agent = try AgentProcess(gateway)
        try agent.desire("x-1", action: "resume", version: 3)
        try agent.expect("refusal") { $0["refused"]?["code"]?.text == "engine.nothing-to-resume" }
        try agent.desire("x-1", bundle, action: "resume", version: 4)
        try agent.expect(phase: "armed", of: "x-1")
        agent.endInput()
        #expect(agent.end() == 0)
        try expectArmed()
    }

    @Test(
        "A file system that fills up midway makes the attempt wait, and it goes on by itself when there is room again",
        Needs.mounting, arguments: ["data", "store"])
    func room(place: String) throws {
        let server = try BundleServer(serving: gateway.directory.path, rate: 3 << 20)
        let containers = FieldGateway.image(megabytes: 3, seed: 7)
        let release = try gateway.build(
            FieldGateway.Release(
                id: "acme-edge-2.2.0", images: [("rootfs", Self.image), ("containers", containers)]))
        let directory = "\(gateway.path)/\(place)"
        try FileSystem.makeDirectories(directory)
        let mounted = try ChildProcess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16M", "kedge-room", directory], milliseconds: 60_000)
        try #require(mounted.succeeded)
        defer { _ = try? ChildProcess.run(["umount", directory], milliseconds: 60_000) }
        let filler = directory + "/filler"
        let agent = try AgentProcess(gateway)
        try agent.desire("x-1", server.url(release))
        try agent.expect("some progress") { $0["progress"]?["handled"]?.number ?? 0 >= 2 << 20 }
        let free = try FileSystem.freeSpace(at: directory)
        try FileSystem.replace(filler, with: [UInt8](repeating: 1, count: Int(free) - 100_000))
        let pause = try agent.expect("pause") { $0["pause"]?["code"]?.text == "engine.low-space" }
        #expect(pause["phase"]?.text == "fetching" && pause["result"] == JSONValue.null)
        #expect(pause["pause"]?["text"]?.text?.contains(directory) == true)
        #expect(try gateway.status()["pause"]?["code"]?.text == "engine.low-space")
        let sent = try server.bytesSent()
        SystemTime().sleep(nanoseconds: 2_500_000_000)
        #expect(try server.bytesSent() == sent)
        try FileSystem.remove(filler)
        try agent.expect(phase: "armed", of: "x-1")
        agent.endInput()
        #expect(agent.end() == 0)
        try expectArmed()
    }
}
