internal import BootControl
public import Platform
internal import Transfer

/// Pause and resume. Who asks may be another process, and the device may lose power right after: the request is a file
/// that names the attempt, and stands until it is taken back or the attempt ends. Nothing of the attempt is lost by it.
extension Engine {
    /// The attempt in work or the interrupted one, when it is asked to pause.
    var holdFailure: Failure? {
        guard let attempt = machine.attempt, machine.phase.isBeforeArming else { return nil }
        if monitor.locked({ heldAttempt }) != attempt.id { return nil }
        return Failure(attempt.staging == .done ? EngineError.staged(attempt.id) : EngineError.paused(attempt.id))
    }

    /// Everything is in the slot and was read back: the attempt waits, as one that is paused, until somebody wants it
    /// installed. The hold is durable before the journal says so: a power cut in between leaves an attempt that waits, and
    /// never one that installs itself.
    func stage() throws(Failure) {
        guard var attempt = machine.attempt else { return }
        try requestPause(attempt.id)
        attempt.staging = .done
        machine.note(attempt)
        throw Failure(EngineError.staged(attempt.id))
    }

    /// Throws when the attempt in work is asked to pause.
    func checkHold() throws(Failure) {
        let isAsked = monitor.locked {
            if outside.state.heldAttempt() == working {
                heldAttempt = working
                pauseAsked = true
            }
            return pauseAsked
        }
        if isAsked { throw Failure(EngineError.paused(working)) }
    }

    /// Looks whether somebody asked to pause or to go on, and wakes the work, which may wait for the network; whether
    /// that changed since the last look. From any thread, a few times a second.
    public func pollPauseRequest() -> Bool {
        monitor.locked {
            let found = outside.state.heldAttempt()
            let changed = found != heldAttempt
            heldAttempt = found
            if let found, found == working {
                pauseAsked = true
                cancelable?.cancel()
            }
            return changed
        }
    }

    /// Asks an attempt to pause, now or as soon as it starts to work. From any thread.
    public func requestPause(_ attempt: String) throws(Failure) {
        try step { () throws(SystemError) in
            try monitor.locked { () throws(SystemError) in
                try outside.state.setHeldAttempt(attempt)
                heldAttempt = attempt
                if attempt == working {
                    pauseAsked = true
                    cancelable?.cancel()
                }
            }
        }
    }

    /// Takes the pause of an attempt back; nothing when another one is paused. From any thread.
    public func requestResume(_ attempt: String) throws(Failure) {
        try step { () throws(SystemError) in
            try monitor.locked { () throws(SystemError) in
                heldAttempt = outside.state.heldAttempt()
                if heldAttempt != attempt { return }
                try outside.state.setHeldAttempt(nil)
                heldAttempt = nil
            }
        }
    }

    /// Pauses the attempt in work, in whatever process, or the interrupted one; with `id` only that one. Pausing what is
    /// paused is no error.
    public func pauseAttempt(_ id: String? = nil) throws(Failure) {
        guard isUnfinished, let attempt = machine.attempt, id == nil || id == attempt.id else {
            throw Failure(EngineError.nothingToPause)
        }
        try requestPause(attempt.id)
        notify()
    }

    /// Takes a pause back and goes on with the attempt, or with an interrupted one; with `id` only with that one. An
    /// attempt that is armed, or ended, needs nothing.
    public func resumeAttempt(_ id: String? = nil) throws(Failure) {
        try settleRecord()
        if isUnfinished, let attempt = machine.attempt, id == nil || id == attempt.id {
            try requestResume(attempt.id)
        }
        try goOn(id)
    }

    /// Goes on with an attempt, unless it is paused.
    public func goOn(_ id: String?) throws(Failure) {
        try settleRecord()
        if let id {
            if machine.record.attempt == id, !isUnfinished { return }
            if let result = state.result(of: id) {
                if let failure = result.failure { throw failure }
                return
            }
        }
        guard isUnfinished, id == nil || id == machine.attempt?.id else { throw Failure(EngineError.nothingToResume) }
        try resume()
    }

    /// An attempt ended: its pause goes with it.
    func dropHold(of attempt: String) throws(Failure) {
        try step { () throws(SystemError) in
            try monitor.locked { () throws(SystemError) in
                if outside.state.heldAttempt() == attempt { try outside.state.setHeldAttempt(nil) }
                if heldAttempt == attempt { heldAttempt = nil }
            }
        }
    }
}
