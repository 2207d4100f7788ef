import Platform
import Simulation
import TestSupport
import Testing

/// What was explored, and which seeded bugs were found: kind, title, outcome.
private let table = OutcomeTable(variable: "KEDGE_CRASHES")

extension SampleStory: CustomTestStringConvertible {
    public var testDescription: String { name }
}

/// "Power may fail at any instant", as a computed result on the engine's own code.
@Suite("Exploring every crash", .serialized)
struct ExplorationTests {
    private static let isNightly = ProcessInformation.environment("KEDGE_NIGHTLY") != nil
    /// Each story is explored up to so many states, nearest first. A million of them are visited by an optimised build
    /// (`kedge simulate --sample`) in `tools/test --nightly`.
    private static let limit = isNightly ? 20_000 : 1000

    @Test("No rule is broken in any state that power cuts, kills and faults lead to", arguments: SampleStory.small)
    func rules(story: SampleStory) throws { try explore(story, limit: Self.limit) }

    @discardableResult private func explore(_ story: SampleStory, limit: Int) throws -> Int {
        let result = try Exploration(try story.scenario(), limit: limit).run()
        print("EXPLORED \(result.text)")
        #expect(result.violation == nil, "\(result.violation?.trace ?? [])")
        #expect(result.isComplete || result.states >= limit)
        try table.add([
            "explored", result.scenario,
            "\(result.states) states, \(result.transitions) transitions, \(result.starts) starts"
                + (result.isComplete ? ", all there are" : "") + ": no rule broken",
        ])
        return result.states
    }

    @Test("Media that lie about flushes can lose the device, but never what runs by a write, nor bytes unverified")
    func lies() throws {
        let result = try Exploration(SampleStory.lyingMedia.scenario(), limit: Self.limit).run()
        print("EXPLORED \(result.text), tolerated \(result.tolerated)")
        #expect(result.violation == nil, "\(result.violation?.trace ?? [])")
        // The mode does what it says: a flush that is a lie is what the protocol cannot bear.
        #expect(result.tolerated["S1", default: 0] > 0)
    }

    @Test(
        "With power held a good release is confirmed, and a bad one rolled back, within the tries and two more starts")
    func recovery() throws {
        for behaviour in SampleBehaviour.allCases {
            let scenario = try SampleScenario(
                "\(behaviour.rawValue), then good", [(behaviour, 2), (.good, 2)], windows: [1], tries: 2, kills: false)
            let walk = try StoryRecovery(scenario).run()
            #expect(walk.ends == [behaviour == .good ? "confirmed" : "rolledBack", "confirmed"])
            // Install and reboot, each try, the fall back, and one start that finds nothing to do.
            #expect(walk.starts.allSatisfy { $0 <= 2 + 2 }, "\(walk.starts)")
        }
    }

    @Test("The same story gives the same states, whatever the threads do")
    func repeatable() throws {
        let scenario = try SampleScenario("twice", [(.good, 2)], windows: [2, 1], epoch: 1)
        let first = try Exploration(scenario, limit: 600).run()
        let second = try Exploration(scenario, limit: 600).run()
        #expect(first.states == second.states && first.transitions == second.transitions)
    }

    @Test("Every seeded bug is found", arguments: SeededBug.allCases)
    func bugs(bug: SeededBug) throws {
        let result = try BugHunt.run(bug)
        let found = try #require(result.violation, "\(bug.rawValue): \(result.text)")
        print("KILLED \(bug.rawValue): \(found.rule)")
        for line in found.trace { print("    \(line)") }
        let number = SeededBug.allCases.firstIndex(of: bug).map { $0 + 1 } ?? 0
        try table.add([
            "bug \(number < 10 ? "0" : "")\(number)", bug.rawValue,
            "\(found.rule) [\(result.states) states: \(found.trace.joined(separator: "; "))]",
        ])
    }
}
