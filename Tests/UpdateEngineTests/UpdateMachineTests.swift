import BootControl
import BundleFormat
import Platform
import Testing

@testable import UpdateEngine

@Suite("The update machine")
struct UpdateMachineTests {
    static let release = SHA256.digest(of: [1])

    static func attempt(_ id: String = "x-1") -> Attempt {
        var attempt = Attempt(id: id, location: "http://h/r.kedge", wanted: nil)
        attempt.manifest = release
        return attempt
    }

    static func planned(_ id: String = "x-1") -> UpdateMachine.Event {
        .planned(attempt(id), sequence: 5, securityVersion: 3)
    }

    static let writing = BootRecord().beginning(
        attempt: "x-1", running: .a, manifest: release, sequence: 5, securityVersion: 3)
    static let trial = writing.arming(tries: 3)
    static let network = Failure(
        code: "transfer.unreachable", category: .network, context: "no answer", remedy: "try again")
    static let damaged = Failure(code: "payload.damaged", category: .trust, context: "damaged", remedy: "again")

    /// A machine as a start finds it.
    static func machine(
        _ record: BootRecord = BootRecord(), running: SlotSet = .a, attempt: Attempt? = nil, ended: Phase? = nil
    ) -> UpdateMachine {
        UpdateMachine(record: record, running: running, attempt: attempt, ended: ended)
    }

    /// A machine that was brought to a phase by its own events.
    static func machine(in phase: Phase) -> UpdateMachine {
        var machine = machine()
        let events: [UpdateMachine.Event] = [
            .requested(attempt()), planned(), .stored(writing), .transferred, .readBack, .stored(trial),
        ]
        for event in events where machine.phase != phase { _ = machine.handle(event) }
        if phase == .trial { machine = Self.machine(trial, running: .b, attempt: attempt()) }
        if phase == .confirmed {
            machine = Self.machine(trial.confirming(), running: .b, attempt: attempt(), ended: .confirmed)
        }
        if phase == .rolledBack {
            machine = Self.machine(trial.fallingBack(.bootFailed), attempt: attempt(), ended: .rolledBack)
        }
        if phase == .failed { machine = Self.machine(writing, attempt: attempt(), ended: .failed) }
        if phase == .idle { machine = Self.machine() }
        precondition(machine.phase == phase)
        return machine
    }

    static let reached: [Phase] = [
        .idle, .planned, .fetching, .written, .verified, .armed, .trial, .confirmed, .rolledBack, .failed,
    ]

    @Test("The good way's effects are the write protocol, in its order")
    func goodWay() {
        var machine = Self.machine()
        #expect(machine.handle(.requested(Self.attempt())) == [.plan])
        #expect(machine.handle(Self.planned()) == [.store(Self.writing)])
        #expect(machine.handle(.stored(Self.writing)) == [.transfer])
        #expect(machine.handle(.transferred) == [.readBack])
        #expect(machine.handle(.readBack) == [.store(Self.trial)])
        #expect(machine.handle(.stored(Self.trial)) == [.reboot])
        #expect(machine.phase == .armed)

        machine = Self.machine(Self.trial, running: .b, attempt: Self.attempt())
        let seen = Self.trial.reachingUserSpace()
        #expect(machine.dueAtStart(currentBoot: "boot-2") == [.store(seen)])
        #expect(machine.handle(.stored(seen)) == [.measure])
        #expect(machine.handle(.measured) == [.checkHealth])
        #expect(machine.handle(.healthy) == [.store(seen.confirming())])
        #expect(machine.handle(.stored(seen.confirming())) == [.finish(.confirmed, nil, reason: "")])
        #expect(machine.phase == .confirmed)
    }

    /// Event and the only phases in which it does anything.
    static let following: [(event: UpdateMachine.Event, phases: [Phase])] = [
        (planned(), [.planned]), (.alreadyRunning(attempt()), [.planned]), (.transferred, [.fetching]),
        (.readBack, [.written]), (.measured, [.trial]), (.healthy, [.trial]),
        (.cancelRequested, [.planned, .fetching, .written, .verified]),
        (.superseded, [.planned, .fetching, .written, .verified]),
    ]

    @Test("An event that does not follow from the phase changes nothing", arguments: following)
    func order(event: UpdateMachine.Event, phases: [Phase]) {
        for phase in Self.reached {
            var machine = Self.machine(in: phase)
            let former = machine
            let effects = machine.handle(event)
            if phases.contains(phase) {
                #expect(!effects.isEmpty, "\(phase)")
            } else {
                #expect(effects.isEmpty && machine == former, "\(phase)")
            }
        }
    }

    @Test(
        "A failure before arming ends the attempt, and never touches the boot record",
        arguments: [Phase.planned, .fetching, .written, .verified])
    func failsBeforeArming(phase: Phase) {
        var machine = Self.machine(in: phase)
        let record = machine.record
        #expect(machine.handle(.failed(Self.damaged)) == [.finish(.failed, Self.damaged, reason: "")])
        #expect(machine.phase == .failed && machine.record == record)
    }

