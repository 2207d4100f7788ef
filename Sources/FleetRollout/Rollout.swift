internal import BundleFormat
internal import Platform
internal import StrictJSON

/// Moves a rollout on, looks at it, and stops it. All its state is in the hub's configurations, so that any machine
/// with the plan and the key can go on.
public final class Rollout {
    public let plan: RolloutPlan
    private let hub: HubService
    private let documents: RolloutDocuments
    private var conditions: RolloutConditions { documents.conditions }

    public init(_ plan: RolloutPlan, hub: HubService) {
        self.plan = plan
        self.hub = hub
        documents = RolloutDocuments(plan: plan)
    }

    /// Why it is halted, and since when (seconds since 1970).
    public struct Halt: Equatable, Sendable {
        public let reason: String
        public let since: Int64
        /// Whether attempts were given up and not only held back.
        public let cancels: Bool
    }

    /// What the hub says of a rollout.
    public struct State: Equatable, Sendable {
        /// Of the rings opened so far, in order.
        public var rings: [RingProgress] = []
        public var halt: Halt?
        /// Failed devices of rings that a person has seen and accepted.
        public var accepted: [String: Int64] = [:]
        /// Some devices on which the attempt failed: who, and the error's code.
        public var failures: [(device: String, code: String)] = []

        public static func == (a: State, b: State) -> Bool {
            a.rings == b.rings && a.halt == b.halt && a.accepted == b.accepted
                && a.failures.elementsEqual(b.failures) { $0.device == $1.device && $0.code == $1.code }
        }
    }

    /// Failed devices that a state names.
    private static let failuresShown = 10

    // MARK: Looking

    /// Reads where the rollout stands; nil when it was not started.
    public func state() throws(RolloutError) -> State? {
        var state = State()
        var isEnd = false
        for ring in plan.rings {
            guard let document = try own(documents.id(ring.name)) else {
                isEnd = true
                continue
            }
            if isEnd { throw .changed(name: plan.name) }
            let opened = document["labels"]?["opened"]?.text.flatMap { Int64($0) } ?? 0
            state.rings.append(try progress(of: ring, opened: opened))
        }
        if state.rings.isEmpty { return nil }
        for (id, cancels) in [(documents.cancelID, true), (documents.haltID, false)] where state.halt == nil {
            guard let labels = try own(id)?["labels"] else { continue }
            state.halt = Halt(
                reason: labels["reason"]?.text ?? "", since: labels["since"]?.text.flatMap { Int64($0) } ?? 0,
                cancels: cancels)
        }
        if case .object(let labels)? = try own(documents.resumeID)?["labels"] {
            for label in labels where label.name.hasPrefix("accepted-") {
                state.accepted[String(label.name.dropFirst(9))] = label.value.text.flatMap { Int64($0) }
            }
        }
        if state.rings.contains(where: { $0.failed > 0 }) { state.failures = try failures() }
        return state
    }

    /// A configuration of this rollout; one of another plan is an error.
    private func own(_ id: String) throws(RolloutError) -> JSONValue? {
        guard let document = try hub.configuration(id) else { return nil }
        if document["labels"]?["plan"]?.text != plan.fingerprint { throw .changed(name: plan.name) }
        return document
    }

    private func progress(of ring: RolloutPlan.Ring, opened: Int64) throws(RolloutError) -> RingProgress {
        var progress = RingProgress(opened: opened)
        progress.targeted = try hub.rows(conditions.query("COUNT() AS n", of: ring)).first?["n"]?.number ?? 0
        let phase = "properties.reported.ota.result.phase"
        let ended = try hub.rows(
            conditions.query("\(phase) AS phase, COUNT() AS n", of: ring, and: conditions.hasResult, groupedBy: phase))
        for row in ended {
            let count = row["n"]?.number ?? 0
            switch row["phase"]?.text {
            case "confirmed": progress.confirmed += count
            case "failed", "rolledBack": progress.failed += count
            default: progress.canceled += count
            }
        }
        let working = conditions.query(
            "COUNT() AS n", of: ring, and: "\(conditions.hasAttempt) AND \(conditions.isUnfinished)")
        progress.working = try hub.rows(working).first?["n"]?.number ?? 0
        return progress
    }

    private func failures() throws(RolloutError) -> [(device: String, code: String)] {
        let open = RolloutConditions.failures
        let columns = "deviceId, properties.reported.ota.result.code AS code"
        let rows = try hub.rows(conditions.query(columns, of: nil, and: conditions.ended(open)))
        return rows.prefix(Self.failuresShown).map {
            ($0["deviceId"]?.text ?? "", $0["code"]?.text ?? "")
        }
    }

    // MARK: Moving

    /// What a step did.
    public struct Step: Equatable, Sendable {
        public let decision: RolloutDecision
        public let state: State
    }

    /// Opens the next ring if its time has come, halts if too much failed, else does nothing. Safe to run again at any
    /// moment, and what cron may run.
    public func advance() throws(RolloutError) -> Step {
        let state = try state()
        if let halt = state?.halt { throw .halted(name: plan.name, reason: halt.reason) }
        if state == nil { try begin() }
        let rings = state?.rings ?? []
        let decision = RolloutDecision(plan, rings: rings, accepted: state?.accepted ?? [:], now: hub.now)
        switch decision {
        case .open(let index): try open(index)
        case .halt(let reason):
            try halt(reason: reason, cancels: false)
            throw .halted(name: plan.name, reason: reason)
        case .wait, .complete: break
        }
        return Step(decision: decision, state: try self.state() ?? State())
    }

