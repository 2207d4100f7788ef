internal import BootControl
public import BundleFormat
public import Platform

extension Engine {
    /// After a start: notes ends that the boot record proves, runs a due trial (measure, health check, confirm or
    /// roll back), and gives an armed release up that the boot loader did not try. Does not resume a download.
    public func recover() throws(Failure) {
        try settleRecord()
        try latchDerived()
        noteBootForOverride()
        raiseFloor(repairs: false)
        try drive(machine.dueAtStart(currentBoot: outside.running.bootID ?? ""))
        // Behind the trial: a server that does not answer must not keep it waiting.
        refreshChannel()
        notify()
    }

    /// Notes the end that the boot record proves, before anything overwrites the record.
    private func latchDerived() throws(Failure) {
        guard let result = derivedResult() else { return }
        state.latch(result)
        try saveState()
    }

    /// Whether an attempt waits to be resumed, and nobody asked it to pause.
    public var canResume: Bool { isUnfinished && holdFailure == nil }

    /// Whether an attempt was begun and has neither ended nor been armed.
    public var isUnfinished: Bool {
        guard let attempt = machine.attempt, !attempt.location.isEmpty else { return false }
        return machine.phase.isBeforeArming && state.result(of: attempt.id) == nil
    }

    /// Goes on with the interrupted attempt, if there is one.
    public func resume() throws(Failure) {
        try settleRecord()
        guard canResume, let attempt = machine.attempt else { return }
        try run(attempt)
    }

    /// Installs a release: from its location to the armed boot record and the reboot.
    ///
    /// Without `id` an interrupted attempt at the same location goes on; otherwise a new attempt starts. An id that
    /// already ended is answered with its result and nothing is done.
    ///
    /// `override` is the file of an override statement, which lets an older release in where it is for this device, its
    /// nonce and this release. It is used up when the attempt begins, and then goes with the attempt.
    ///
    /// - Throws: the failure that ended the attempt, or that made it pause (category `network`: the same call goes
    ///   on later from what is in the slot).
    /// `alternatives` are more places of the same bundle.
    ///
    /// `downloadOnly`: the attempt stops when everything is in the slot and read back, with `engine.staged`, also over
    /// restarts. The same id with `false` installs it; with nil (a resume) that which waits is installed, and one that is
    /// still under way stays what it is.
    public func install(
        _ location: String, id: String? = nil, wanted: Digest? = nil, alternatives: [String] = [],
        override: [UInt8]? = nil, downloadOnly: Bool? = false
    ) throws(Failure) {
        try settleRecord()
        noteBootForOverride()
        offeredOverride = override
        defer { offeredOverride = nil }
        if let id {
            guard Attempt.isValid(id: id) else { throw Failure(EngineError.badAttemptID) }
            if let result = state.result(of: id) {
                if let failure = result.failure { throw failure }
                return
            }
        }
        switch machine.phase {
        case .armed, .rebooting, .trial:
            // Asked for again, after a restart of whoever asks: it is under way.
            if id == machine.record.attempt { return }
            throw Failure(EngineError.attemptPending(machine.record.attempt))
        default: break
        }
        if isUnfinished, let attempt = machine.attempt {
            if id == attempt.id || (id == nil && attempt.location == location) {
                // A renewed URL leads to the same attempt: the manifest is the identity, not the place.
                let isSame = attempt.location == location && attempt.alternatives == alternatives
                var next = isSame ? attempt : attempt.moved(to: location, alternatives)
                let isWished = next.staging == .done ? downloadOnly != true : downloadOnly == false
                if isWished, next.staging != .none {
                    // The wish that it waited for. What is paused before it is complete still waits for its own word.
                    if next.staging == .done { try requestResume(attempt.id) }
                    next.staging = .none
                    machine.note(next)
                }
                if let holdFailure {
                    // What is paused goes on by its own word only; its new place is kept for then.
                    machine.note(next)
                    try noteProgress()
                    throw holdFailure
                }
                return try run(next)
            }
            try drive(machine.handle(.superseded))
        }
        var fresh = id ?? ""
        if id == nil { fresh = try step { () throws(SystemError) in try randomUUID(from: outside.random) } }
        var attempt = Attempt(id: fresh, location: location, wanted: wanted)
        attempt.alternatives = alternatives
        attempt.staging = downloadOnly == true ? .wanted : .none
        try run(attempt)
    }

    private func run(_ attempt: Attempt) throws(Failure) {
        var attempt = attempt
        // It was complete and nothing holds it any more: now it is installed.
        if attempt.staging == .done { attempt.staging = .none }
        try checkRunningSlot()
        try latchDerived()
        try beginWork(attempt.id)
        pause = nil
        shortage = []
        let effects = machine.handle(.requested(attempt))
        // Kept and told before the head is fetched, which may take long.
        try noteProgress()
        try drive(effects)
    }