    @Test(
        "What the network or a stop interrupts is kept and not ended",
        arguments: [Phase.planned, .fetching, .written, .verified])
    func pauses(phase: Phase) {
        for failure in [Self.network, Failure(EngineError.stopped)] {
            var machine = Self.machine(in: phase)
            #expect(machine.handle(.failed(failure)).isEmpty)
            #expect(machine.phase == (phase == .planned ? .planned : .fetching))
            #expect(machine.attempt?.id == "x-1")
        }
    }

    @Test("A canceled step ends the attempt as canceled, without a failure")
    func canceledStep() {
        var machine = Self.machine(in: .fetching)
        #expect(machine.handle(.failed(Failure(EngineError.canceled))) == [.finish(.canceled, nil, reason: "")])
        #expect(machine.phase == .canceled)
    }

    @Test(
        "Any failure of a trial goes back, with the record before the report and the reboot last",
        arguments: [
            (Failure(EngineError.healthFailed("dead")), RollbackReason.healthFailed),
            (Failure(EngineError.wrongImage("differs")), .wrongImage), (damaged, .healthFailed),
            (network, .healthFailed),
        ])
    func trialFails(failure: Failure, reason: RollbackReason) {
        var machine = Self.machine(in: .trial)
        let record = Self.trial.fallingBack(reason)
        #expect(machine.handle(.failed(failure)) == [.store(record)])
        #expect(
            machine.handle(.stored(record)) == [.finish(.rolledBack, failure, reason: reason.name), .reboot])
        #expect(machine.phase == .rolledBack)
    }

    @Test("A rollback of what is armed needs no reboot, one of a trial does")
    func rollbacks() {
        let record = Self.trial.fallingBack(.requested)
        let finish = UpdateMachine.Effect.finish(.rolledBack, nil, reason: "requested")
        var armed = Self.machine(in: .armed)
        #expect(armed.handle(.rollbackRequested("x-1")) == [.store(record)])
        #expect(armed.handle(.stored(record)) == [finish])
        var trial = Self.machine(in: .trial)
        #expect(trial.handle(.rollbackRequested("x-1")) == [.store(record)])
        #expect(trial.handle(.stored(record)) == [finish, .reboot])
    }

    @Test("A rollback of a confirmed release selects the former one under its own attempt")
    func switchBack() {
        var machine = Self.machine(in: .confirmed)
        let record = Self.trial.confirming().switchingBack(attempt: "back")
        #expect(machine.handle(.rollbackRequested("back")) == [.store(record)])
        #expect(machine.attempt?.id == "back")
        #expect(machine.handle(.stored(record)) == [.finish(.rolledBack, nil, reason: "requested"), .reboot])
    }

    @Test("On resume a record that says the same is not written again, and any other is")
    func resumeWritesOnce() {
        var machine = Self.machine(Self.writing, attempt: Self.attempt())
        _ = machine.handle(.requested(Self.attempt()))
        #expect(machine.handle(Self.planned()) == [.transfer])
        for other in [
            Self.attempt("x-2"),
            {
                var other = Self.attempt(); other.manifest = SHA256.digest(of: [2]); return other
            }(),
        ] {
            var machine = Self.machine(Self.writing, attempt: Self.attempt())
            _ = machine.handle(.requested(other))
            let effects = machine.handle(.planned(other, sequence: 5, securityVersion: 3))
            guard effects.count == 1, case .store(let record) = effects[0] else {
                Issue.record("\(effects)")
                continue
            }
            #expect(record.attempt == other.id && record.slotB.manifest == other.manifest)
        }
    }

    /// Record, running slot, journal attempt, its end, phase and attempt after the start.
    static let starts: [(BootRecord, SlotSet, Attempt?, Phase?, Phase, String?)] = [
        (BootRecord(), .a, nil, nil, .idle, nil),
        (BootRecord(), .a, attempt(), nil, .planned, "x-1"),
        (BootRecord(), .a, attempt(), .failed, .failed, "x-1"),
        (writing, .a, attempt(), nil, .fetching, "x-1"),
        (writing, .a, attempt(), .canceled, .canceled, "x-1"),
        (writing, .a, nil, nil, .fetching, "x-1"),
        (writing, .a, attempt("x-2"), nil, .planned, "x-2"),
        (writing, .a, attempt("x-2"), .failed, .failed, "x-2"),
        (trial, .a, attempt(), nil, .armed, "x-1"),
        (trial, .b, attempt(), nil, .trial, "x-1"),
        (trial, .b, nil, nil, .trial, "x-1"),
        (trial, .b, attempt("x-2"), nil, .trial, "x-1"),
        (trial, .a, attempt("x-2"), .failed, .armed, "x-1"),
        (trial.confirming(), .b, attempt(), .confirmed, .confirmed, "x-1"),
        (trial.confirming(), .b, attempt(), nil, .confirmed, "x-1"),
        (trial.confirming(), .b, attempt("x-2"), .failed, .failed, "x-2"),
        (trial.fallingBack(.bootFailed), .a, attempt(), nil, .rolledBack, "x-1"),
        (trial.fallingBack(.bootFailed), .a, attempt("x-2"), nil, .planned, "x-2"),
    ]

    @Test(
        "A start takes its phase from the record, and only what the record cannot know from the journal",
        arguments: starts.indices)
    func start(index: Int) {
        let (record, running, attempt, ended, phase, id) = Self.starts[index]
        let machine = UpdateMachine(record: record, running: running, attempt: attempt, ended: ended)
        #expect(machine.phase == phase && machine.attempt?.id == id)
    }

    /// Phase's machine, boot id at arming, boot id now, what is due.
    static let due: [(UpdateMachine, String, String, [UpdateMachine.Effect])] = [
        (machine(in: .idle), "", "boot-2", []),
        (machine(in: .fetching), "", "boot-2", []),
        (machine(in: .confirmed), "", "boot-2", []),
        (machine(in: .rolledBack), "", "boot-2", []),
        (machine(trial, running: .b, attempt: attempt()), "boot-1", "boot-2", [.store(trial.reachingUserSpace())]),
        (machine(trial.reachingUserSpace(), running: .b, attempt: attempt()), "boot-1", "boot-3", [.measure]),
        (machine(trial, attempt: attempt()), "boot-1", "boot-1", [.reboot]),
        (machine(trial, attempt: attempt()), "boot-1", "boot-2", [.store(trial.fallingBack(.bootFailed))]),
        (machine(trial, attempt: attempt()), "", "boot-2", []),
        (machine(trial, attempt: attempt()), "boot-1", "", []),
        (machine(trial), "", "boot-2", []),
        (machine(trial.fallingBack(.healthFailed), running: .b, attempt: attempt()), "boot-2", "boot-2", [.reboot]),
        (machine(trial.fallingBack(.healthFailed), running: .b, attempt: attempt()), "boot-2", "boot-3", []),
        (machine(trial.fallingBack(.healthFailed), running: .b, attempt: attempt()), "", "", []),
        (machine(trial.fallingBack(.healthFailed), running: .a, attempt: attempt()), "boot-2", "boot-2", []),
    ]

    @Test("What a start has to do by itself", arguments: due.indices)
    func dueAtStart(index: Int) {
        let (machine, armed, now, effects) = Self.due[index]
        var start = machine
        if var attempt = start.attempt {
            attempt.armedBoot = armed
            start.note(attempt)
        }
        #expect(start.dueAtStart(currentBoot: now) == effects)
    }

    private func event(_ machine: UpdateMachine, _ pending: [UpdateMachine.Effect], _ numbers: inout SeededNumbers)
        -> UpdateMachine.Event
    {
        if let effect = pending.first, Int.random(in: 0..<8, using: &numbers) > 0 {
            switch effect {
            case .plan: return Self.planned(machine.attempt?.id ?? "x-1")
            case .store(let record): return .stored(record)
            case .stage: return .failed(Failure(EngineError.staged("x-1")))
            case .transfer: return .transferred
            case .readBack: return .readBack
            case .measure: return .measured
            case .checkHealth: return .healthy
            case .reboot, .finish: break
            }
        }
        let more: [UpdateMachine.Event] = [
            .transferred, .readBack, .measured, .healthy, .failed(Self.network), .failed(Self.damaged),
            .cancelRequested, Self.planned(), .alreadyRunning(Self.attempt()),
        ]
        return more.randomElement(using: &numbers) ?? .transferred
    }

    @Test(
        "Whatever comes in whatever order, nothing is armed that was not read back since its last write",
        arguments: UInt64(1)...40)
    func armsOnlyAfterReadBack(seed: UInt64) {
        var numbers = SeededNumbers(seed)
        var armed = 0
        for _ in 0..<60 {
            var machine = Self.machine()
            var pending = machine.handle(.requested(Self.attempt()))
            var isReadBack = false
            for _ in 0..<30 {
                let event = event(machine, pending, &numbers)
                if event == .readBack, machine.phase == .written { isReadBack = true }
                let former = machine.record
                pending = machine.handle(event)
                for case .store(let record) in pending where record.phase == .trial {
                    #expect(isReadBack, "seed \(seed)")
                    #expect(former.phase == .writing && record == former.arming(tries: 3), "seed \(seed)")
                    armed += 1
                }
                if pending.contains(.transfer) { isReadBack = false }
                if machine.phase == .armed { break }
            }
        }
        #expect(armed > 0, "the walk never came to arming")
    }
}
