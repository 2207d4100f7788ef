internal import Platform
internal import UpdateEngine

extension ThingsProJob {
    /// Sets the state of the job, and of the task that is in work.
    mutating func setState(_ state: State) {
        self.state = state
        if let index = tasks.firstIndex(where: { !$0.state.isFinal }) { tasks[index].state = state }
    }

    /// Ends the job: the task in work ends the same way, and those behind it are never begun.
    mutating func end(_ state: State) {
        setState(state)
        if state == .succeed {
            for index in tasks.indices {
                tasks[index].state = .succeed
                tasks[index].progress = 100
            }
        }
    }

    /// Takes over what the engine says of the job's attempt.
    mutating func follow(_ status: EngineStatus) {
        if let result = status.results.last(where: { $0.attempt == attempt }) { return end(with: result) }
        guard status.attempt?.id == attempt else { return }
        if status.pause?.code == EngineError.stagedCode {
            // A job that is to install goes on from here by itself, once its wish has reached the engine.
            if !installs { end(.succeed) }
            return
        }
        noteProgress(status)
        let isPaused = status.pause?.code == EngineError.pausedCode
        switch state {
        case .canceling: return
        case .suspending where !isPaused, .resuming where isPaused: return
        default: break
        }
        if isPaused {
            if state != .suspended { lastState = state == .suspending ? lastState : state.rawValue }
            return setState(.suspended)
        }
        setState(status.phase == .waiting ? .pending : .running)
    }

    private mutating func end(with result: AttemptResult) {
        switch result.phase {
        case .confirmed: end(.succeed)
        case .canceled: end(.canceled)
        case .rolledBack:
            let why = result.failure.map { "\($0.code): \($0.context)" } ?? result.reason
            message = "rolled back: \(why)"
            end(.failed)
        default:
            message = result.failure.map { "\($0.code): \($0.context)" } ?? result.reason
            end(.failed)
        }
    }

    /// Bytes while it downloads; then the steps up to the confirmation, of which only the order is known.
    private mutating func noteProgress(_ status: EngineStatus) {
        if downloads {
            let total = status.totalBytes
            tasks[0].totalSize = Int64(clamping: total)
            let isThere = [Phase.written, .verified, .armed, .rebooting, .trial].contains(status.phase)
            if isThere {
                tasks[0].progress = 100
                // What is only downloaded is done when it was read back.
                if installs { tasks[0].state = .succeed }
            } else if total > 0 {
                tasks[0].progress = Int64(min(status.handledBytes, total) * 100 / total)
            }
        }
        guard installs, let last = tasks.indices.last else { return }
        switch status.phase {
        case .written: tasks[last].progress = 10
        case .verified: tasks[last].progress = 30
        case .armed, .rebooting: tasks[last].progress = 50
        case .trial: tasks[last].progress = 80
        default: break
        }
    }
}
