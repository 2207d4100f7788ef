internal import BootControl
public import BundleFormat
public import Platform

extension Engine {
    /// After a start: notes ends that the boot record proves, runs a due trial (measure, health check, confirm or
    /// roll back), and gives an armed release up that the boot loader did not try. Does not resume a download.
    public func recover() throws(Failure) {
        if let result = derivedResult() {
            state.latch(result)
            try saveState()
        }
        try drive(machine.dueAtStart(currentBoot: outside.running.bootID ?? ""))
        notify()
    }

    /// Whether an attempt waits to be resumed.
    public var canResume: Bool {
        guard let attempt = machine.attempt, !attempt.location.isEmpty else { return false }
        return machine.phase.isBeforeArming && state.result(of: attempt.id) == nil
    }

    /// Goes on with the interrupted attempt, if there is one.
    public func resume() throws(Failure) {
        guard canResume, let attempt = machine.attempt else { return }
        try run(attempt)
    }

    /// Installs a release: from its location to the armed boot record and the reboot.
    ///
    /// Without `id` an interrupted attempt at the same location goes on; otherwise a new attempt starts. An id that
    /// already ended is answered with its result and nothing is done.
    ///
    /// - Throws: the failure that ended the attempt, or that made it pause (category `network`: the same call goes
    ///   on later from what is in the slot).
    public func install(_ location: String, id: String? = nil, wanted: Digest? = nil) throws(Failure) {
        if let id {
            guard Attempt.isValid(id: id) else { throw Failure(EngineError.badAttemptID) }
            if let result = state.result(of: id) {
                if let failure = result.failure { throw failure }
                return
            }
        }
        switch machine.phase {
        case .armed, .rebooting, .trial: throw Failure(EngineError.attemptPending(machine.record.attempt))
        default: break
        }
        if canResume, let attempt = machine.attempt {
            if id == attempt.id || (id == nil && attempt.location == location) {
                // A renewed URL leads to the same attempt: the manifest is the identity, not the place.
                return try run(attempt.location == location ? attempt : attempt.moved(to: location))
            }
            state.latch(AttemptResult(attempt, .canceled, reason: "superseded"))
            try saveState()
        }
        var fresh = id ?? ""
        if id == nil { fresh = try step { () throws(SystemError) in try outside.random.uuid() } }
        try run(Attempt(id: fresh, location: location, wanted: wanted))
    }

    private func run(_ attempt: Attempt) throws(Failure) {
        try clearCancel()
        pause = nil
        try drive(machine.handle(.requested(attempt)))
    }

    /// Confirms the release on trial without its health check; the running slot is still measured.
    public func confirm() throws(Failure) {
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
    public func rollBack() throws(Failure) {
        switch machine.phase {
        case .trial, .armed, .rebooting: try drive(machine.handle(.rollbackRequested(machine.record.attempt)))
        default:
            if machine.record[machine.running.other].state != .good {
                throw Failure(EngineError.nothingToRollBack("the other slot set holds no confirmed release"))
            }
            if machine.record.active != machine.running {
                throw Failure(EngineError.nothingToRollBack("a rollback already waits for its reboot"))
            }
            let suffix = try step { () throws(SystemError) in try outside.random.uuid() }
            try drive(machine.handle(.rollbackRequested("rollback-" + suffix)))
        }
    }

    /// Ends an attempt that is not armed yet. For one that works in another process see `StateStore.setCancelRequest`.
    public func cancel() throws(Failure) {
        guard canResume else { throw Failure(EngineError.nothingToCancel) }
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
            try noteProgress()
        }
        closeTargets()
        if let thrown {
            if machine.phase.isBeforeArming { pause = thrown }
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
        machine.note(attempt)
        if state.attempt != attempt {
            state.attempt = attempt
            try saveState()
            notify()
        }
    }

    /// Writes the journal.
    func saveState() throws(Failure) {
        state.timeFloor = now()
        try journal.save(state)
    }
}

extension Attempt {
    /// The same attempt from another place.
    func moved(to location: String) -> Attempt {
        var next = Attempt(id: id, location: location, wanted: wanted)
        next.manifest = manifest
        next.releaseID = releaseID
        next.version = version
        next.phase = phase
        next.target = target
        next.counters = counters
        next.progress = progress
        next.imageBytes = imageBytes
        return next
    }
}