    /// The spare slot set may be written only while the running one can be selected: after a failed trial that still
    /// runs, the spare set holds the only good release.
    private func checkRunningSlot() throws(Failure) {
        let record = machine.record
        let waits = record.phase == .fellBack && record.active != machine.running
        if waits || record[machine.running].state != .good {
            throw Failure(EngineError.rebootPending(running: machine.running.letter, selected: record.active.letter))
        }
    }

    /// Confirms the release on trial without its health check; the running slot is still measured. With the id of
    /// an attempt that already ended nothing is done.
    public func confirm(_ id: String? = nil) throws(Failure) {
        try settleRecord()
        if let id, state.result(of: id) != nil { return }
        guard machine.phase == .trial else { throw Failure(EngineError.nothingToConfirm) }
        do throws(Failure) {
            try measure()
        } catch {
            return try drive(machine.handle(.failed(error)))
        }
        try drive(machine.handle(.healthy))
    }

    /// Goes back to the other slot set: gives a trial or an armed release up, or switches back to the former
    /// release, and reboots where that is needed.
    ///
    /// `id` names the request: the same one never does anything twice, or a document that is delivered again after
    /// the reboot would switch to and fro for ever.
    public func rollBack(_ id: String? = nil) throws(Failure) {
        try settleRecord()
        if let id {
            guard Attempt.isValid(id: id) else { throw Failure(EngineError.badAttemptID) }
            if state.result(of: id) != nil { return }
        }
        switch machine.phase {
        case .trial, .armed, .rebooting:
            let attempt = machine.record.attempt
            try drive(machine.handle(.rollbackRequested(attempt)))
            if let id, id != attempt {
                state.latch(
                    AttemptResult(Attempt(id: id, location: "", wanted: nil), .rolledBack, reason: "requested"))
                try saveState()
            }
        default: try switchBack(id)
        }
    }

    private func switchBack(_ id: String?) throws(Failure) {
        if machine.record[machine.running.other].state != .good {
            throw Failure(EngineError.nothingToRollBack("the other slot set holds no confirmed release"))
        }
        if machine.record.active != machine.running {
            throw Failure(EngineError.nothingToRollBack("a rollback already waits for its reboot"))
        }
        var fresh = id ?? ""
        if id == nil {
            fresh = "rollback-" + (try step { () throws(SystemError) in try randomUUID(from: outside.random) })
        }
        try latchDerived()
        // Or the next start would go on with it, on top of the release that was asked for instead.
        if isUnfinished { try drive(machine.handle(.superseded)) }
        try drive(machine.handle(.rollbackRequested(fresh)))
    }

    /// Ends an attempt that is not armed yet; with `id` only that one. Canceling what was canceled is no error. For
    /// an attempt that works in another process see `StateStore.setCancelRequest`.
    public func cancel(_ id: String? = nil) throws(Failure) {
        try settleRecord()
        if let id, state.result(of: id)?.phase == .canceled { return }
        guard isUnfinished, id == nil || id == machine.attempt?.id else { throw Failure(EngineError.nothingToCancel) }
        try drive(machine.handle(.cancelRequested))
    }

    /// Runs effects until there are none left; throws what ended the attempt badly.
    func drive(_ first: [UpdateMachine.Effect]) throws(Failure) {
        var effects = first
        var thrown: Failure?
        while !effects.isEmpty {
            let effect = effects.removeFirst()
            guard let event = try perform(effect) else { continue }
            if case .failed(let failure) = event { thrown = failure }
            effects += machine.handle(event)
            if let thrown, machine.phase.isBeforeArming {
                pause = thrown
                noteShortage(thrown)
            }
            try noteProgress()
        }
        closeTargets()
        if let thrown {
            notify()
            throw thrown
        }
        notify()
    }

    /// Keeps the journal's attempt in step with the machine.
    func noteProgress() throws(Failure) {
        guard var attempt = machine.attempt else { return }
        if attempt.id.isEmpty || attempt.location.isEmpty { return }
        attempt.phase = machine.phase
        // Until the head is there again, the reason of the last pause still stands.
        if pause != nil || machine.phase != .planned { attempt.pause = pause }
        machine.note(attempt)
        if state.attempt != attempt {
            state.attempt = attempt
            try saveState()
            // An end is told once, with its result.
            if !attempt.phase.isTerminal { notify() }
        }
    }

    /// Writes the journal.
    func saveState() throws(Failure) {
        clock.learn(now())
        state.timeFloor = clock.bound
        try journal.save(state)
    }
}

extension Attempt {
    /// The same attempt from another place.
    func moved(to location: String, _ alternatives: [String]) -> Attempt {
        var next = Attempt(id: id, location: location, wanted: wanted)
        next.alternatives = alternatives
        next.manifest = manifest
        next.releaseID = releaseID
        next.version = version
        next.phase = phase
        next.target = target
        next.counters = counters
        next.cost = cost
        next.progress = progress
        next.imageBytes = imageBytes
        next.pause = pause
        next.staging = staging
        return next
    }
}
