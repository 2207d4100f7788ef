/// Looks for a seeded bug in the smallest stories first.
public enum BugHunt {
    /// The stories, each as small as it can be.
    public static func scenarios(for bug: SeededBug) throws -> [SampleScenario] {
        let faults: UInt8 = bug.needsFaults ? 1 : 0
        return [
            try SampleScenario("a good release", [(.good, 2)], windows: [2], epoch: 1, faults: faults),
            try SampleScenario(
                "an unhealthy release, then a good one", [(.unhealthy, 2), (.good, 2)], windows: [2], faults: faults),
            try SampleScenario("a release that panics", [(.panics, 2)], windows: [2], faults: faults),
            try SampleScenario("a release that hangs", [(.hangs, 2)], windows: [2], faults: faults),
        ]
    }

    /// The first story in which the bug breaks a rule, or the last one, in which it does not either.
    public static func run(_ bug: SeededBug, limit: Int = 4000) throws -> ExplorationResult {
        var last: ExplorationResult?
        for scenario in try scenarios(for: bug) {
            let result = try Exploration(scenario, bug: bug, limit: limit).run()
            if result.violation != nil { return result }
            last = result
        }
        guard let last else { throw GatewayHuntError.noStories }
        return last
    }

    private enum GatewayHuntError: Error { case noStories }
}
