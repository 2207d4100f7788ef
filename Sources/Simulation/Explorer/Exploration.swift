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
    /// Starts that the slowest recovery took, from any state to the end of the story, with power held.
    public let longestRecovery: Int
    /// The first broken rule, with the shortest way to it.
    public let violation: Violation?

    /// A broken rule.
    public struct Violation: Sendable {
        public let rule: String
        /// What happened, one step a line, from a whole device on.
        public let trace: [String]
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
    private let scenario: SampleScenario
    private let bug: SeededBug?
    private let pool = ContentPool()
    private let invariants: SampleInvariants
    private let crashes: CrashStates
    private let jobs: Int
    private let limit: Int

    private var nodes: [Node] = []
    private var known: [SampleStateKey: Int32] = [:]
    private var transitions = 0
    private var starts = 0
    private var broken: ExplorationResult.Violation?

    /// One way from a state to another.
    enum Step: Sendable {
        case begin
        /// The power went before this operation of the start.
        case cut(Int, SampleFault?)
        /// Only the process ended there.
        case kill(Int, SampleFault?)
        /// The start came to its end.
        case end(SampleFault?)
        /// The next update is wanted.
        case wanted
    }

    private struct Node {
        let state: SampleState
        let parent: Int32
        let step: Step
        /// The state after an undisturbed start; -1 while it is not known.
        var next: Int32 = -1
    }

    /// At most `limit` states; `jobs` threads.
    public init(
        _ scenario: SampleScenario, bug: SeededBug? = nil, limit: Int = .max,
        jobs: Int = ProcessInformation.processorCount
    ) {
        self.scenario = scenario
        self.bug = bug
        self.limit = limit
        self.jobs = max(1, jobs)
        invariants = SampleInvariants(scenario, pool)
        crashes = CrashStates(layout: scenario.layout, exhaustive: scenario.exhaustive)
    }

    /// Explores until nothing is new, a rule is broken, or the limit is reached. `progress` is told states and how many
    /// of them wait.
    public func run(_ progress: (_ states: Int, _ waiting: Int) -> Void = { _, _ in }) throws -> ExplorationResult {
        let start = try scenario.start(pool)
        known[start.key(pool, scenario.layout)] = 0
        nodes.append(Node(state: start, parent: -1, step: .begin))
        var done = 0
        while done < nodes.count, nodes.count < limit, broken == nil {
            let end = min(nodes.count, done + 64 * jobs)
            let expansions = try expand(done..<end)
            for (number, expansion) in zip(done..<end, expansions) where broken == nil { merge(expansion, number) }
            done = end
            progress(nodes.count, nodes.count - done)
        }
        let complete = done == nodes.count && broken == nil
        let longest = broken == nil ? checkRecoveries(done) : 0
        return ExplorationResult(
            scenario: scenario.name, bug: bug, states: nodes.count, transitions: transitions, starts: starts,
            isComplete: complete, longestRecovery: longest, violation: broken)
    }

    // MARK: one state

    private struct Child {
        let state: SampleState
        let key: SampleStateKey
        let step: Step
    }

    private struct Expansion {
        var children: [Child] = []
        var final: SampleStateKey?
        var transitions = 0
        var starts = 0
        var violation: (rule: String, step: Step)?
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
        let counts = start(state, nil, &out)
        if scenario.impatient, state.facts.told[state.facts.stage] == .nothing,
            state.facts.stage + 1 < scenario.stages.count
        {
            var next = state
            next.facts.stage += 1
            out.children.append(Child(state: next, key: next.key(pool, scenario.layout), step: .wanted))
        }
        if state.facts.faults > 0, out.violation == nil {
            for fault in faults(counts) {
                _ = start(state, fault, &out)
                if out.violation != nil { break }
            }
        }
        return out
    }

    private func faults(_ counts: (writes: Int, flushes: Int, pieces: Int)) -> [SampleFault] {
        var all: [SampleFault] = []
        for number in 0..<counts.writes {
            all += [
                .writeFails(number + 1, number: SystemError.inputOutput),
                .writeFails(number + 1, number: SystemError.noSpace), .writeLost(number + 1),
                .writeMisdirected(number + 1),
            ]
        }
        for number in 0..<counts.flushes { all.append(.flushFails(number + 1)) }
        for number in 0..<counts.pieces { all.append(.networkBreaks(number)) }
        return all
    }

    /// One start, and all states that it can be cut to.
    private func start(
        _ state: SampleState, _ fault: SampleFault?, _ out: inout Expansion
    ) -> (writes: Int, flushes: Int, pieces: Int) {
        let device = SampleDevice(scenario, pool, from: state, bug: bug, fault: fault)
        let end = device.run()
        out.starts += 1
        let log = device.log
        var seen: Set<SampleStateKey> = []
        func add(_ next: SampleState, _ step: Step) -> SampleStateKey {
            let key = next.key(pool, scenario.layout)
            out.transitions += 1
            if seen.insert(key).inserted {
                if out.violation == nil, let rule = invariants.check(next, after: state, bug: bug) {
                    out.violation = (rule, step)
                }
                out.children.append(Child(state: next, key: key, step: step))
            }
            return key
        }
        if let rule = device.violation { out.violation = (rule, .end(fault)) }
        var from = state
        if fault != nil { from.facts.faults -= 1 }
        var last = crashes.visit(from: from, log, pool) { next, index in _ = add(next, .cut(index, fault)) }
        if scenario.kills { kills(from, device, fault) { next, index in _ = add(next, .kill(index, fault)) } }
        last.facts = device.facts
        last.facts.resident = nil
        switch end {
        case .rebooted, .reset: break
        case .quiet, .failed:
            if device.bootOperations <= log.count, state.facts.resident != nil || !log.isEmpty || fault == nil {
                last.facts.resident = device.running
            }
            let stage = last.facts.stage
            if last.facts.told[stage] != .nothing, stage + 1 < scenario.stages.count { last.facts.stage += 1 }
        }
        let key = add(last, .end(fault))
        if fault == nil { out.final = key }
        return (device.writes, device.flushes, device.pieces)
    }

    /// The process ends behind any operation of its own; the machine and its caches live on.
    private func kills(
        _ state: SampleState, _ device: SampleDevice, _ fault: SampleFault?, _ body: (SampleState, Int) -> Void
    ) {
        var next = state
        for (index, operation) in device.log.enumerated() {
            if index >= device.bootOperations {
                next.facts.resident = device.running
                body(next, index)
            }
            switch operation {
            case .write(let cell, let content), .writeThrough(let cell, let content):
                next.cells[cell] = pool.number(of: content)
            case .flush: break
            case .facts(let facts): next.facts = facts
            }
        }
    }

    // MARK: the whole

    private func merge(_ expansion: Expansion, _ number: Int) {
        transitions += expansion.transitions
        starts += expansion.starts
        for child in expansion.children where known[child.key] == nil {
            known[child.key] = Int32(nodes.count)
            nodes.append(Node(state: child.state, parent: Int32(number), step: child.step))
        }
        if let final = expansion.final { nodes[number].next = known[final] ?? -1 }
        if let (rule, step) = expansion.violation {
            broken = ExplorationResult.Violation(rule: rule, trace: trace(number) + [text(of: step, from: number)])
        }
    }

    /// Liveness: from every state, with power held, the story comes to its end in a bounded number of starts, and ends
    /// as it must.
    private func checkRecoveries(_ done: Int) -> Int {
        let bound = scenario.stages.count * (Int(scenario.tries) + 5)
        var lengths = [Int](repeating: -1, count: nodes.count)
        var longest = 0
        for number in 0..<done where broken == nil {
            var path: [Int] = []
            var at = number
            while at >= 0, lengths[at] < 0, path.count <= bound {
                let next = Int(nodes[at].next)
                if next == at {
                    lengths[at] = 0
                    if let rule = checkEnd(nodes[at].state) { fail(rule, at) }
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
            if broken == nil, let rule = checkOutcome(nodes[number].state, nodes[end(of: number)].state) {
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

    /// Where a story ends, everything that was wanted last came to an end that was told.
    private func checkEnd(_ state: SampleState) -> String? {
        let told = state.facts.told[state.facts.stage]
        if told == .nothing { return "L5: nothing is left to do, and attempt \(state.facts.stage) has no end" }
        if state.facts.stage + 1 < scenario.stages.count { return "L4: the next update is never begun" }
        return nil
    }

    /// A good release that is wanted last is confirmed in the end, from every state in which its trial is not over.
    private func checkOutcome(_ state: SampleState, _ end: SampleState) -> String? {
        let last = scenario.stages.count - 1
        guard scenario.stages[last].behaviour == .good, state.facts.told[last] == .nothing else { return nil }
        guard let record = invariants.record(state), end.facts.told[last] != .confirmed else { return nil }
        let tried = record.attempt == "attempt-\(last)" && record.phase != .writing
        if tried && (record.phase == .fellBack || record.triesLeft == 0 || state.facts.resident == nil) { return nil }
        // A failure of the medium ends an attempt, and is told.
        if state.facts.faults < scenario.faults && end.facts.told[last] == .failed { return nil }
        return "L4: the good release \(scenario.stages[last].name) does not get in: \(end.facts.told[last])"
    }

    private func fail(_ rule: String, _ number: Int) {
        if broken == nil { broken = ExplorationResult.Violation(rule: rule, trace: trace(number)) }
    }

    // MARK: traces

    /// The shortest way to a state.
    private func trace(_ number: Int) -> [String] {
        var lines: [String] = []
        var at = number
        while nodes[at].parent >= 0 {
            lines.append(text(of: nodes[at].step, from: Int(nodes[at].parent)))
            at = Int(nodes[at].parent)
        }
        return lines.reversed()
    }

    /// A step in words; the start is run again for them.
    private func text(of step: Step, from number: Int) -> String {
        switch step {
        case .begin: return "a whole device"
        case .wanted: return "the next update is wanted already"
        case .end(let fault): return "a start to its end" + with(fault) + ending(number, fault)
        case .cut(let index, let fault): return "power cut\(with(fault)) \(place(index, number, fault))"
        case .kill(let index, let fault): return "process killed\(with(fault)) \(place(index, number, fault))"
        }
    }

    private func with(_ fault: SampleFault?) -> String { fault.map { ", in which " + $0.text } ?? "" }

    private func ending(_ number: Int, _ fault: SampleFault?) -> String {
        let device = SampleDevice(scenario, pool, from: nodes[number].state, bug: bug, fault: fault)
        switch device.run() {
        case .rebooted: return ": it reboots"
        case .reset: return ": the machine resets itself"
        case .quiet: return " on slot set \(device.running.letter)"
        case .failed(let code): return ": \(code)"
        }
    }

    private func place(_ index: Int, _ number: Int, _ fault: SampleFault?) -> String {
        let device = SampleDevice(scenario, pool, from: nodes[number].state, bug: bug, fault: fault)
        _ = device.run()
        guard index < device.log.count else { return "at the end of the start" }
        switch device.log[index] {
        case .write(let cell, _), .writeThrough(let cell, _):
            return "at operation \(index), before \(scenario.layout.name(cell)) is written"
        case .flush(let medium):
            let cell = (0..<scenario.layout.cellCount).first { scenario.layout.medium($0) == medium } ?? 0
            return "at operation \(index), before \(scenario.layout.name(cell)) and all on its medium is flushed"
        case .facts: return "at operation \(index)"
        }
    }
}
