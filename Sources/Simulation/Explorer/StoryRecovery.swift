/// A story with power held and nothing failing: how each update ends, and after how many starts.
public struct StoryRecovery {
    /// What was told of each update, in their order, and the starts that each took until it was told.
    public struct Result: Sendable {
        public internal(set) var ends: [String] = []
        public internal(set) var starts: [Int] = []
    }

    private let starter: SampleStarter

    public init(_ scenario: SampleScenario) { starter = SampleStarter(scenario, bug: nil) }

    /// Starts until nothing changes any more.
    public func run() throws -> Result {
        var state = try starter.scenario.start(starter.pool)
        var result = Result()
        var since = 0
        for _ in 0...starter.invariants.bound {
            let next = starter.start(state, nil).final
            since += 1
            let told = next.state.facts.told
            for stage in result.ends.count..<told.count where told[stage] != .nothing {
                result.ends.append("\(told[stage])")
                result.starts.append(since)
                since = 0
            }
            if next.key == starter.key(state) { return result }
            state = next.state
        }
        return result
    }
}
