import BootControl
import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing
@testable import UpdateEngine

@testable import DeviceTwin

/// Fixtures/device-update: a deployment that Microsoft signed, and one of our own (Fixtures/README.md).
private enum Vectors {
    static func text(_ name: String) throws -> String {
        let path = ReportedDocumentTests.fixtures.deletingLastPathComponent().path + "/device-update/" + name
        return String(decoding: try FileSystem.read(path, limit: 1 << 20), as: UTF8.self)
    }
    static func own() throws -> JSONValue { try JSONValue.parse(text("own.json"), limit: 1 << 20) }

    static func names(_ member: String) -> [String] {
        guard let own = try? own(), case .object(let members)? = own[member] else { return [] }
        return members.map { $0.name }
    }

    /// Who trusts the own roots.
    static func trust() throws -> DeviceUpdateTrust {
        guard case .object(let members)? = try own()["roots"] else { return DeviceUpdateTrust() }
        return DeviceUpdateTrust(
            roots: members.compactMap { member in
                LooseBase64.decode(member.value.text ?? "").flatMap { RS256Key(modulus: $0) }.map {
                    DeviceUpdateTrust.Root(id: member.name, key: $0)
                }
            })
    }

    static func pair(_ value: JSONValue?) -> (manifest: String, signature: String) {
        (value?.elements?.first?.text ?? "", value?.elements?.last?.text ?? "")
    }
}

@Suite("Device Update: who signed a deployment")
struct DeviceUpdateTrustTests {
    private func code(_ body: () throws(DeviceUpdateError) -> Void) -> String? {
        do throws(DeviceUpdateError) { try body() } catch { return error.code }
        return nil
    }

