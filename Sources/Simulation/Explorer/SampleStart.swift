internal import BootControl
internal import BundleFormat
internal import Platform

/// One way from a state to another.
enum SampleStep: Hashable, Sendable {
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

/// What came of one start.
struct SampleStart {
    struct Child {
        let state: SampleState
        let key: SampleStateKey
        let step: SampleStep
    }
    /// All states that it can be cut to, each once.
    var children: [Child] = []
    /// The one after an undisturbed end.
    var final: Child
    /// Crash states that were made, the same ones more than once.
    var transitions = 0
    var violation: (rule: String, step: SampleStep)?
    /// Broken rules that the scenario tolerates, and how often.
    var tolerated: [String: Int] = [:]
    let writes: Int
    let flushes: Int
    let pieces: Int
    /// The cell that each operation wrote; nil for one that wrote none.
    let writtenCells: [Int?]
    /// Why its last step failed, where it did.
    let failure: Failure?
}

/// Starts a device from a state, and finds every state that this start can be cut to.
struct SampleStarter: Sendable {
    let scenario: SampleScenario
    let pool: ContentPool
    let bug: SeededBug?
    let invariants: SampleInvariants
    private let crashes: CrashStates

    init(_ scenario: SampleScenario, bug: SeededBug?) {
        self.scenario = scenario
        self.bug = bug
        pool = ContentPool()
        invariants = SampleInvariants(scenario, pool)
        crashes = CrashStates(layout: scenario.layout, exhaustive: scenario.exhaustive)
    }

    func key(_ state: SampleState) -> SampleStateKey { state.key(pool, scenario.layout) }

    /// One start, and all states that it can be cut to.
    func start(_ state: SampleState, _ fault: SampleFault?) -> SampleStart {
        let device = SampleDevice(scenario, pool, from: state, bug: bug, fault: fault)
        let end = device.run()
        let log = device.log
        var seen: Set<SampleStateKey> = []
        var children: [SampleStart.Child] = []
        var transitions = 0
        var violation: (rule: String, step: SampleStep)?
        var tolerated: [String: Int] = [:]
        func found(_ rule: String, _ step: SampleStep) {
            let name = String(rule.prefix { $0 != ":" })
            if scenario.tolerated.contains(name) {
                tolerated[name, default: 0] += 1
            } else if violation == nil {
                violation = (rule, step)
            }
        }
        for rule in device.violations { found(rule, .end(fault)) }
        func add(_ next: SampleState, _ step: SampleStep) -> SampleStart.Child {
            let child = SampleStart.Child(state: next, key: key(next), step: step)
            transitions += 1
            if seen.insert(child.key).inserted {
                for rule in invariants.check(next, after: state, bug: bug) { found(rule, step) }
                children.append(child)
            }
            return child
        }
        var from = state
        if fault != nil { from.facts.faults -= 1 }
        var last = crashes.visit(from: from, log, pool) { next, index in _ = add(next, .cut(index, fault)) }
        if scenario.kills { kills(from, device) { next, index in _ = add(next, .kill(index, fault)) } }
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
        let final = add(last, .end(fault))
        return SampleStart(
            children: children, final: final, transitions: transitions, violation: violation,
            tolerated: tolerated, writes: device.writes,
            flushes: device.flushes, pieces: device.pieces, writtenCells: log.map { $0.cell }, failure: device.failure)
    }

    /// The process ends behind any operation of its own; the machine and its caches live on.
    private func kills(_ state: SampleState, _ device: SampleDevice, _ body: (SampleState, Int) -> Void) {
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

    /// The state in which the next update is wanted already; nil where it cannot be.
    func wanted(_ state: SampleState) -> SampleStart.Child? {
        guard scenario.impatient, state.facts.told[state.facts.stage] == .nothing,
            state.facts.stage + 1 < scenario.stages.count
        else { return nil }
        var next = state
        next.facts.stage += 1
        return SampleStart.Child(state: next, key: key(next), step: .wanted)
    }

    /// All faults that a start of so many writes, flushes and pieces can meet.
    func faults(writes: Int, flushes: Int, pieces: Int) -> [SampleFault] {
        var all: [SampleFault] = []
        let kinds = scenario.faultKinds
        for number in 0..<writes {
            if kinds.contains(.media) {
                all += [
                    .writeFails(number + 1, number: SystemError.inputOutput),
                    .writeFails(number + 1, number: SystemError.noSpace), .writeLost(number + 1),
                    .writeMisdirected(number + 1),
                ]
            }
            if kinds.contains(.fullDisk) {
                all += [.diskFull(number + 1), .writeFails(number + 1, number: SystemError.noSpace)]
            }
        }
        if kinds.contains(.media) { for number in 0..<flushes { all.append(.flushFails(number + 1)) } }
        for number in 0..<pieces {
            if kinds.contains(.breaks) { all.append(.networkBreaks(number)) }
            if kinds.contains(.lies) {
                all += [.networkCorrupts(number), .networkSwaps(number), .networkTruncates(number)]
            }
        }
        return all
    }

    /// A digest of what a state decides, the same in every process.
    func fingerprint(_ state: SampleState) -> String {
        let key = key(state)
        var hash = SHA256()
        for cell in state.cells { hash.update(pool.meaning(cell).fingerprint.bytes.rawBytes) }
        let facts = state.facts
        let told = facts.told.map { String($0.rawValue) }.joined(separator: " ")
        let resident = facts.resident.map { $0.letter } ?? "off"
        let rest =
            "\(key.order) \(told) \(facts.stage) \(facts.trialBoots) \(facts.faults) \(resident) \(facts.boot)"
        hash.update(Array(rest.utf8).rawBytes)
        return String(hash.finish().hex.prefix(32))
    }

    // MARK: words

    /// A step in words; the start is run again for them.
    func text(of step: SampleStep, from state: SampleState) -> String {
        switch step {
        case .begin: return "a whole device"
        case .wanted: return "the next update is wanted already"
        case .end(let fault): return "a start to its end" + with(fault) + ending(state, fault)
        case .cut(let index, let fault): return "power cut\(with(fault)) \(place(index, state, fault))"
        case .kill(let index, let fault): return "process killed\(with(fault)) \(place(index, state, fault))"
        }
    }

    private func with(_ fault: SampleFault?) -> String { fault.map { ", in which " + $0.text } ?? "" }

    private func ending(_ state: SampleState, _ fault: SampleFault?) -> String {
        let device = SampleDevice(scenario, pool, from: state, bug: bug, fault: fault)
        switch device.run() {
        case .rebooted: return ": it reboots"
        case .reset: return ": the machine resets itself"
        case .quiet: return " on slot set \(device.running.letter)"
        case .failed(let code): return ": \(code)"
        }
    }

    private func place(_ index: Int, _ state: SampleState, _ fault: SampleFault?) -> String {
        let device = SampleDevice(scenario, pool, from: state, bug: bug, fault: fault)
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
