import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedged: the life of an update", Needs.partitioner)
struct KedgedStoryTests {
    @Test("Over HTTP from nginx: install, boot, confirm, and every step says what it is", Needs.nginx)
    func goodRelease() throws {
        let gateway = try FieldGateway()
        let image = FieldGateway.image(megabytes: 11)
        let bios = [UInt8](FieldGateway.image(megabytes: 1).prefix(128 << 10))
        let kernel = [UInt8](FieldGateway.image(megabytes: 1, seed: 3).prefix(700_001))
        let bundle = try gateway.build(
            FieldGateway.Release(images: [("rootfs", image), ("kernel", kernel), ("bios", bios)]))
        let server = try BundleServer(serving: gateway.directory.path)
        let slotA = try gateway.digest("rootfs", "a")
        #expect(try gateway.status()["phase"]?.text == "idle")

        let installed = try gateway.works("install", server.url(bundle))
        #expect(installed.output.isEmpty)
        let phases = installed.errors.split(separator: "\n").filter { !$0.hasPrefix(" ") }
            .map { String($0.prefix { $0 != ":" }) }
        #expect(phases == ["planning", "fetching", "written", "verified", "armed"])
        #expect(try gateway.holds("rootfs", "b", image))
        #expect(try gateway.holds("kernel", "b", kernel))
        #expect(try gateway.holds("bios", "b", bios))
        #expect(try gateway.digest("rootfs", "a") == slotA)

        let armed = try gateway.status()
        #expect(armed["phase"]?.text == "armed")
        #expect(armed["triesLeft"]?.number == 3)
        #expect(armed["release"]?["id"]?.text == "acme-edge-2.1.0")
        #expect(armed["running"]?["slot"]?.text == "a")
        #expect(armed["spare"]?["state"]?.text == "trial")
        #expect(armed["result"] == JSONValue.null)
        #expect(armed["bytes"]?["fetched"]?.number == Int64(try FileSystem.size(of: bundle)))
        #expect(try server.bytesSent() <= FileSystem.size(of: bundle))

        try gateway.powerOn()
        #expect(try gateway.status()["phase"]?.text == "trial")
        #expect(try gateway.status()["running"]?["slot"]?.text == "b")
        let confirmed = try gateway.works("run", "--once")
        #expect(confirmed.errors.contains("confirmed: acme-edge-2.1.0"))
        let last = try gateway.status()
        #expect(last["phase"]?.text == "confirmed")
        #expect(last["result"]?["phase"]?.text == "confirmed")
        #expect(last["running"]?["state"]?.text == "good")
        #expect(last["running"]?["release"]?.text == "acme-edge-2.1.0")
        #expect(last["acceptedSequence"]?.number == 12)
        #expect(try gateway.digest("rootfs", "a") == slotA)
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["phase"]?.text == "confirmed")
    }

    @Test("A release on trial can be confirmed by hand, and stays confirmed")
    func confirmByHand() throws {
        let gateway = try FieldGateway()
        try gateway.health("echo must not be asked; exit 1")
        try gateway.works("install", gateway.build())
        try gateway.powerOn()
        try gateway.works("confirm")
        #expect(try gateway.status()["phase"]?.text == "confirmed")
        try gateway.kedged(["confirm"]).expectFailure("engine.nothing-to-confirm", 9)
    }

    @Test("A release whose health check fails is hauled back by itself, and status says why")
    func badRelease() throws {
        let gateway = try FieldGateway()
        try gateway.health("echo \"$KEDGE_RELEASE in $KEDGE_SLOT: modbus does not answer\"; exit 3")
        try gateway.works("install", gateway.build(), "--attempt", "bad-1")
        try gateway.powerOn()
        let trial = try gateway.kedged(["run", "--once"])
        trial.expectFailure("health.failed", 11)
        #expect(trial.errors.contains("exit status 3; acme-edge-2.1.0 in b: modbus does not answer"))
        // Until the reboot the failed release still runs, and the good one in slot a must not be written.
        let slotA = try gateway.digest("rootfs", "a")
        let next = try gateway.build(FieldGateway.Release(id: "acme-edge-2.1.1", sequence: 13))
        try gateway.kedged(["install", next]).expectFailure("engine.reboot-pending", 9)
        #expect(try gateway.digest("rootfs", "a") == slotA)

        try gateway.powerOn()
        try gateway.works("run", "--once")
        let status = try gateway.status()
        #expect(status["phase"]?.text == "rolledBack")
        #expect(status["running"]?["slot"]?.text == "a")
        #expect(status["spare"]?["state"]?.text == "bad")
        #expect(status["result"]?["attempt"]?.text == "bad-1")
        #expect(status["result"]?["reason"]?.text == "health-failed")
        #expect(status["result"]?["code"]?.text == "health.failed")
        #expect(status["result"]?["text"]?.text?.contains("modbus does not answer") == true)
        let text = try gateway.works("status").output
        #expect(text.contains("result    rolledBack (health-failed)"))
        #expect(text.contains("modbus does not answer"))
        #expect(try gateway.digest("rootfs", "a") == slotA)
        // The same attempt is not tried again; a new one is.
        try gateway.kedged(["install", gateway.directory("acme-edge-2.1.0.kedge"), "--attempt", "bad-1"])
            .expectFailure("health.failed", 11)
        #expect(try gateway.record()["phase"]?.text == "fell-back")
        try gateway.health("exit 0")
        try gateway.works("install", next)
    }

    static let dead: [(fault: String, reason: String)] = [("boot", "boot-failed"), ("hang", "boot-failed")]

    @Test(
        "A release that never reaches user space comes back by the boot loader, and the next start says so",
        arguments: dead)
    func deadRelease(fault: String, reason: String) throws {
        let gateway = try FieldGateway()
        try gateway.works("install", gateway.build())
        try gateway.powerOn("--fail", fault)
        try gateway.works("run", "--once")
        let status = try gateway.status()
        #expect(status["phase"]?.text == "rolledBack" && status["running"]?["slot"]?.text == "a")
        #expect(status["result"]?["reason"]?.text == reason)
        #expect(status["result"]?["code"]?.text == "health.boot-failed")
    }

    @Test("A failing install with --json prints the whole state, with the code that standard error has")
    func jsonOfFailure() throws {
        let gateway = try FieldGateway()
        let bundle = try gateway.build(FieldGateway.Release(vendor: "other"))
        let outcome = try gateway.kedged(["install", bundle, "--json"])
        outcome.expectFailure("policy.wrong-product", 5)
        #expect(outcome.errors.split(separator: "\n").count == 1)
        let status = try JSONValue.parse(outcome.output, limit: 1 << 20)["ota"]
        #expect(status?["phase"]?.text == "failed")
        #expect(status?["result"]?["code"]?.text == "policy.wrong-product")
        // What is told in a new process is the same.
        #expect(try gateway.status()["result"] == status?["result"])
    }

    @Test("A confirmed release is rolled back on request to the former one")
    func rollbackOnRequest() throws {
        let gateway = try FieldGateway()
        try gateway.works("install", gateway.build())
        try gateway.powerOn()
        try gateway.works("run", "--once")
        try gateway.works("rollback")
        #expect(try gateway.record()["active"]?.text == "a")
        try gateway.kedged(["rollback"]).expectFailure("engine.nothing-to-roll-back", 9)
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["running"]?["slot"]?.text == "a")
        #expect(try gateway.status()["result"]?["reason"]?.text == "requested")
    }

    @Test("Containers move with their release, and come back with it")
    func containers() throws {
        let gateway = try FieldGateway()
        let one = FieldGateway.image(megabytes: 1, seed: 5)
        try gateway.works(
            "install", gateway.build(FieldGateway.Release(images: [("containers", one)])))
        let name = SHA256.digest(of: one).hex
        #expect(try FileSystem.read(gateway.path + "/store/blobs/sha256/" + name, limit: 1 << 24) == one)
        #expect(try FileSystem.list(gateway.path + "/store/generations") == ["containers.b.json"])
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["phase"]?.text == "confirmed")
        // A damaged blob is found when the next trial is measured.
        let two = FieldGateway.image(megabytes: 1, seed: 6)
        try gateway.works(
            "install",
            gateway.build(FieldGateway.Release(id: "acme-edge-2.2.0", sequence: 13, images: [("containers", two)])))
        let blob = gateway.path + "/store/blobs/sha256/" + SHA256.digest(of: two).hex
        try FileSystem.replace(blob, with: one)
        try gateway.powerOn()
        try gateway.kedged(["run", "--once"]).expectFailure("health.wrong-image", 11)
    }
}
