public import BootControl
public import BundleFormat

/// The steps of the write protocol as values: each is exactly one write of the record.
extension BootRecord {
    /// Step 1: `running` stays selected, the other set is being written and cannot be started. `resetSequence` replaces
    /// the accepted sequence: only a trust root that disowns the release which reached it may do that.
    public func beginning(
        attempt: String, running: SlotSet, manifest: Digest, sequence: UInt64, securityVersion: UInt32,
        resetSequence: UInt64? = nil
    ) -> BootRecord {
        var next = self
        if let resetSequence { next.acceptedSequence = resetSequence }
        next.active = running
        next.phase = .writing
        next.triesLeft = 0
        next.userSpaceBoots = 0
        next.reason = .none
        next.attempt = attempt
        next[running.other] = SlotRecord(
            state: .writing, manifest: manifest, sequence: sequence, securityVersion: securityVersion)
        return next
    }

    /// Step 4: slot and try counter together. Only from `.writing`. A release below the floor got here by an override,
    /// and takes the floor down with it in the same write: at no instant is the floor above a selectable slot.
    public func arming(tries: UInt8) -> BootRecord {
        precondition(phase == .writing && tries > 0)
        var next = self
        next.active = active.other
        next.phase = .trial
        next.triesLeft = tries
        next[next.active].state = .trial
        next.floor = min(floor, next[next.active].securityVersion)
        return next
    }

    /// The trial reached user space: its failure, if it comes, is not the kernel's.
    public func reachingUserSpace() -> BootRecord {
        var next = self
        if next.userSpaceBoots < UInt8.max { next.userSpaceBoots += 1 }
        return next
    }

    /// Step 6 and 7: the trial is confirmed, and the floor rises to the lowest security version that can still be
    /// selected. Both are in one write, so there is no instant at which the floor is above a selectable slot.
    public func confirming() -> BootRecord {
        precondition(phase == .trial)
        var next = self
        next.phase = .confirmed
        next.triesLeft = 0
        next[active].state = .good
        next.acceptedSequence = max(acceptedSequence, next[active].sequence)
        var lowest = next[active].securityVersion
        if next[active.other].state == .good { lowest = min(lowest, next[active.other].securityVersion) }
        next.floor = max(floor, lowest)
        return next
    }

    /// Back to the former set; the tried one cannot be started any more.
    public func fallingBack(_ reason: RollbackReason) -> BootRecord {
        precondition(phase == .trial)
        var next = self
        next[active].state = .bad
        next.active = active.other
        next.phase = .fellBack
        next.triesLeft = 0
        next.reason = reason
        return next
    }

    /// Back to the other set on request, long after the trial: both stay usable. The other set must be good.
    public func switchingBack(attempt: String) -> BootRecord {
        precondition(phase != .trial && self[active.other].state == .good)
        var next = self
        next.active = active.other
        next.phase = .fellBack
        next.reason = .requested
        next.attempt = attempt
        return next
    }
}
