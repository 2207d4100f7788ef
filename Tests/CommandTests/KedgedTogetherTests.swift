import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: more than one at a time", Needs.partitioner)
struct KedgedTogetherTests {
    /// Slow enough that an install is still at it when others come.
    private static let rate = 1 << 20

    @Test("The second that would work is told who works, and changes nothing", Needs.nginx)
    func busy() throws {
        let gateway = try FieldGateway()
        let bundle = try gateway.build(
            FieldGateway.Release(images: [("rootfs", FieldGateway.image(megabytes: 10))]))
        let server = try BundleServer(serving: gateway.directory.path, rate: Self.rate)
        let first = try gateway.kedged(["install", server.url(bundle)]) { _, errors in
            if !errors.contains("fetching:") { return false }
            for words in [["install", bundle], ["confirm"], ["rollback"], ["run", "--once"], ["run"]] {
                try gateway.kedged(words).expectFailure("engine.busy", 9)
            }
            // Looking is always allowed.
            #expect(try gateway.status()["phase"]?.text == "fetching")
            let canceled = try gateway.works("cancel")
            #expect(canceled.errors.contains("asked to stop"))
            return true
        }
        first.expectFailure("engine.canceled", 10)
        #expect(first.errors.contains("canceled: nothing that runs was changed"))
        let status = try gateway.status()
        #expect(status["phase"]?.text == "canceled" && status["result"]?["phase"]?.text == "canceled")
        #expect(try gateway.record()["active"]?.text == "a")
        #expect(try !gateway.data().contains("cancel"))
        // The next attempt is not held up by the old request.
        try gateway.works("install", bundle)
    }

    @Test("Cancel from a second process reaches an install whose server never answers")
    func cancelWhileWaiting() throws {
        let gateway = try FieldGateway()
        let (descriptor, port) = try Loopback.listen()
        defer { close(descriptor) }
        let before = try gateway.everything()
        let first = try gateway.kedged(["install", "http://127.0.0.1:\(port)/r.kedge"]) { _, errors in
            if !errors.contains("planning:") { return false }
            try gateway.works("cancel")
            return true
        }
        first.expectFailure("engine.canceled", 10)
        #expect(try gateway.everything() == before)
    }

    @Test("Cancel without anybody at work ends an interrupted attempt")
    func cancelInterrupted() throws {
        let gateway = try FieldGateway()
        let address = "http://127.0.0.1:\(try Loopback.freePort())/r.kedge"
        try gateway.kedged(["install", address]).expectFailure("transfer.unreachable", 7)
        #expect(try gateway.status()["phase"]?.text == "planned")
        try gateway.works("cancel")
        #expect(try gateway.status()["phase"]?.text == "canceled")
        try gateway.kedged(["cancel"]).expectFailure("engine.nothing-to-cancel", 9)
    }

    static let idle: [(words: [String], code: String)] = [
        (["confirm"], "engine.nothing-to-confirm"), (["cancel"], "engine.nothing-to-cancel"),
        (["rollback"], "engine.nothing-to-roll-back"),
    ]

    @Test("What there is nothing to do for is exit status 9, and changes nothing", arguments: idle)
    func nothing(words: [String], code: String) throws {
        let gateway = try FieldGateway()
        let before = try gateway.everything()
        try gateway.kedged(words).expectFailure(code, 9)
        #expect(try gateway.everything() == before)
    }

    @Test("A kedged that stays and waits for the network takes a cancel from a second process")
    func cancelDaemon() throws {
        let gateway = try FieldGateway()
        let address = "http://127.0.0.1:\(try Loopback.freePort())/r.kedge"
        try gateway.kedged(["install", address]).expectFailure("transfer.unreachable", 7)
        let stays = try gateway.kedged(["run"]) { process, errors in
            if !errors.contains("transfer.unreachable") { return false }
            try gateway.works("cancel")
            for _ in 0..<2000 {
                if try gateway.status()["phase"]?.text == "canceled" { break }
                SystemTime().sleep(nanoseconds: 10_000_000)
            }
            Foundation.kill(process.processIdentifier, SIGTERM)
            return true
        }
        #expect(!stays.signaled && stays.status == 0, "\(stays.errors)")
        #expect(try gateway.status()["phase"]?.text == "canceled")
        #expect(try !gateway.data().contains("cancel"))
    }
}
