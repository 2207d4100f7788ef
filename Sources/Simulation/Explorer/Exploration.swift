internal import BootControl
public import Platform

/// What an exploration found.
public struct ExplorationResult: Sendable {
    public let scenario: String
    public let bug: SeededBug?
    /// Different persistent states, by what they decide.
    public let states: Int
    /// Crash states that were made and checked, duplicates of known ones included.
    public let transitions: Int
    /// Starts of the engine.
    public let starts: Int
    /// Whether no new state was left.
    public let isComplete: Bool
    /// Whether who asked for it ended it before.
    let isStopped: Bool
    /// Starts that the slowest recovery took, from any state to the end of the story, with power held.
    public let longestRecovery: Int
    /// Crash states that broke a rule which the scenario tolerates, by the rule's short name.
    public let tolerated: [String: Int]
    /// The first broken rule, with the shortest way to it.
    public let violation: Violation?

    /// A broken rule.
    public struct Violation: Sendable {
        public let rule: String
        /// What happened, one step a line, from a whole device on.
        public let trace: [String]
        /// The same for a replay.
        let steps: [TraceStep]
    }

    /// One line.
    public var text: String {
        let end = violation.map { "\($0.rule), after \($0.trace.count) steps" } ?? "no rule broken"
        return "\(scenario): \(states) states, \(transitions) transitions, \(starts) starts"
            + "\(isComplete ? "" : ", not finished"), at most \(longestRecovery) starts to recover: \(end)"
    }
}

/// Breadth-first over all persistent states that power cuts, kills and faults can lead to, until there are no new ones.
/// Every state is started again, and that start is cut everywhere too, so that crashes within recoveries of any depth
/// are covered.
public final class Exploration: @unchecked Sendable {
    private let starter: SampleStarter
    private let jobs: Int
    private let limit: Int

    private var nodes: [Node] = []
    private var known: [SampleStateKey: Int32] = [:]
    private var transitions = 0
    private var starts = 0
    private var tolerated: [String: Int] = [:]
    private var broken: ExplorationResult.Violation?

    private struct Node {
        let state: SampleState
        let parent: Int32
        let step: SampleStep
        /// The state after an undisturbed start; -1 while it is not known.
        var next: Int32 = -1
    }

    /// At most `limit` states; `jobs` threads.
    public init(
        _ scenario: SampleScenario, bug: SeededBug? = nil, limit: Int = .max,
        jobs: Int = ProcessInformation.processorCount
    ) {
        starter = SampleStarter(scenario, bug: bug)
        self.limit = limit
        self.jobs = max(1, jobs)
    }

    private var scenario: SampleScenario { starter.scenario }

    /// Explores until nothing is new, a rule is broken, or the limit is reached. `progress` is told states and how many
    /// of them wait, and says whether to go on.
    public func run(
        _ progress: (_ states: Int, _ waiting: Int) -> Bool = { _, _ in true }
    ) throws -> ExplorationResult {
        let start = try scenario.start(starter.pool)
        known[starter.key(start)] = 0
        nodes.append(Node(state: start, parent: -1, step: .begin))
        var done = 0
        var goesOn = true
        while goesOn, done < nodes.count, nodes.count < limit, broken == nil {
            let end = min(nodes.count, done + 64 * jobs)
            let expansions = try expand(done..<end)
            for (number, expansion) in zip(done..<end, expansions) where broken == nil { merge(expansion, number) }
            done = end
            goesOn = progress(nodes.count, nodes.count - done)
        }
        let complete = done == nodes.count && broken == nil
        let longest = broken == nil ? checkRecoveries(done) : 0
        return ExplorationResult(
            scenario: scenario.name, bug: starter.bug, states: nodes.count, transitions: transitions, starts: starts,
            isComplete: complete, isStopped: !goesOn && !complete, longestRecovery: longest, tolerated: tolerated,
            violation: broken)
    }

    // MARK: one state

    private struct Expansion {
        var children: [SampleStart.Child] = []
        var final: SampleStateKey?
        var transitions = 0
        var starts = 0
        var tolerated: [String: Int] = [:]
        var violation: (rule: String, step: SampleStep)?
    }

    private func expand(_ range: Range<Int>) throws -> [Expansion] {
        let results = Results(range)
        var threads: [WorkerThread] = []
        defer { for thread in threads { thread.join() } }
        for _ in 1..<jobs { threads.append(try WorkerThread(name: "kedge-explore") { self.work(results) }) }
        work(results)
        for thread in threads { thread.join() }
        return results.taken()
    }

