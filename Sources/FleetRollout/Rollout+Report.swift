public import StrictJSON

extension Rollout.State {
    /// One word for the whole.
    private func word(_ plan: RolloutPlan, _ decision: RolloutDecision) -> String {
        if halt != nil { return "halted" }
        return decision == .complete ? "complete" : "running"
    }

    /// As one JSON object, for scripts.
    public func json(_ plan: RolloutPlan, now: Int64) -> JSONValue {
        let decision = RolloutDecision(plan, rings: rings, accepted: accepted, now: now)
        return .members([
            ("rollout", .string(plan.name)), ("attempt", .string(plan.attempt)), ("release", .string(plan.release)),
            ("version", .string(plan.version)), ("state", .string(word(plan, decision))),
            ("next", .string(next(plan, decision))),
            (
                "halt",
                halt.map {
                    .members([
                        ("reason", .string($0.reason)), ("since", .integer($0.since)), ("cancels", .bool($0.cancels)),
                    ])
                } ?? .null
            ),
            (
                "rings",
                .array(
                    plan.rings.enumerated().map { index, ring in
                        let progress = index < rings.count ? rings[index] : nil
                        return .members([
                            ("name", .string(ring.name)), ("opened", progress.map { .integer($0.opened) } ?? .null),
                            ("targeted", .integer(progress?.targeted ?? 0)),
                            ("working", .integer(progress?.working ?? 0)),
                            ("confirmed", .integer(progress?.confirmed ?? 0)),
                            ("failed", .integer(progress?.failed ?? 0)),
                            ("canceled", .integer(progress?.canceled ?? 0)),
                            ("accepted", .integer(accepted[ring.name] ?? 0)),
                        ])
                    })
            ),
            (
                "failures",
                .array(
                    failures.map { .members([("device", .string($0.device)), ("code", .string($0.code))]) })
            ),
        ])
    }

    /// What happens with the next `apply`.
    private func next(_ plan: RolloutPlan, _ decision: RolloutDecision) -> String {
        if let halt { return "halted: \(halt.reason)" }
        switch decision {
        case .open(let index): return "ring \(plan.rings[index].name) can open"
        case .halt(let reason): return "to be halted: \(reason)"
        case .wait(let why): return why
        case .complete: return "complete"
        }
    }

    /// For people: one line for the whole, one for each ring, and the first failures.
    public func text(_ plan: RolloutPlan, now: Int64) -> String {
        let decision = RolloutDecision(plan, rings: rings, accepted: accepted, now: now)
        var lines = ["\(plan.name): \(plan.release) \(plan.version), \(word(plan, decision))"]
        for (index, ring) in plan.rings.enumerated() {
            guard index < rings.count else {
                lines.append("  \(ring.name): not open")
                continue
            }
            let progress = rings[index]
            let ended = progress.confirmed + progress.failed + progress.canceled
            let waiting = max(0, progress.targeted - ended - progress.working)
            lines.append(
                "  \(ring.name): \(progress.confirmed) of \(progress.targeted) confirmed, \(progress.working) at work, "
                    + "\(waiting) not begun, \(progress.failed) failed, \(progress.canceled) canceled")
        }
        for failure in failures { lines.append("  failed on \(failure.device): \(failure.code)") }
        lines.append("  next: \(next(plan, decision))")
        return lines.joined(separator: "\n")
    }
}
