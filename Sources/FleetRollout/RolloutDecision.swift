/// How far a ring's devices are.
public struct RingProgress: Equatable, Sendable {
    /// When it was opened, seconds since 1970.
    public var opened: Int64
    /// Devices in it, those that work on the attempt, and how the attempt ended on the others.
    public var targeted: Int64 = 0
    public var working: Int64 = 0
    public var confirmed: Int64 = 0
    public var failed: Int64 = 0
    public var canceled: Int64 = 0

    public init(
        opened: Int64, targeted: Int64 = 0, working: Int64 = 0, confirmed: Int64 = 0, failed: Int64 = 0,
        canceled: Int64 = 0
    ) {
        self.opened = opened
        self.targeted = targeted
        self.working = working
        self.confirmed = confirmed
        self.failed = failed
        self.canceled = canceled
    }
}

/// What comes next in a rollout: a rule over numbers, without a hub.
public enum RolloutDecision: Equatable, Sendable {
    /// Open the ring with that index.
    case open(Int)
    /// Stop: why.
    case halt(String)
    /// Nothing to do now: what is waited for.
    case wait(String)
    /// The last ring has its share.
    case complete

    /// `rings` are those opened so far, in order. `accepted` failed devices in a ring do not count: a person has seen
    /// them and resumed.
    public init(_ plan: RolloutPlan, rings: [RingProgress], accepted: [String: Int64] = [:], now: Int64) {
        for (ring, progress) in zip(plan.rings, rings) {
            let failed = progress.failed - (accepted[ring.name] ?? 0)
            if failed > 0, failed * 100 > plan.failurePercent * progress.targeted {
                self = .halt(
                    "ring \(ring.name): \(progress.failed) of \(progress.targeted) devices failed, more than "
                        + "\(plan.failurePercent)%")
                return
            }
        }
        guard let last = rings.last else {
            self = .open(0)
            return
        }
        let ring = plan.rings[rings.count - 1]
        // Of those that a person accepted as lost nobody waits for.
        let counted = max(0, last.targeted - (accepted[ring.name] ?? 0))
        if last.confirmed * 100 < plan.successPercent * counted {
            let needed = (plan.successPercent * counted + 99) / 100
            self = .wait("ring \(ring.name): \(last.confirmed) of \(needed) confirmed devices needed")
            return
        }
        if rings.count == plan.rings.count {
            self = .complete
            return
        }
        let age = now - last.opened
        self =
            age < plan.soakSeconds
            ? .wait("ring \(ring.name) soaks for another \(plan.soakSeconds - age) s")
            : .open(rings.count)
    }
}
