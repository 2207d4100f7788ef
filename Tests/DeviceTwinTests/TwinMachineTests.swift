import BootControl
import Platform
import StrictJSON
import Testing
@testable import UpdateEngine

@testable import DeviceTwin

@Suite struct TwinMachineTests {
    private func desired(_ id: String, url: String = "http://h/r.kedge", version: Int? = nil, action: String? = nil)
        -> String
    {
        var text = "{\"ota\":{\"attempt\":\"\(id)\",\"url\":\"\(url)\""
        if let action { text += ",\"action\":\"\(action)\"" }
        text += "}"
        if let version { text += ",\"$version\":\(version)" }
        return text + "}"
    }

    private func started(_ effects: [TwinMachine.Effect]) -> [String] {
        effects.compactMap { if case .start(let update) = $0 { update.attempt } else { nil } }
    }

    @Test("A desired document starts its attempt once, however often it comes")
    func redelivery() {
        var twin = TwinMachine()
        #expect(started(twin.handle(.document(desired("a", version: 3)))) == ["a"])
        #expect(twin.handle(.document(desired("a", version: 3))).isEmpty)
        #expect(twin.handle(.document(desired("a", version: 4))).isEmpty)
        #expect(twin.handle(.idle).isEmpty)
        #expect(twin.handle(.document(desired("a", version: 5))).isEmpty)
    }