    @Test("A deployment that Microsoft signed is believed with the real root keys, and then refused for its handler")
    func microsoft() throws {
        let service = try JSONValue.parse(Vectors.text("microsoft-service.json"), limit: 1 << 20)
        let manifest = try #require(service["updateManifest"]?.text)
        let signature = try #require(service["updateManifestSignature"]?.text)
        let trust = DeviceUpdateTrust()
        #expect(
            throws: DeviceUpdateError.manifest("instructions.steps: must be one step of kedge/bundle:1")
        ) { try trust.verify(manifest, signature: signature) }
        // One byte more, and it is not what was signed.
        #expect(
            code { () throws(DeviceUpdateError) in _ = try trust.verify(manifest + " ", signature: signature) }
                == "device-update.signature")
        // The other half: roots that Microsoft's chain does not come from.
        let others = try Vectors.trust()
        #expect(
            code { () throws(DeviceUpdateError) in _ = try others.verify(manifest, signature: signature) }
                == "device-update.signature")
    }

    @Test("Microsoft's own root-key package is taken over, and the deployment is believed as before")
    func microsoftRootKeys() throws {
        var trust = DeviceUpdateTrust()
        try trust.adopt(Vectors.text("microsoft-root-keys.json"))
        #expect(trust.version == 1)
        let service = try JSONValue.parse(Vectors.text("microsoft-service.json"), limit: 1 << 20)
        let (text, signature) = (service["updateManifest"]?.text ?? "", service["updateManifestSignature"]?.text ?? "")
        #expect(
            code { () throws(DeviceUpdateError) in _ = try trust.verify(text, signature: signature) }
                == "device-update.manifest")
    }

    @Test("A signed deployment of a bundle gives its manifest, its file and its hash")
    func good() throws {
        let own = try Vectors.own()
        let found = try Vectors.trust().verify(own["manifest"]?.text ?? "", signature: own["signature"]?.text ?? "")
        #expect(found.manifest == SHA256.digest(of: Array("manifest".utf8)))
        #expect(found.hash == SHA256.digest(of: Array("bundle".utf8)))
        #expect(found.file == "f1a2b3" && found.size == 5574)
        #expect(found.updateID == #"{"provider":"acme","name":"edge-gateway","version":"2.1.0"}"#)
    }

    @Test("Whatever breaks the chain is a wrong signature", arguments: Vectors.names("bad"))
    func bad(name: String) throws {
        let (manifest, signature) = Vectors.pair(try Vectors.own()["bad"]?[name])
        let trust = try Vectors.trust()
        #expect(
            code { () throws(DeviceUpdateError) in _ = try trust.verify(manifest, signature: signature) }
                == "device-update.signature")
    }

    @Test("A signed manifest that Kedge cannot carry out is refused as such", arguments: Vectors.names("unusable"))
    func unusable(name: String) throws {
        let (manifest, signature) = Vectors.pair(try Vectors.own()["unusable"]?[name])
        let trust = try Vectors.trust()
        #expect(
            code { () throws(DeviceUpdateError) in _ = try trust.verify(manifest, signature: signature) }
                == "device-update.manifest")
    }

    @Test("Flipping any byte of the signature's three parts breaks it")
    func flips() throws {
        let own = try Vectors.own()
        let (manifest, signature) = (own["manifest"]?.text ?? "", own["signature"]?.text ?? "")
        let trust = try Vectors.trust()
        let bytes = Array(signature.utf8)
        for index in stride(from: 0, to: bytes.count - 1, by: 29) {
            var changed = bytes
            changed[index] = changed[index] == 0x41 ? 0x42 : 0x41
            if changed == bytes { continue }
            let text = String(decoding: changed, as: UTF8.self)
            #expect(throws: DeviceUpdateError.self, "byte \(index)") { try trust.verify(manifest, signature: text) }
        }
    }

    @Test(
        "What a root-key package disables is no longer believed",
        arguments: [
            ("same", true), ("adds a key", true), ("disables the first root", false),
            ("disables the signing key", false), ("disables the signing key by PKCS 1", false),
        ])
    func packages(name: String, isBelieved: Bool) throws {
        let own = try Vectors.own()
        var trust = try Vectors.trust()
        try trust.adopt(own["packages"]?[name]?.text ?? "")
        let (manifest, signature) = (own["manifest"]?.text ?? "", own["signature"]?.text ?? "")
        let found = code { () throws(DeviceUpdateError) in _ = try trust.verify(manifest, signature: signature) }
        #expect(found == (isBelieved ? nil : "device-update.signature"))
    }

    @Test(
        "A root-key package that is not signed by all known roots changes nothing",
        arguments: Vectors.names("refusedPackages"))
    func refusedPackages(name: String) throws {
        let own = try Vectors.own()
        var trust = try Vectors.trust()
        let package = own["refusedPackages"]?[name]?.text ?? ""
        #expect(code { () throws(DeviceUpdateError) in try trust.adopt(package) } == "device-update.root-keys")
        #expect(trust.version == 0)
        _ = try trust.verify(own["manifest"]?.text ?? "", signature: own["signature"]?.text ?? "")
    }

    @Test("An older root-key package does not take a newer one back")
    func older() throws {
        let own = try Vectors.own()
        var trust = try Vectors.trust()
        try trust.adopt(own["packages"]?["adds a key"]?.text ?? "")
        let old = own["packages"]?["same"]?.text ?? ""
        #expect(code { () throws(DeviceUpdateError) in try trust.adopt(old) } == "device-update.root-keys")
        #expect(trust.version == 2)
    }
}

@Suite("Device Update: the component deviceUpdate")
struct DeviceUpdateMachineTests {
    private static let url = "http://contoso.b.nlu.dl.adu.microsoft.com/r.kedge"

    private func machine() throws -> DeviceUpdateMachine {
        DeviceUpdateMachine(.init(manufacturer: "acme", model: "edge-gateway"), trust: try Vectors.trust())
    }

    private func desired(
        _ id: String = "d1", retry: String? = nil, action: Int64 = 3, version: Int64 = 5, url: String = url,
        _ change: (inout [(String, JSONValue)]) -> Void = { _ in }
    ) throws -> String {
        let own = try Vectors.own()
        var workflow: [(String, JSONValue)] = [("action", .integer(action)), ("id", .string(id))]
        if let retry { workflow.append(("retryTimestamp", .string(retry))) }
        var service: [(String, JSONValue)] = [("workflow", .members(workflow))]
        if action == 3 {
            service += [
                ("updateManifest", own["manifest"] ?? .null), ("updateManifestSignature", own["signature"] ?? .null),
                ("fileUrls", .members([("f1a2b3", .string(url))])),
                ("rootKeyPackageUrl", .string("http://x.example/keys.json")),
            ]
        }
        change(&service)
        return JSONValue.members([
            ("deviceUpdate", .members([("__t", .string("c")), ("service", .members(service))])),
            ("$version", .integer(version)),
        ]).compactText
    }

