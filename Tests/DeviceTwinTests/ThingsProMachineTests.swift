import BootControl
import Platform
import StrictJSON
import Testing
@testable import UpdateEngine

@testable import DeviceTwin

@Suite("ThingsPro: software upgrades by direct methods")
struct ThingsProMachineTests {
    private static let url = "https://files.example/release_2.0.kedge"

    private static func status(
        _ phase: Phase, _ attempt: String = "thingspro-1", pause: EngineError? = nil, handled: UInt64 = 0,
        staging: Staging = .none, result: Phase? = nil, failure: Failure? = nil
    ) -> EngineStatus {
        var made = Attempt(id: attempt, location: url + "?sig=secret", wanted: nil)
        made.staging = staging
        var status = EngineStatus(phase: phase, attempt: made, record: BootRecord(), running: .a, bootID: "")
        status.totalBytes = 1000
        status.handledBytes = handled
        status.pause = pause.map { Failure($0) }
        if let result { status.results = [AttemptResult(made, result, failure: failure)] }
        return status
    }

    private func call(
        _ machine: inout ThingsProMachine, _ payload: String, _ name: String = "thingspro-software-upgrade"
    ) -> [TwinMachine.Effect] {
        machine.handle(.method(name: name, id: "r", payload: payload))
    }

    private func rest(_ machine: inout ThingsProMachine, _ method: String, _ path: String) -> [TwinMachine.Effect] {
        call(&machine, #"{"path":"\#(path)","method":"\#(method)","headers":[]}"#, "thingspro-api-v1")
    }

    private func answer(_ effects: [TwinMachine.Effect]) -> (status: Int, text: String)? {
        var answers: [(Int, String)] = []
        for case .respond(_, let status, let payload) in effects { answers.append((status, payload.compactText)) }
        #expect(answers.count == 1)
        return answers.first.map { (status: $0.0, text: $0.1) }
    }

    private func report(_ effects: [TwinMachine.Effect]) -> JSONValue? {
        for case .report(let patch) in effects.reversed() { return patch["installations"] }
        return nil
    }

    private func states(_ section: JSONValue?) -> [String] {
        [section?["state"]?.text ?? "-"]
            + ["0", "1"].compactMap { section?["tasks"]?[$0]?["state"]?.text }
    }

    /// A machine whose job 1 was made.
    private func begun(installs: Bool = true) -> ThingsProMachine {
        var machine = ThingsProMachine()
        _ = call(&machine, #"{"downloadURL":"\#(Self.url)?sig=secret","runInstallation":\#(installs)}"#)
        return machine
    }

    @Test(
        "Download and install: the call is answered at once with the job's id, and its address reaches the engine whole"
    )
    func accepted() {
        var machine = ThingsProMachine()
        let effects = call(&machine, #"{"downloadURL":"\#(Self.url)?sig=secret","runInstallation":true}"#)
        #expect(answer(effects)?.status == 200)
        #expect(answer(effects)?.text == #"{"data":{"id":1}}"#)
        let update = DesiredUpdate(
            attempt: "thingspro-1", action: .install, url: Self.url + "?sig=secret", manifest: nil)
        #expect(effects.contains(.start(update)))
        let section = report(effects)
        #expect(states(section) == ["created", "created", "created"])
        #expect(section?.compactText.contains("secret") == false)
    }

    @Test("The whole section of a new job is the golden one: clients compare names and words")
    func golden() {
        var machine = ThingsProMachine()
        let effects = call(&machine, #"{"downloadURL":"\#(Self.url)","runInstallation":false}"#)
        #expect(
            report(effects)?.compactText
                == #"{"completedTask":0,"id":1,"isDeleted":false,"jobID":1,"lastState":"","owner":"admin","#
                + #""parameter":{"jobID":null,"download":true,"install":false,"url":"\#(Self.url)"},"#
                + #""state":"created","errorMessage":null,"totalTask":1,"tasks":{"0":{"type":"download","#
                + #""name":"release_2.0.kedge","progress":0,"totalSize":0,"state":"created"},"1":null,"arraySize":1}}"#)
    }

    @Test("A job runs through its tasks to succeed")
    func story() {
        var machine = begun()
        let fetching = report(machine.handle(.status(Self.status(.fetching, handled: 400), at: 1)))
        #expect(states(fetching) == ["running", "running", "created"])
        #expect(fetching?["tasks"]?["0"]?["progress"]?.number == 40)
        #expect(fetching?["tasks"]?["0"]?["totalSize"]?.number == 1000)
        let armed = report(machine.handle(.status(Self.status(.armed), at: 2)))
        #expect(states(armed) == ["running", "succeed", "running"])
        #expect(armed?["completedTask"]?.number == 1)
        let done = report(machine.handle(.status(Self.status(.confirmed, result: .confirmed), at: 3)))
        #expect(states(done) == ["succeed", "succeed", "succeed"])
        // Told once: what comes again says nothing new.
        #expect(machine.handle(.status(Self.status(.confirmed, result: .confirmed), at: 9_000_000_000)).isEmpty)
    }

    @Test("Progress alone is told at most every five seconds")
    func pace() {
        var machine = begun()
        #expect(report(machine.handle(.status(Self.status(.fetching, handled: 100), at: 1))) != nil)
        #expect(machine.handle(.status(Self.status(.fetching, handled: 200), at: 4_000_000_000)).isEmpty)
        #expect(report(machine.handle(.status(Self.status(.fetching, handled: 300), at: 6_000_000_000))) != nil)
    }

    @Test("A step behind the download is told at once: it may be the last change before the reboot")
    func steps() {
        var machine = begun()
        _ = machine.handle(.status(Self.status(.verified), at: 1))
        let armed = report(machine.handle(.status(Self.status(.armed), at: 2)))
        #expect(armed?["tasks"]?["1"]?["progress"]?.number == 50)
    }

    @Test("Download only succeeds when everything is in the slot, and a later job installs it under a new id")
    func twoSteps() {
        var machine = begun(installs: false)
        let staged = report(
            machine.handle(.status(Self.status(.fetching, pause: .staged("thingspro-1"), staging: .done), at: 1)))
        #expect(states(staged) == ["succeed", "succeed"])
        let effects = call(&machine, #"{"id":1,"runInstallation":true}"#)
        #expect(answer(effects)?.text == #"{"data":{"id":2}}"#)
        #expect(effects.contains(.requestResume("thingspro-1")))
        #expect(report(effects)?["parameter"]?["jobID"]?.number == 1)
        #expect(report(effects)?["tasks"]?["1"] == .null)
        // Until the engine took note it still says that it waits: that is no success of the new job.
        let early = machine.handle(
            .status(Self.status(.fetching, pause: .staged("thingspro-1"), staging: .done), at: 2))
        #expect(early.isEmpty)
        #expect(answer(call(&machine, #"{"id":1,"runInstallation":true}"#))?.text == #"{"data":{"id":2}}"#)
        let done = report(machine.handle(.status(Self.status(.confirmed, result: .confirmed), at: 3)))
        #expect(states(done) == ["succeed", "succeed"])
        #expect(done?["id"]?.number == 2)
    }

    @Test("The same call twice makes one job; another one while it is active is refused")
    func once() {
        var machine = begun()
        let again = call(&machine, #"{"downloadURL":"\#(Self.url)?sig=renewed","runInstallation":true}"#)
        #expect(answer(again)?.text == #"{"data":{"id":1}}"#)
        #expect(again.count == 1)
        let other = answer(call(&machine, #"{"downloadURL":"\#(Self.url)x","runInstallation":true}"#))
        #expect(other?.status == 409)
        #expect(other?.text == #"{"error":{"message":"job 1 is active"}}"#)
    }

    @Test("Suspend and resume, with the words that the vendor's clients know")
    func suspend() {
        var machine = begun()
        _ = machine.handle(.status(Self.status(.fetching, handled: 100), at: 1))
        let asked = rest(&machine, "PUT", "/upgrades/1/suspend")
        #expect(answer(asked)?.status == 200)
        #expect(asked.contains(.requestPause("thingspro-1")))
        #expect(states(report(asked)) == ["suppending", "suppending", "created"])
        let held = report(machine.handle(.status(Self.status(.fetching, pause: .paused("thingspro-1")), at: 2)))
        #expect(states(held) == ["suppended", "suppended", "created"])
        #expect(held?["lastState"]?.text == "running")
        #expect(answer(rest(&machine, "PUT", "/upgrades/1/suspend"))?.status == 400)
        let resumed = rest(&machine, "PUT", "/upgrades/1/resume")
        #expect(resumed.contains(.requestResume("thingspro-1")))
        #expect(states(report(resumed)).first == "resuming")
        let running = report(machine.handle(.status(Self.status(.fetching, handled: 100), at: 3)))
        #expect(states(running) == ["running", "running", "created"])
    }

    @Test("Cancel ends a job; once the release is armed it can no longer be canceled")
    func cancel() {
        var machine = begun()
        _ = machine.handle(.status(Self.status(.fetching), at: 1))
        let asked = rest(&machine, "PUT", "/upgrades/1/cancel")
        #expect(asked.contains(.requestCancel("thingspro-1")))
        #expect(states(report(asked)).first == "canceling")
        let done = report(machine.handle(.status(Self.status(.canceled, result: .canceled), at: 2)))
        #expect(states(done) == ["canceled", "canceled", "created"])
        var late = begun()
        _ = late.handle(.status(Self.status(.armed), at: 1))
        #expect(
            answer(rest(&late, "PUT", "/upgrades/1/cancel"))?.text
                == #"{"error":{"message":"state is not allowed to change"}}"#)
    }

    @Test("A failure and a rollback are failed jobs that say why")
    func failures() {
        var machine = begun()
        let why = Failure(code: "trust.unsigned", category: .trust, context: "nobody signed it", remedy: "Sign it")
        let failed = report(machine.handle(.status(Self.status(.failed, result: .failed, failure: why), at: 1)))
        #expect(states(failed) == ["failed", "failed", "created"])
        #expect(failed?["errorMessage"]?.text == "trust.unsigned: nobody signed it")
        var other = begun()
        let back = report(other.handle(.status(Self.status(.rolledBack, result: .rolledBack, failure: why), at: 1)))
        #expect(back?["errorMessage"]?.text == "rolled back: trust.unsigned: nobody signed it")
    }

    @Test("A job that the engine never took note of has failed when the engine has nothing more to do")
    func neverStarted() {
        var machine = begun()
        _ = machine.handle(.status(Self.status(.idle, "another"), at: 1))
        #expect(states(report(machine.handle(.idle))).first == "failed")
    }

    @Test("After a restart the job is reported from what the engine knows, and numbers go on")
    func restart() {
        var machine = ThingsProMachine()
        let first = report(machine.handle(.status(Self.status(.confirmed, "thingspro-7", result: .confirmed), at: 1)))
        #expect(first?["id"]?.number == 7)
        #expect(states(first) == ["succeed", "succeed", "succeed"])
        #expect(first?.compactText.contains("secret") == false)
        let next = call(&machine, #"{"downloadURL":"\#(Self.url)","runInstallation":true}"#)
        #expect(answer(next)?.text == #"{"data":{"id":8}}"#)
    }

    @Test("An attempt that somebody else wants is neither reported as a job nor interrupted by one")
    func others() {
        var machine = ThingsProMachine()
        #expect(machine.handle(.status(Self.status(.fetching, "native"), at: 1)).isEmpty)
        let refused = call(&machine, #"{"downloadURL":"\#(Self.url)","runInstallation":true}"#)
        #expect(answer(refused)?.status == 409)
    }

    @Test("Jobs are listed, read and deleted over the REST interface")
    func interface() {
        var machine = begun()
        let url = #"{\"url\":\"\#(Self.url)\",\"install\":true}"#
        let posted = call(
            &machine, #"{"path":"/upgrades","method":"POST","headers":[],"requestBody":"\#(url)"}"#, "thingspro-api-v1")
        #expect(answer(posted)?.text == #"{"data":{"id":1}}"#)
        #expect(answer(rest(&machine, "GET", "/upgrades/1"))?.text.contains(#""tasks":[{"type":"download""#) == true)
        #expect(answer(rest(&machine, "DELETE", "/upgrades/1"))?.status == 400)
        _ = machine.handle(.status(Self.status(.confirmed, result: .confirmed), at: 1))
        #expect(report(rest(&machine, "DELETE", "/upgrades/1"))?["isDeleted"] == .bool(true))
        #expect(answer(rest(&machine, "DELETE", "/upgrades/1"))?.status == 400)
        #expect(answer(rest(&machine, "GET", "/upgrades"))?.text == #"{"data":[]}"#)
    }

    @Test("system-reboot is answered before the device reboots")
    func reboot() {
        var machine = ThingsProMachine()
        let effects = call(&machine, "{}", "system-reboot")
        #expect(
            effects == [
                .respond(id: "r", status: 200, payload: .members([("data", .string("rebooting"))])), .reboot,
            ])
    }

    @Test(
        "A call that cannot be understood is refused with the reason",
        arguments: [
            ("thingspro-software-upgrade", "{", 400), ("thingspro-software-upgrade", "{}", 400),
            ("thingspro-software-upgrade", #"{"downloadURL":""}"#, 400),
            ("thingspro-software-upgrade", #"{"downloadURL":"u","id":1}"#, 400),
            ("thingspro-software-upgrade", #"{"downloadURL":"u","extra":1}"#, 400),
            ("thingspro-software-upgrade", #"{"id":4,"runInstallation":true}"#, 404),
            ("thingspro-software-upgrade", #"{"id":4,"runInstallation":false}"#, 400),
            ("thingspro-api-v1", #"{"path":"/system/sshserver","method":"PUT"}"#, 404),
            ("thingspro-api-v1", #"{"path":"/upgrades/9","method":"GET"}"#, 404),
            ("thingspro-api-v1", #"{"path":"/upgrades","method":"PATCH"}"#, 405),
            ("thingspro-api-v1", #"{"path":"/upgrades","method":"POST"}"#, 400),
        ])
    func refused(name: String, payload: String, status: Int) {
        var machine = ThingsProMachine()
        let effects = call(&machine, payload, name)
        #expect(answer(effects)?.status == status)
        #expect(effects.count == 1)
    }
}
