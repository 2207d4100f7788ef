/// Takes the steps of a trace again, each to exactly the state that the trace names.
struct StoryReplay {
    let starter: SampleStarter
    let steps: [TraceStep]
    /// Where a network breaks, the engine's threads decide whether one more flush comes before the pause; the start is
    /// then made again until it is the one of the trace.
    private static let mostTries = 40

    /// The rule that is broken at the end; nil where none is any more. `onStep` sees each step.
    func run(_ onStep: (_ number: Int, _ text: String) -> Void) throws -> String? {
        var state = try starter.scenario.start(starter.pool)
        var since = state
        var wear = StoryWear()
        for (number, step) in steps.enumerated() {
            onStep(number + 1, step.text)
            if step.state.isEmpty {
                let start = again(state, step) { $0.violation != nil }
                return start.violation?.rule
            }
            guard let next = self.next(of: state, step, &wear) else {
                throw SimulationError.diverged(step: number + 1, text: step.text)
            }
            if let (rule, _) = next.violation { return rule }
            state = next.state
            if step.step.isCrash || step.step.fault != nil { since = state }
        }
        return ending(state, since, wear)
    }

    private func next(
        of state: SampleState, _ step: TraceStep, _ wear: inout StoryWear
    ) -> (state: SampleState, violation: (rule: String, step: SampleStep)?)? {
        if case .wanted = step.step {
            let next = starter.wanted(state)
            return next.flatMap { starter.fingerprint($0.state) == step.state ? ($0.state, nil) : nil }
        }
        func match(_ start: SampleStart) -> SampleState? {
            let all = step.step.isCrash ? start.children : [start.final]
            return all.first { $0.step == step.step && starter.fingerprint($0.state) == step.state }?.state
        }
        let start = again(state, step) { match($0) != nil }
        wear.add(start, until: step.step)
        return match(start).map { ($0, nil) }
    }

    private func again(_ state: SampleState, _ step: TraceStep, until: (SampleStart) -> Bool) -> SampleStart {
        var start = starter.start(state, step.step.fault)
        for _ in 1..<Self.mostTries where !until(start) { start = starter.start(state, step.step.fault) }
        return start
    }

    /// With power held from the last step on: the rules about ends.
    private func ending(_ last: SampleState, _ since: SampleState, _ former: StoryWear) -> String? {
        var state = last
        var wear = former
        for _ in 0...starter.invariants.bound {
            let start = starter.start(state, nil)
            if let (rule, _) = start.violation { return rule }
            wear.add(start, until: .end(nil))
            if start.final.key == starter.key(state) {
                return starter.invariants.checkEnd(state) ?? starter.invariants.checkOutcome(since, state)
                    ?? wear.tooMuch(starter.scenario)
            }
            state = start.final.state
        }
        return "L2: \(starter.invariants.bound) starts with power held, and the update comes to no end"
    }
}