    private func status(
        _ phase: Phase, _ attempt: String? = nil, result: Phase? = nil, failure: Failure? = nil
    ) -> EngineStatus {
        let made = attempt.map { Attempt(id: $0, location: "x", wanted: nil) }
        var status = EngineStatus(phase: phase, attempt: made, record: BootRecord(), running: .a, bootID: "")
        if let result, let made { status.results = [AttemptResult(made, result, failure: failure)] }
        return status
    }

    private let d1 = DeviceUpdateMachine.attempt("d1", "")

    private func agents(_ effects: [TwinMachine.Effect]) -> [JSONValue] {
        effects.compactMap { effect in
            guard case .report(let patch) = effect else { return nil }
            return patch["deviceUpdate"]?["agent"]
        }
    }

    private func started(_ effects: [TwinMachine.Effect]) -> [DesiredUpdate] {
        effects.compactMap { if case .start(let update) = $0 { update } else { nil } }
    }

    /// A machine that knows where the engine stands.
    private func ready() throws -> DeviceUpdateMachine {
        var machine = try machine()
        _ = machine.handle(.status(status(.idle), at: 1))
        return machine
    }

    @Test("At its start it says once who it is, in the words that the service groups devices by")
    func announcement() throws {
        var machine = try machine()
        let first = machine.handle(.status(status(.idle), at: 1))
        #expect(
            first == [
                .report(
                    try JSONValue.parse(
                        #"{"deviceUpdate":{"__t":"c","agent":{"deviceProperties":{"manufacturer":"acme","#
                            + #""model":"edge-gateway","contractModelId":"dtmi:azure:iot:deviceUpdateContractModel;3","#
                            + #""aduVer":"DU;kedged/\#(KedgeVersion.text)"},"#
                            + #""compatPropertyNames":"manufacturer,model"}}}"#, limit: 4096))
            ])
        #expect(machine.handle(.status(status(.idle), at: 2)).isEmpty)
    }

    @Test(
        "A deployment is acknowledged, reported as under way, and given to the engine with the signed manifest's digest"
    )
    func begins() throws {
        var machine = try ready()
        let effects = machine.handle(.document(try desired()))
        guard case .report(let patch) = effects.first else {
            Issue.record("no acknowledgement")
            return
        }
        let service = patch["deviceUpdate"]?["service"]
        #expect(service?["ac"]?.number == 200 && service?["av"]?.number == 5 && service?["ad"]?.text == "")
        #expect(service?["value"]?["updateManifestSignature"] == .null && service?["value"]?["fileUrls"] == .null)
        #expect(service?["value"]?["workflow"]?["id"]?.text == "d1")
        let agent = agents(effects).first
        #expect(agent?["state"]?.number == 6)
        #expect(agent?["lastInstallResult"]?["stepResults"] == .null)
        let manifest = SHA256.digest(of: Array("manifest".utf8))
        #expect(started(effects) == [DesiredUpdate(attempt: d1, action: .install, url: Self.url, manifest: manifest)])
    }

    @Test("Success, reboot and rollback are told in the service's numbers")
    func ends() throws {
        var machine = try ready()
        _ = machine.handle(.document(try desired()))
        let armed = agents(machine.handle(.status(status(.armed, d1), at: 2))).first
        #expect(armed?["state"]?.number == 6 && armed?["lastInstallResult"]?["resultCode"]?.number == 709)
        let done = agents(machine.handle(.status(status(.confirmed, d1, result: .confirmed), at: 3))).first
        #expect(
            done?.compactText
                == #"{"state":0,"workflow":{"action":3,"id":"d1"},"installedUpdateId":"{\"provider\":\"acme\","#
                + #"\"name\":\"edge-gateway\",\"version\":\"2.1.0\"}","lastInstallResult":{"resultCode":700,"#
                + #""extendedResultCodes":"00000000","resultDetails":"","stepResults":{"step_0":{"resultCode":700,"#
                + #""extendedResultCodes":"00000000","resultDetails":""}}}}"#)
        var other = try ready()
        _ = other.handle(.document(try desired()))
        let why = Failure(code: "health.failed", category: .health, context: "no answer", remedy: "")
        let back = agents(
            other.handle(.status(status(.rolledBack, d1, result: .rolledBack, failure: why), at: 2))
        ).first
        #expect(back?["state"]?.number == 255)
        let result = back?["lastInstallResult"]
        #expect(result?["resultCode"]?.number == 0 && result?["extendedResultCodes"]?.text == "3ed0000b")
        #expect(result?["resultDetails"]?.text == "rolled back: health.failed: no answer")
    }

    @Test("What is delivered again starts nothing; after a restart it is reported as it ended, and never as under way")
    func again() throws {
        var machine = try ready()
        _ = machine.handle(.document(try desired()))
        #expect(machine.handle(.document(try desired(version: 6))).isEmpty)
        var next = try self.machine()
        #expect(next.handle(.whole(try desired())).isEmpty)
        let effects = next.handle(.status(status(.confirmed, d1, result: .confirmed), at: 1))
        #expect(started(effects).isEmpty)
        #expect(agents(effects).compactMap { $0["state"]?.number } == [0])
    }

    @Test("A new retry time tries again, and so does a new deployment; a new address is only passed on")
    func retry() throws {
        var machine = try ready()
        _ = machine.handle(.document(try desired()))
        let moved = started(machine.handle(.document(try desired(url: "http://other.example/r.kedge"))))
        #expect(moved.map { $0.attempt } == [d1] && moved.first?.url == "http://other.example/r.kedge")
        _ = machine.handle(.status(status(.rolledBack, d1, result: .rolledBack), at: 2))
        let late = started(machine.handle(.document(try desired(url: Self.url + "?renewed"))))
        #expect(late.isEmpty)
        let retried = started(machine.handle(.document(try desired(retry: "2026-01-26T11:33:29Z"))))
        #expect(retried.count == 1 && retried.first?.attempt != d1)
        let second = started(machine.handle(.document(try desired("d2"))))
        #expect(second.count == 1 && second.first?.attempt == DeviceUpdateMachine.attempt("d2", ""))
    }

    @Test("Cancel stops the deployment that it names, and leaves the device idle")
    func cancel() throws {
        var machine = try ready()
        _ = machine.handle(.document(try desired()))
        let effects = machine.handle(.document(try desired(action: 255)))
        #expect(effects.contains(.requestCancel(d1)))
        let done = agents(machine.handle(.status(status(.canceled, d1, result: .canceled), at: 2))).first
        #expect(done?["state"]?.number == 0 && done?["lastInstallResult"]?["resultCode"]?.number == -1)
        #expect(done?["workflow"]?["action"]?.number == 255)
        var idle = try ready()
        let nothing = idle.handle(.document(try desired(action: 255)))
        #expect(agents(nothing).first?["state"]?.number == 0)
        #expect(started(nothing).isEmpty)
    }

    @Test("A deployment that is not signed, or not whole, fails at once and reaches no engine")
    func refused() throws {
        let cases: [(String, (inout [(String, JSONValue)]) -> Void)] = [
            ("device-update.signature", { $0[2].1 = .string("a.b.c") }),
            ("device-update.signature", { $0[1].1 = .string("{}") }),
            ("device-update.service", { $0[3].1 = .members([]) }),
            ("device-update.service", { $0.remove(at: 1) }),
            ("device-update.service", { $0[0].1 = .members([("action", .integer(3))]) }),
            ("device-update.service", { $0[0].1 = .members([("action", .integer(1)), ("id", .string("x"))]) }),
        ]
        for (code, change) in cases {
            var machine = try ready()
            let effects = machine.handle(.document(try desired("d1", change)))
            #expect(started(effects).isEmpty)
            let agent = agents(effects).first
            #expect(agent?["state"]?.number == 255)
            #expect(agent?["lastInstallResult"]?["resultDetails"]?.text?.hasPrefix(code + ": ") == true)
        }
    }

    @Test("Other sections of the twin are none of its business")
    func others() throws {
        var machine = try ready()
        for text in [#"{"ota":{"attempt":"a"},"$version":1}"#, "{", "[]", #"{"deviceUpdate":{"__t":"c"}}"#] {
            #expect(machine.handle(.document(text)).isEmpty)
        }
        #expect(machine.handle(.method(name: "x", id: "1", payload: "")).isEmpty)
    }
}