    @Test("A document that is older than one already seen changes nothing")
    func stale() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("b", version: 9)))
        _ = twin.handle(.idle)
        #expect(twin.handle(.document(desired("a", version: 8))).isEmpty)
    }

    @Test("A newer attempt replaces the one in work, which is asked to stop first")
    func supersede() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("a")))
        #expect(twin.handle(.document(desired("b"))) == [.requestCancel("a")])
        #expect(started(twin.handle(.idle)) == ["b"])
    }

    @Test("Of several wishes that come while the engine works only the last is carried out")
    func lastWins() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("a")))
        _ = twin.handle(.document(desired("b")))
        _ = twin.handle(.document(desired("c")))
        #expect(started(twin.handle(.idle)) == ["c"])
        #expect(twin.handle(.idle).isEmpty)
    }

    @Test("Cancel reaches only the attempt that it names")
    func cancel() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("a")))
        #expect(twin.handle(.document(desired("z", action: "cancel"))).isEmpty)
        #expect(twin.handle(.document(desired("a", action: "cancel"))) == [.requestCancel("a")])
    }

    @Test("Cancel of a wish that waits for its turn takes it back")
    func cancelWaiting() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("a")))
        _ = twin.handle(.document(desired("b")))
        #expect(twin.handle(.document(desired("b", action: "cancel"))).isEmpty)
        #expect(twin.handle(.idle).isEmpty)
    }

    @Test("Pause and resume reach the attempt in work at once, any number of times, and a repeated one does nothing")
    func pauses() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("a")))
        for round in 0..<3 {
            #expect(twin.handle(.document(desired("a", action: "pause"))) == [.requestPause("a")], "\(round)")
            #expect(twin.handle(.document(desired("a", action: "pause"))).isEmpty)
            // The document that began it, delivered once more, takes nothing back.
            #expect(twin.handle(.document(desired("a"))).isEmpty)
            #expect(twin.handle(.idle).isEmpty)
            let effects = twin.handle(.document(desired("a", action: "resume")))
            #expect(effects.first == .requestResume("a") && started(effects) == ["a"])
            #expect(twin.handle(.document(desired("a", action: "resume"))).isEmpty)
            _ = twin.handle(.status(Self.working, at: 0))
        }
    }

    /// An attempt `a` that is fetched.
    private static let working: EngineStatus = {
        var status = EngineStatus(
            phase: .fetching, attempt: Attempt(id: "a", location: "x", wanted: nil), record: BootRecord(),
            running: .a, bootID: "")
        status.totalBytes = 1
        return status
    }()

    @Test("A resume that waits for its turn is taken back by a pause")
    func pauseBehindResume() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("a")))
        _ = twin.handle(.document(desired("a", action: "pause")))
        #expect(twin.handle(.document(desired("a", action: "resume"))) == [.requestResume("a")])
        #expect(twin.handle(.document(desired("a", action: "pause"))) == [.requestPause("a")])
        #expect(twin.handle(.idle).isEmpty)
    }

    @Test("A pause reaches a wish that waits for its turn, which then starts paused")
    func pauseWaiting() {
        var twin = TwinMachine()
        _ = twin.handle(.document(desired("a")))
        _ = twin.handle(.document(desired("b")))
        #expect(twin.handle(.document(desired("b", action: "pause"))) == [.requestPause("b")])
        #expect(started(twin.handle(.idle)) == ["b"])
    }

    @Test("A pause of an attempt that is not there is refused")
    func pauseUnknown() throws {
        var twin = TwinMachine()
        guard case .report(let patch)? = twin.handle(.document(desired("z", action: "pause"))).first else {
            Issue.record("no report")
            return
        }
        #expect(patch["ota"]?["refused"]?["code"]?.text == "engine.nothing-to-pause")
    }

    @Test("An attempt that the engine took up by itself after a start can be canceled and replaced like any other")
    func resumed() throws {
        let resumed = try ReportedDocumentTests.status(.fetching)
        let id = try #require(resumed.attempt?.id)
        for (document, stops) in [
            (desired(id, action: "cancel"), true), (desired("b"), true), (desired(id), false),
            (desired("z", action: "cancel"), false),
        ] {
            var twin = TwinMachine()
            _ = twin.handle(.status(resumed, at: 0))
            let effects = twin.handle(.document(document))
            #expect(effects.contains(.requestCancel(id)) == stops, "\(document)")
            #expect(started(effects).count == 1)
        }
    }

    @Test("Why an attempt pauses is told at once, also right after progress")
    func pauseAtOnce() throws {
        var twin = TwinMachine()
        var status = try ReportedDocumentTests.status(.fetching)
        status.pause = nil
        _ = twin.handle(.status(status, at: 0))
        status.handledBytes += 1 << 20
        #expect(twin.handle(.status(status, at: 1)).isEmpty)
        status.pause = Failure(EngineError.interrupted)
        #expect(twin.handle(.status(status, at: 2)).count == 1)
    }

    @Test(
        "Another section of the twin, or a removed one, is no request",
        arguments: ["{}", "{\"ota\":null}", "{\"x\":1,\"$version\":2}"])
    func otherSections(text: String) {
        var twin = TwinMachine()
        #expect(twin.handle(.document(text)).isEmpty)
    }

    @Test(
        "A document that is wrong is refused with a code and starts nothing",
        arguments: [
            ("", "json.syntax"), ("[]", "json.type"), ("{\"ota\":1}", "json.type"), ("{\"ota\":{}}", "json.missing"),
            ("{\"ota\":{\"attempt\":\"a b\",\"url\":\"u\"}}", "json.bounds"),
            ("{\"ota\":{\"attempt\":\"a\"}}", "json.missing"),
            ("{\"ota\":{\"attempt\":\"a\",\"url\":\"u\",\"force\":true}}", "json.unknown"),
            ("{\"ota\":{\"attempt\":\"a\",\"url\":\"u\",\"action\":\"brick\"}}", "json.bounds"),
            ("{\"ota\":{\"attempt\":\"a\",\"attempt\":\"b\",\"url\":\"u\"}}", "json.duplicate"),
            ("{\"ota\":{\"attempt\":\"a\",\"url\":\"u\",\"manifest\":\"\"}}", "json.bounds"),
        ])
    func wrong(text: String, code: String) throws {
        var twin = TwinMachine()
        let effects = twin.handle(.document(text))
        guard effects.count == 1, case .report(let patch) = effects[0] else {
            Issue.record("got \(effects)")
            return
        }
        #expect(patch["ota"]?["refused"]?["code"]?.text == code)
    }

    @Test("The same state is reported once, progress at most once a second, a new phase at once")
    func rate() throws {
        var twin = TwinMachine()
        var status = try ReportedDocumentTests.status(.fetching)
        #expect(twin.handle(.status(status, at: 0)).count == 1)
        #expect(twin.handle(.status(status, at: 5_000_000_000)).isEmpty)
        status.handledBytes += 8 << 20
        #expect(twin.handle(.status(status, at: 5_000_000_000)).count == 1)
        status.handledBytes += 8 << 20
        #expect(twin.handle(.status(status, at: 5_500_000_000)).isEmpty)
        #expect(twin.handle(.status(try ReportedDocumentTests.status(.written), at: 5_600_000_000)).count == 1)
        #expect(twin.handle(.status(try ReportedDocumentTests.status(.confirmed), at: 5_600_000_001)).count == 1)
    }
}