    private final class Results: @unchecked Sendable {
        private let monitor = Monitor()
        private var next: Int
        private let range: Range<Int>
        private var expansions: [Expansion]
        init(_ range: Range<Int>) {
            self.range = range
            next = range.lowerBound
            expansions = range.map { _ in Expansion() }
        }
        func take() -> Int? {
            monitor.locked {
                guard next < range.upperBound else { return nil }
                next += 1
                return next - 1
            }
        }
        func put(_ number: Int, _ expansion: Expansion) {
            monitor.locked { expansions[number - range.lowerBound] = expansion }
        }
        func taken() -> [Expansion] { monitor.locked { expansions } }
    }

    private func work(_ results: Results) {
        while let number = results.take() { results.put(number, expand(nodes[number].state)) }
    }

    private func expand(_ state: SampleState) -> Expansion {
        var out = Expansion()
        let first = add(starter.start(state, nil), to: &out)
        out.final = first.final.key
        if let next = starter.wanted(state) { out.children.append(next) }
        guard state.facts.faults > 0 else { return out }
        for fault in starter.faults(writes: first.writes, flushes: first.flushes, pieces: first.pieces)
        where out.violation == nil { _ = add(starter.start(state, fault), to: &out) }
        return out
    }

    private func add(_ start: SampleStart, to out: inout Expansion) -> SampleStart {
        out.starts += 1
        out.transitions += start.transitions
        out.tolerated.merge(start.tolerated) { $0 + $1 }
        if out.violation == nil { out.violation = start.violation }
        out.children += start.children
        return start
    }

    // MARK: the whole

    private func merge(_ expansion: Expansion, _ number: Int) {
        transitions += expansion.transitions
        starts += expansion.starts
        tolerated.merge(expansion.tolerated) { $0 + $1 }
        for child in expansion.children where known[child.key] == nil {
            known[child.key] = Int32(nodes.count)
            nodes.append(Node(state: child.state, parent: Int32(number), step: child.step))
        }
        if let final = expansion.final { nodes[number].next = known[final] ?? -1 }
        if let (rule, step) = expansion.violation {
            broken = violation(rule, number, step)
        }
    }

    /// Liveness: from every state, with power held, the story comes to its end in a bounded number of starts, and ends
    /// as it must.
    private func checkRecoveries(_ done: Int) -> Int {
        let bound = starter.invariants.bound
        var lengths = [Int](repeating: -1, count: nodes.count)
        var longest = 0
        for number in 0..<done where broken == nil {
            var path: [Int] = []
            var at = number
            while at >= 0, lengths[at] < 0, path.count <= bound {
                let next = Int(nodes[at].next)
                if next == at {
                    lengths[at] = 0
                    if let rule = starter.invariants.checkEnd(nodes[at].state) { fail(rule, at) }
                    break
                }
                // Not explored any more because of the limit.
                if next < 0 || next >= done { break }
                path.append(at)
                at = next
            }
            if path.count > bound {
                fail("L2: \(bound) starts with power held, and the update comes to no end", number)
                break
            }
            guard lengths[at] >= 0 else { continue }
            for (distance, node) in path.reversed().enumerated() { lengths[node] = lengths[at] + distance + 1 }
            longest = max(longest, lengths[number])
            if broken == nil,
                let rule = starter.invariants.checkOutcome(nodes[number].state, nodes[end(of: number)].state)
            {
                fail(rule, number)
            }
        }
        return longest
    }

    private func end(of number: Int) -> Int {
        var at = number
        while Int(nodes[at].next) != at { at = Int(nodes[at].next) }
        return at
    }

    private func fail(_ rule: String, _ number: Int) {
        if scenario.tolerated.contains(String(rule.prefix { $0 != ":" })) { return }
        if broken == nil { broken = violation(rule, number, nil) }
    }

    /// The shortest way to a state, and one more step.
    private func violation(_ rule: String, _ number: Int, _ last: SampleStep?) -> ExplorationResult.Violation {
        var path: [Int] = []
        var at = number
        while nodes[at].parent >= 0 {
            path.append(at)
            at = Int(nodes[at].parent)
        }
        var steps = path.reversed().map { node in
            let parent = nodes[Int(nodes[node].parent)].state
            return TraceStep(
                nodes[node].step, starter.text(of: nodes[node].step, from: parent),
                to: starter.fingerprint(nodes[node].state))
        }
        if let last {
            steps.append(TraceStep(last, starter.text(of: last, from: nodes[number].state), to: ""))
        }
        return ExplorationResult.Violation(rule: rule, trace: steps.map { $0.text }, steps: steps)
    }
}
