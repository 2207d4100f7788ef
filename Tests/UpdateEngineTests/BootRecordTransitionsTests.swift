import BootControl
import BundleFormat
import Platform
import Testing

@testable import UpdateEngine

/// Numbers that come again with the same seed.
struct SeededNumbers: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

@Suite("The steps of the boot record")
struct BootRecordTransitionsTests {
    static let release = SHA256.digest(of: [1])

    static func begun(_ record: BootRecord = BootRecord(), running: SlotSet = .a) -> BootRecord {
        record.beginning(attempt: "x", running: running, manifest: release, sequence: 5, securityVersion: 3)
    }

    @Test("Beginning keeps the running slot selected and the other one unselectable", arguments: SlotSet.allCases)
    func beginning(running: SlotSet) {
        var record = BootRecord(active: running, phase: .fellBack, triesLeft: 2, userSpaceBoots: 1, reason: .bootFailed)
        record[running] = SlotRecord(state: .good, manifest: SHA256.digest(of: [9]), sequence: 4, securityVersion: 2)
        let next = Self.begun(record, running: running)
        #expect(next.active == running && next.phase == .writing)
        #expect(next.triesLeft == 0 && next.userSpaceBoots == 0 && next.reason == .none && next.attempt == "x")
        #expect(next[running] == record[running])
        #expect(
            next[running.other]
                == SlotRecord(state: .writing, manifest: Self.release, sequence: 5, securityVersion: 3))
        #expect(next.floor == record.floor && next.acceptedSequence == record.acceptedSequence)
    }

    @Test("Arming selects the written slot with its tries in the same step, and touches the former one in nothing")
    func arming() {
        let next = Self.begun().arming(tries: 3)
        #expect(next.active == .b && next.phase == .trial && next.triesLeft == 3)
        #expect(next.slotB.state == .trial && next.slotB.manifest == Self.release)
        #expect(next.slotA == BootRecord().slotA)
    }

    @Test("Nothing but a record that is being written can be armed", arguments: BootRecord.Phase.allCases)
    func armingOnlyFromWriting(phase: BootRecord.Phase) async {
        if phase == .writing { return }
        switch phase {
        case .idle: await #expect(processExitsWith: .failure) { _ = BootRecord(phase: .idle).arming(tries: 3) }
        case .trial: await #expect(processExitsWith: .failure) { _ = BootRecord(phase: .trial).arming(tries: 3) }
        case .confirmed:
            await #expect(processExitsWith: .failure) { _ = BootRecord(phase: .confirmed).arming(tries: 3) }
        case .fellBack: await #expect(processExitsWith: .failure) { _ = BootRecord(phase: .fellBack).arming(tries: 3) }
        case .writing: break
        }
    }

    @Test("A release that is armed without tries would never start: that is a defect")
    func armingWithoutTries() async {
        await #expect(processExitsWith: .failure) { _ = BootRecord(phase: .writing).arming(tries: 0) }
    }

    @Test("Confirming raises the floor only to what both selectable slots have")
    func confirming() {
        var record = BootRecord(slotA: SlotRecord(state: .good, securityVersion: 2), floor: 1)
        record = Self.begun(record).arming(tries: 3).confirming()
        #expect(record.phase == .confirmed && record.active == .b && record.slotB.state == .good)
        #expect(record.floor == 2 && record.acceptedSequence == 5 && record.triesLeft == 0)
        var alone = BootRecord(slotA: SlotRecord(state: .bad, securityVersion: 2), floor: 1)
        alone = Self.begun(alone).arming(tries: 3).confirming()
        #expect(alone.floor == 3)
    }

    @Test("Confirming an older sequence does not lower what was accepted")
    func acceptedSequence() {
        let record = Self.begun(BootRecord(acceptedSequence: 9)).arming(tries: 3).confirming()
        #expect(record.acceptedSequence == 9)
    }

    @Test("Falling back makes the tried slot unusable and keeps the reason", arguments: RollbackReason.allCases)
    func fallingBack(reason: RollbackReason) {
        let record = Self.begun().arming(tries: 3).fallingBack(reason)
        #expect(record.active == .a && record.phase == .fellBack && record.reason == reason && record.triesLeft == 0)
        #expect(record.slotB.state == .bad && record.slotA.state == .good)
        #expect(record.floor == 0 && record.acceptedSequence == 0)
    }

    @Test("User space starts are counted and never wrap around")
    func userSpace() {
        var record = Self.begun().arming(tries: 3)
        for _ in 0..<300 { record = record.reachingUserSpace() }
        #expect(record.userSpaceBoots == 255 && record.phase == .trial && record.triesLeft == 3)
    }

    @Test("Switching back keeps both slots usable and names its own attempt")
    func switchingBack() {
        let record = Self.begun().arming(tries: 3).confirming().switchingBack(attempt: "back")
        #expect(record.active == .a && record.phase == .fellBack && record.reason == .requested)
        #expect(record.attempt == "back" && record.slotA.state == .good && record.slotB.state == .good)
    }

    /// One random step that the engine or a boot loader may take, and the slot that runs after it.
    private func step(
        _ record: BootRecord, _ running: inout SlotSet, _ numbers: inout SeededNumbers
    ) -> BootRecord {
        switch (record.phase, Int.random(in: 0..<10, using: &numbers)) {
        case (_, 0):
            let choice = BootLoaderModel.choose(record)
            running = choice.slot
            return choice.write ?? record
        case (.trial, 1...2) where running == record.active: return record.confirming()
        case (.trial, 3...4):
            return record.fallingBack(RollbackReason.allCases.randomElement(using: &numbers) ?? .none)
        case (.trial, 5) where running == record.active: return record.reachingUserSpace()
        case (.trial, _):
            let choice = BootLoaderModel.choose(record)
            running = choice.slot
            return choice.write ?? record
        case (.writing, 1...4): return record.arming(tries: UInt8.random(in: 1...9, using: &numbers))
        case (_, 1...2) where record.active == running && record[running.other].state == .good:
            return record.switchingBack(attempt: "back")
        default:
            // As the engine admits: the running slot is good, and no release is below the floor or the sequence.
            guard record[running].state == .good, !(record.phase == .fellBack && record.active != running) else {
                return record
            }
            return record.beginning(
                attempt: "n", running: running, manifest: Self.release,
                sequence: record.acceptedSequence + UInt64.random(in: 0...2, using: &numbers),
                securityVersion: record.floor + UInt32.random(in: 0...2, using: &numbers))
        }
    }

    @Test(
        "Over any sequence of steps what is selected can be started, and the floor locks nothing out that can be",
        arguments: UInt64(1)...40)
    func invariants(seed: UInt64) {
        var numbers = SeededNumbers(seed)
        var record = BootRecord()
        var running = SlotSet.a
        for number in 0..<500 {
            let former = record
            record = step(record, &running, &numbers)
            let place = Comment(rawValue: "seed \(seed), step \(number): \(former) to \(record)")
            #expect(record.floor >= former.floor && record.acceptedSequence >= former.acceptedSequence, place)
            let selected = record[record.active].state
            #expect(selected == .good || selected == .trial && record.phase == .trial, place)
            #expect((record.phase == .trial) == (selected == .trial), place)
            #expect(record[running].state != .writing, place)
            if record.phase == .trial {
                #expect(former.phase == .trial || former.phase == .writing, place)
                #expect(record[record.active.other].state == .good, place)
            } else {
                #expect(record.triesLeft == 0, place)
            }
            // What may be selected: confirmed slots, and the one on trial.
            for set in SlotSet.allCases where record[set].state == .good || record[set].state == .trial {
                #expect(record[set].securityVersion >= record.floor, place)
            }
        }
    }
}
