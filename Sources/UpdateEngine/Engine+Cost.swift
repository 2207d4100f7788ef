internal import Platform

extension Engine {
    /// Runs a long part of the work and notes in the attempt what it took, also when it fails.
    func timed<Result>(
        _ part: AttemptCost.Part, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        timing = (part, outside.time.monotonicNanoseconds())
        defer {
            if var attempt = machine.attempt {
                settleCost(&attempt)
                machine.note(attempt)
            }
            timing = nil
        }
        return try body()
    }

    /// Adds the time since the last call in the running part, and the memory so far, to an attempt. Called wherever
    /// the journal is about to be written, so that a kill loses little of it.
    func settleCost(_ attempt: inout Attempt) {
        guard let (part, since) = timing else { return }
        let now = outside.time.monotonicNanoseconds()
        let whole = (now - min(since, now)) / 1_000_000
        attempt.cost[part] += whole
        // What is less than a millisecond counts at the next call.
        timing = (part, since + whole * 1_000_000)
        attempt.cost.peakResidentKiB = max(attempt.cost.peakResidentKiB, outside.peakResidentKiB())
    }
}
