internal import BootControl
internal import Platform

/// Numbers that only look random: the same ones for the same seed.
struct WalkRandom: Sendable {
    private var state: UInt64
    init(seed: UInt64) { state = seed &+ 0x9e37_79b9_7f4a_7c15 }

    /// 0 to `bound` - 1 (splitmix64).
    mutating func below(_ bound: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var word = state
        word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
        word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
        return bound <= 1 ? 0 : Int((word ^ (word >> 31)) % UInt64(bound))
    }
}

/// What was written in a story, by cell.
struct StoryWear: Sendable {
    var byCell: [Int: Int] = [:]
    /// Power cuts, kills and faults of the story.
    var disturbances = 0

    /// Adds what a start wrote until this step ended it.
    mutating func add(_ start: SampleStart, until step: SampleStep) {
        let end = step.isCrash ? min(step.index, start.writtenCells.count) : start.writtenCells.count
        for case let cell? in start.writtenCells[..<end] { byCell[cell, default: 0] += 1 }
        if step.isCrash || step.fault != nil { disturbances += 1 }
    }

    /// L3: nothing is written again but what was not flushed when the power went.
    func tooMuch(_ scenario: SampleScenario) -> String? {
        var again = 0
        var largest = 0
        for (cell, count) in byCell {
            guard let size = scenario.layout.windowSize(of: cell) else { continue }
            again += (count - 1) * size
            largest = max(largest, size)
        }
        let bound = disturbances * (scenario.epochBytes + largest)
        if again <= bound { return nil }
        return "L3: \(again) bytes were written again, \(disturbances) cuts and faults allow \(bound)"
    }
}

/// Goes through a story again and again, each time with power cuts and faults at other places: for releases of which a
/// start takes seconds, where not every state can be visited. Every state that a start on the way can be cut to is
/// checked; one of them is gone on from.
final class StoryWalk {
    struct Result {
        var states = 0
        var transitions = 0
        var starts = 0
        /// Stories that came to their end.
        var stories = 0
        var longestRecovery = 0
        /// The undisturbed story's.
        var calmWear = StoryWear()
        /// That of the story with most writes.
        var worstWear = StoryWear()
        var violation: ExplorationResult.Violation?
        /// Why the undisturbed story did not end well: the engine's own reason.
        var refusal: Failure?
        var isStopped = false
    }

    private let starter: SampleStarter
    private var random: WalkRandom
    private var known: Set<SampleStateKey> = []
    private(set) var result = Result()
    /// Most cuts and kills of one story.
    private static let mostCuts = 3

    init(_ scenario: SampleScenario, bug: SeededBug?, seed: UInt64) {
        starter = SampleStarter(scenario, bug: bug)
        random = WalkRandom(seed: seed)
    }

    /// The undisturbed story first, then others, until at least `starts` starts were made, a rule is broken, or `goOn`
    /// says no.
    func run(starts: Int, _ goOn: (_ starts: Int) -> Bool) throws -> Result {
        let begin = try starter.scenario.start(starter.pool)
        known.insert(starter.key(begin))
        var calm: SampleStart?
        var isCalm = true
        while result.violation == nil, isCalm || result.starts < starts {
            guard let first = story(from: begin, isCalm: isCalm, like: calm, goOn) else {
                result.isStopped = true
                break
            }
            if result.refusal != nil { break }
            if isCalm { calm = first }
            isCalm = false
            result.stories += 1
        }
        result.states = known.count
        return result
    }

    /// One story; its first start, or nil when it was stopped.
    private func story(
        from begin: SampleState, isCalm: Bool, like calm: SampleStart?, _ goOn: (Int) -> Bool
    ) -> SampleStart? {
        var state = begin
        var moves: [Move] = []
        var wear = StoryWear()
        var cuts = isCalm ? 0 : 1 + random.below(Self.mostCuts)
        var first: SampleStart?
        // Starts since the last disturbance, and the state that it left.
        var quiet = 0
        var since = begin
        while true {
            let fault = isCalm ? nil : fault(of: state, calm)
            let start = starter.start(state, fault)
            first = first ?? start
            result.starts += 1
            result.transitions += start.transitions
            for child in start.children { known.insert(child.key) }
            if let (rule, step) = start.violation {
                broken(rule, moves + [Move(from: state, step: step, to: nil)])
                return first
            }
            if fault == nil, isCalm, let failure = start.failure { result.refusal = failure }
            let crashes = start.children.filter { $0.step.isCrash }
            var next = start.final
            if cuts > 0, !crashes.isEmpty, random.below(4) > 0 {
                cuts -= 1
                // First the place, then one of the states there: windows that wait have many.
                let places = Array(Set(crashes.map { $0.step.index })).sorted()
                let place = places[random.below(places.count)]
                let there = crashes.filter { $0.step.index == place }
                next = there[random.below(there.count)]
            }
            let isDisturbed = next.step.isCrash || fault != nil
            wear.add(start, until: next.step)
            moves.append(Move(from: state, step: next.step, to: next.state))
            if next.key == starter.key(state), !isDisturbed {
                end(state, since, moves, wear, isCalm)
                return first
            }
            state = next.state
            quiet = isDisturbed ? 0 : quiet + 1
            if isDisturbed { since = state }
            result.longestRecovery = max(result.longestRecovery, quiet)
            if quiet > starter.invariants.bound {
                broken("L2: \(starter.invariants.bound) starts with power held, and the update comes to no end", moves)
                return first
            }
            if !goOn(result.starts) { return nil }
        }
    }

    private func fault(of state: SampleState, _ calm: SampleStart?) -> SampleFault? {
        guard state.facts.faults > 0, let calm, random.below(2) == 0 else { return nil }
        let all = starter.faults(writes: calm.writes, flushes: calm.flushes, pieces: calm.pieces)
        return all.isEmpty ? nil : all[random.below(all.count)]
    }

    private func end(
        _ state: SampleState, _ since: SampleState, _ moves: [Move], _ wear: StoryWear, _ isCalm: Bool
    ) {
        if result.refusal != nil { return }
        let rules = starter.invariants
        if let rule = rules.checkEnd(state) ?? rules.checkOutcome(since, state) ?? wear.tooMuch(starter.scenario) {
            broken(rule, moves)
        }
        if isCalm { result.calmWear = wear }
        if wear.byCell.values.reduce(0, +) >= result.worstWear.byCell.values.reduce(0, +) { result.worstWear = wear }
    }

    /// Words are made only where they are needed: that starts the device again.
    private func broken(_ rule: String, _ moves: [Move]) {
        let steps = moves.map { move in
            TraceStep(
                move.step, starter.text(of: move.step, from: move.from),
                to: move.to.map { starter.fingerprint($0) } ?? "")
        }
        result.violation = ExplorationResult.Violation(rule: rule, trace: steps.map { $0.text }, steps: steps)
    }

    private struct Move {
        let from: SampleState
        let step: SampleStep
        /// Nil where a rule is broken on the way.
        let to: SampleState?
    }
}

extension SampleStep {
    /// Whether the power went or the process was killed.
    var isCrash: Bool {
        switch self {
        case .cut, .kill: true
        case .begin, .end, .wanted: false
        }
    }
    /// The operation before which it happened; 0 where none did.
    var index: Int {
        switch self {
        case .cut(let index, _), .kill(let index, _): index
        case .begin, .end, .wanted: 0
        }
    }
    var fault: SampleFault? {
        switch self {
        case .cut(_, let fault), .kill(_, let fault), .end(let fault): fault
        case .begin, .wanted: nil
        }
    }
}
