/// Looks for a seeded bug in the smallest story that shows it.
public enum BugHunt {
    private static func scenario(for bug: SeededBug) throws -> SampleScenario {
        switch bug.story {
        case .good: try SampleScenario("a good release", [(.good, 2)], windows: [2], epoch: 1)
        case .unhealthy:
            try SampleScenario("an unhealthy release, then a good one", [(.unhealthy, 2), (.good, 2)], windows: [1])
        case .panics: try SampleScenario("a release that panics", [(.panics, 2)], windows: [1], kills: false)
        case .hangs: try SampleScenario("a release that hangs", [(.hangs, 2)], windows: [1], kills: false)
        case .faults: try SampleScenario("a good release and one fault", [(.good, 2)], windows: [1], faults: 1)
        case .short: try SampleScenario("a good release", [(.good, 2)], windows: [1], kills: false)
        }
    }

    /// Explores until the bug breaks a rule, or `limit` states were found.
    public static func run(_ bug: SeededBug, limit: Int = 5000) throws -> ExplorationResult {
        try Exploration(scenario(for: bug), bug: bug, limit: limit).run()
    }
}
