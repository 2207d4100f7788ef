internal import BootControl
internal import BundleFormat

/// The rules that hold in every state that a power cut can leave.
struct SampleInvariants {
    let scenario: SampleScenario
    let pool: ContentPool
    /// Windows by release and component, and the empty tail, as content numbers.
    private let whole: [Digest: [[UInt32]]]
    private let zeros: UInt32

    init(_ scenario: SampleScenario, _ pool: ContentPool) {
        self.scenario = scenario
        self.pool = pool
        var whole: [Digest: [[UInt32]]] = [:]
        for release in scenario.all {
            whole[release.digest] = release.windows.map { $0.map { pool.number(of: Content($0)) } }
        }
        self.whole = whole
        zeros = pool.number(of: Content([UInt8](repeating: 0, count: SampleRelease.windowSize)))
    }

    /// The newest whole record.
    static func newest(_ cells: [UInt32], _ layout: SampleLayout, _ pool: ContentPool) -> BootRecord? {
        let found = [0, 1].compactMap { copy -> ContentPool.Meaning? in
            let meaning = pool.meaning(cells[layout.record(copy)])
            return meaning.record != nil && Int(meaning.copy) == copy ? meaning : nil
        }
        return found.max { $0.order < $1.order }?.record
    }

    func record(_ state: SampleState) -> BootRecord? { Self.newest(state.cells, scenario.layout, pool) }
    func floor(_ state: SampleState) -> UInt32 { SampleFloor.value(pool[state.cells[scenario.layout.floor]].bytes) }

    /// The rules that a state breaks, the gravest first. `parent` is the state that the run started from.
    func check(_ state: SampleState, after parent: SampleState?, bug: SeededBug?) -> [String] {
        guard var record = record(state) else { return ["S1: no copy of the boot record is whole: nothing boots"] }
        if bug == .twoTruths, let set = second(state) { record.active = set }
        return [checkSlots(state, record), checkFloors(state, record, parent), checkFacts(state, record)]
            .compactMap { $0 }
    }

    private func checkSlots(_ state: SampleState, _ record: BootRecord) -> String? {
        let choice = BootLoaderModel.choose(record).slot
        for set in SlotSet.allCases {
            let selectable = record[set].state == .good || record[set].state == .trial
            if selectable || set == choice, let why = gap(state, set, record) {
                let rule = set == choice ? "S1: the boot loader starts" : "S3: the record makes selectable"
                return "\(rule) slot set \(set.letter), \(why)"
            }
        }
        return nil
    }

    private func second(_ state: SampleState) -> SlotSet? {
        pool[state.cells[scenario.layout.extra]].bytes.first.flatMap { SlotSet(rawValue: $0) }
    }

    /// Why a slot set is not complete; nil when it is.
    private func gap(_ state: SampleState, _ set: SlotSet, _ record: BootRecord) -> String? {
        let slot = record[set]
        if slot.state != .good && slot.state != .trial { return "which is recorded as \(slot.state)" }
        guard let manifest = slot.manifest, let windows = whole[manifest] else { return "which holds no release" }
        for component in scenario.layout.counts.indices {
            for index in windows[component].indices
            where state.cells[scenario.layout.window(set, component, index)] != windows[component][index] {
                return "whose \(scenario.layout.name(scenario.layout.window(set, component, index))) is not written"
            }
            if state.cells[scenario.layout.tail(set, component)] != zeros { return "whose tail holds older bytes" }
        }
        if slot.state == .good, let release = scenario.release(manifest), release.behaviour != .good {
            return "which holds a release that failed"
        }
        return nil
    }

    private func checkFloors(_ state: SampleState, _ record: BootRecord, _ parent: SampleState?) -> String? {
        let counter = floor(state)
        for set in SlotSet.allCases where record[set].state == .good || record[set].state == .trial {
            let version = record[set].securityVersion
            if max(counter, record.floor) > version {
                return "S7: the floor is \(max(counter, record.floor)), slot set \(set.letter) has \(version)"
            }
        }
        if let parent, let former = self.record(parent) {
            if floor(parent) > counter || former.floor > record.floor { return "S7: the floor fell" }
            if former.acceptedSequence > record.acceptedSequence { return "S7: the accepted sequence fell" }
            let sameTrial = former.phase == .trial && record.phase == .trial && former.attempt == record.attempt
            if sameTrial && record.triesLeft > former.triesLeft { return "S8: a try came back" }
        }
        return nil
    }

    private func checkFacts(_ state: SampleState, _ record: BootRecord) -> String? {
        guard let stage = scenario.stages.indices.first(where: { "attempt-\($0)" == record.attempt }) else {
            return nil
        }
        let told = state.facts.told[stage]
        if told == .confirmed && record.phase != .confirmed && record.phase != .idle {
            return "S6: attempt \(stage) was told confirmed, the record says \(record.phase)"
        }
        if told == .rolledBack && (record.phase == .confirmed || record.phase == .trial) {
            return "S6: attempt \(stage) was told rolled back, the record says \(record.phase)"
        }
        let isGood = scenario.stages[stage].behaviour == .good
        if isGood, record.phase == .fellBack, state.facts.faults == scenario.faults {
            if record.reason != .bootFailed && record.reason != .notConfirmed {
                return "L1: the good release of attempt \(stage) was given up: \(record.reason.name)"
            }
            if state.facts.trialBoots < scenario.tries {
                return "L1: the good release of attempt \(stage) was given up after \(state.facts.trialBoots) starts"
            }
        }
        return nil
    }

    // MARK: where a story ends

    /// Starts with power held within which a story must come to its end.
    var bound: Int { scenario.stages.count * (Int(scenario.tries) + 5) }

    /// Where a story ends, everything that was wanted last came to an end that was told.
    func checkEnd(_ state: SampleState) -> String? {
        let told = state.facts.told[state.facts.stage]
        if told == .nothing { return "L5: nothing is left to do, and attempt \(state.facts.stage) has no end" }
        if state.facts.stage + 1 < scenario.stages.count { return "L4: the next update is never begun" }
        return nil
    }

    /// From every state in which the trial of the last release is not over, a good one is confirmed in the end, and
    /// one that does not work ends with the release before it.
    func checkOutcome(_ state: SampleState, _ end: SampleState) -> String? {
        let last = scenario.stages.count - 1
        guard state.facts.told[last] == .nothing else { return nil }
        // A failure of the medium ends an attempt, and is told.
        if state.facts.faults < scenario.faults && end.facts.told[last] == .failed { return nil }
        guard scenario.stages[last].behaviour == .good else {
            let told = end.facts.told[last]
            let isBack = self.record(end).map { BootLoaderModel.choose($0).slot == .a } ?? false
            return told == .rolledBack && isBack
                ? nil : "L1: the release \(scenario.stages[last].name) that does not work ends \(told)"
        }
        guard let record = record(state), end.facts.told[last] != .confirmed else { return nil }
        let tried = record.attempt == "attempt-\(last)" && record.phase != .writing
        if tried && (record.phase == .fellBack || record.triesLeft == 0 || state.facts.resident == nil) { return nil }
        return "L4: the good release \(scenario.stages[last].name) does not get in: \(end.facts.told[last])"
    }
}
