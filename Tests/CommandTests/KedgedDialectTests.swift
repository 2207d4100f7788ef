import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

/// The dialects of the twin, spoken by the real `kedged` at the emulated hub.
@Suite("kedged: the dialects of the twin", Needs.partitioner, Needs.mosquitto)
struct KedgedDialectTests {
    private func method(_ hub: FieldHub, _ name: String, _ payload: String) throws -> (status: Int64, payload: String) {
        let body = #"{"methodName":"\#(name)","payload":\#(payload),"responseTimeoutInSeconds":20}"#
        let (status, answer) = try hub.call("POST", "/twins/gw/methods", body)
        try #require(status == 200, "\(answer.compactText)")
        return (answer["status"]?.number ?? 0, answer["payload"]?.compactText ?? "")
    }

    @Test("A ThingsPro back end downloads, and installs after a restart; its words are those of the vendor")
    func thingsPro() throws {
        let hub = try FieldHub(address: "127.90.2.1")
        try hub.register("gw")
        let gateway = try FieldGateway()
        try gateway.follow(hub, "gw")
        let bundle = try gateway.build()
        let upgrade = "thingspro-software-upgrade"
        var process = try HubProcess(gateway)
        try hub.expect("gw", "phase idle") { $0["phase"]?.text == "idle" }
        #expect(try method(hub, upgrade, #"{"id":1,"runInstallation":true}"#).status == 404)
        let made = try method(hub, upgrade, #"{"downloadURL":"\#(bundle)","runInstallation":false}"#)
        #expect(made.status == 200 && made.payload == #"{"data":{"id":1}}"#)
        let there = try hub.expect("gw", "a download", in: "installations") { $0["state"]?.text == "succeed" }
        #expect(there["tasks"]?["0"]?["progress"]?.number == 100 && there["tasks"]?["arraySize"]?.number == 1)
        #expect(try hub.reported("gw")["pause"]?["code"]?.text == "engine.staged")
        #expect(process.stop() == 0)
        // Boots and starts in between neither arm it nor lose it.
        try gateway.powerOn()
        process = try HubProcess(gateway)
        try hub.expect("gw", "the staged attempt") { $0["pause"]?["code"]?.text == "engine.staged" }
        #expect(try hub.reported("gw")["running"]?["slot"]?.text == "a")
        let job = try method(hub, upgrade, #"{"id":1,"runInstallation":true}"#)
        #expect(job.status == 200 && job.payload == #"{"data":{"id":2}}"#)
        let armed = try hub.expect("gw", "an armed release", in: "installations") {
            $0["tasks"]?["0"]?["progress"]?.number == 50
        }
        #expect(armed["parameter"]?["jobID"]?.number == 1 && armed["state"]?.text == "running")
        let late = #"{"path":"/upgrades/2/cancel","method":"PUT","headers":[]}"#
        #expect(try method(hub, "thingspro-api-v1", late).status == 400)
        #expect(process.stop() == 0)
        try gateway.powerOn()
        process = try HubProcess(gateway)
        try hub.expect("gw", "success", in: "installations") {
            $0["state"]?.text == "succeed" && $0["tasks"]?["1"]?["type"]?.text == "install"
        }
        #expect(try hub.reported("gw")["running"]?["slot"]?.text == "b")
        process.stop()
    }

    @Test("At Device Update it says who it is, believes what Microsoft signed, and refuses what it cannot carry out")
    func deviceUpdate() throws {
        let hub = try FieldHub(address: "127.90.2.2")
        try hub.register("gw")
        let gateway = try FieldGateway()
        let root = FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath)))
        let fixtures = root + "/Fixtures/device-update/"
        try gateway.follow(
            hub, "gw",
            "model-id = dtmi:azure:iot:deviceUpdateModel;3\nroot-keys = \(fixtures)microsoft-root-keys.json\n")
        let process = try HubProcess(gateway)
        let who = try hub.expect("gw", "an agent", in: "deviceUpdate") { $0["agent"]?["deviceProperties"] != nil }
        #expect(who["__t"]?.text == "c")
        #expect(who["agent"]?["compatPropertyNames"]?.text == "manufacturer,model")
        let service = String(
            decoding: try FileSystem.read(fixtures + "microsoft-service.json", limit: 1 << 16), as: UTF8.self)
        func desire(_ service: String) throws {
            let body = #"{"properties":{"desired":{"deviceUpdate":{"__t":"c","service":\#(service)}}}}"#
            #expect(try hub.call("PATCH", "/twins/gw", body).status == 200)
        }
        try desire(service)
        let refused = try hub.expect("gw", "a refusal", in: "deviceUpdate") { $0["agent"]?["state"]?.number == 255 }
        #expect(
            refused["agent"]?["lastInstallResult"]?["resultDetails"]?.text
                == "device-update.manifest: instructions.steps: must be one step of kedge/bundle:1")
        #expect(refused["service"]?["ac"]?.number == 200)
        #expect(refused["agent"]?["workflow"]?["id"]?.text == "test-workflow-id")
        // The same, changed by somebody who can write twins and has no key of Microsoft's.
        try desire(service.replacing("Virtual-Vacuum", with: "Virtual-Gateway"))
        try hub.expect("gw", "a wrong signature", in: "deviceUpdate") {
            $0["agent"]?["lastInstallResult"]?["resultDetails"]?.text
                == "device-update.signature: the manifest is not the one that was signed"
        }
        #expect(process.stop() == 0)
    }

    @Test("A root-key package that is not signed by Microsoft's roots stops the start, and says why")
    func rootKeys() throws {
        let hub = try FieldHub(address: "127.90.2.3")
        try hub.register("gw")
        let gateway = try FieldGateway()
        let path = gateway.directory("keys.json")
        try FileSystem.replace(path, with: Array("{}".utf8))
        try gateway.follow(
            hub, "gw", "model-id = dtmi:azure:iot:deviceUpdateModel;3\nroot-keys = \(path)\n")
        let process = try HubProcess(gateway)
        try process.expectError("device-update.root-keys")
        process.process.waitUntilExit()
        #expect(process.process.terminationStatus == 4)
    }
}