    /// What `advance` would do first, and how many devices each ring would have.
    public func preview() throws(RolloutError) -> [(ring: String, devices: Int)] {
        try check()
        let groups = try divide()
        var out: [(ring: String, devices: Int)] = []
        for ring in plan.rings {
            let count: Int
            switch ring.selection {
            case .share: count = groups[ring.name]?.count ?? 0
            case .condition, .rest: count = try hub.rows(conditions.query("deviceId", of: ring)).count
            }
            out.append((ring.name, count))
        }
        return out
    }

    /// Checks the conditions by the hub's own judgement, and marks the devices of shares.
    private func begin() throws(RolloutError) {
        for entry in try preview() where entry.devices == 0 { throw .emptyRing(entry.ring) }
        for (name, members) in try divide().sorted(by: { $0.key < $1.key }) {
            guard let ring = plan.rings.first(where: { $0.name == name }) else { continue }
            for device in members {
                try hub.tag(device: device, module: plan.module, conditions.tag(of: ring))
            }
        }
    }

    private func check() throws(RolloutError) {
        for index in plan.rings.indices {
            let document = documents.ring(index, opened: 0)
            let problems = try hub.problems(
                target: document["targetCondition"]?.text ?? "",
                queries: document["metrics"]?["queries"] ?? .object([]))
            if let why = problems.first { throw .condition(ring: plan.rings[index].name, why: why) }
        }
    }

    /// The devices of each share: those targeted whom no condition picks, in the order of a hash of the rollout's name
    /// and theirs, so that not the same ones are the first every time.
    private func divide() throws(RolloutError) -> [String: [String]] {
        let shares = plan.rings.compactMap { ring -> (String, Int64)? in
            guard case .share(let percent) = ring.selection else { return nil }
            return (ring.name, percent)
        }
        if shares.isEmpty { return [:] }
        var picked: Set<String> = []
        for ring in plan.rings {
            guard case .condition = ring.selection else { continue }
            for row in try hub.rows(conditions.query("deviceId", of: ring)) {
                picked.insert(row["deviceId"]?.text ?? "")
            }
        }
        let all = try hub.rows(conditions.query("deviceId", of: nil)).compactMap { $0["deviceId"]?.text }
        return Self.divided(all.filter { !picked.contains($0) }, shares: shares, salt: plan.name)
    }

    /// Each share is rounded up, so that a small fleet has somebody in each.
    static func divided(_ devices: [String], shares: [(String, Int64)], salt: String) -> [String: [String]] {
        let ordered = devices.map { (SHA256.digest(of: Array("\(salt)\n\($0)".utf8)).hex, $0) }.sorted { $0 < $1 }
        var rest = ordered.map { $0.1 }[...]
        var out: [String: [String]] = [:]
        for (name, percent) in shares {
            let count = (devices.count * Int(percent) + 99) / 100
            out[name] = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return out
    }

    private func open(_ index: Int) throws(RolloutError) {
        // Made and never replaced: of two who open it at once one is told so.
        if try !hub.create(documents.ring(index, opened: hub.now)) { throw .raced(name: plan.name) }
    }

    // MARK: Stopping

    /// Holds back every device that has not finished: it pauses, or gives the attempt up, and no ring opens.
    public func halt(reason: String, cancels: Bool) throws(RolloutError) {
        guard let state = try state() else { throw .unknown(name: plan.name) }
        if let halt = state.halt, halt.cancels || !cancels { return }
        // The new one is there before what it replaces goes: no device is told to go on in between.
        let document = documents.halt(openRings: state.rings.count, cancels: cancels, reason: reason, at: hub.now)
        if try !hub.create(document) { throw .raced(name: plan.name) }
        try hub.remove(documents.resumeID)
        if cancels { try hub.remove(documents.haltID) }
    }

    /// Takes a halt back: paused devices go on, and failures so far no longer count.
    public func resume() throws(RolloutError) {
        guard let state = try state() else { throw .unknown(name: plan.name) }
        guard state.halt != nil else { throw .notHalted(name: plan.name) }
        let accepted = zip(plan.rings, state.rings).compactMap { $1.failed > 0 ? ($0.name, $1.failed) : nil }
        try hub.remove(documents.resumeID)
        let document = documents.resume(openRings: state.rings.count, accepted: accepted, at: hub.now)
        if try !hub.create(document) { throw .raced(name: plan.name) }
        try hub.remove(documents.cancelID)
        try hub.remove(documents.haltID)
    }

    /// Takes all of it out of the hub, the last ring first. Devices keep what they were told and finish it.
    public func remove() throws(RolloutError) {
        if try state() == nil { throw .unknown(name: plan.name) }
        try hub.remove(documents.resumeID)
        for ring in plan.rings.reversed() { try hub.remove(documents.id(ring.name)) }
        try hub.remove(documents.cancelID)
        try hub.remove(documents.haltID)
    }
}
