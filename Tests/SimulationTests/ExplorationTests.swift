import Platform
import Simulation
import TestSupport
import Testing

/// What was explored, and which seeded bugs were found: kind, title, outcome.
private let table = OutcomeTable(variable: "KEDGE_CRASHES")

/// A story by its name, so that the report says what it is.
private struct Story: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let make: @Sendable () throws -> SampleScenario

    init(_ name: String, _ make: @escaping @Sendable (String) throws -> SampleScenario) {
        testDescription = name
        self.make = { try make(name) }
    }
}

/// "Power may fail at any instant", as a computed result on the engine's own code.
@Suite("Exploring every crash", .serialized)
struct ExplorationTests {
    private static let isNightly = ProcessInformation.environment("KEDGE_NIGHTLY") != nil
    /// In an ordinary run each story is explored up to so many states, nearest first; at night to the end.
    private static let limit = isNightly ? Int.max : 1000

    private static let stories = [
        Story("a good release") { try SampleScenario($0, [(.good, 2)], windows: [2], epoch: 1) },
        Story("a good release of two components") { try SampleScenario($0, [(.good, 2)], windows: [2, 1]) },
        Story("an unhealthy release, then a good one") {
            try SampleScenario($0, [(.unhealthy, 2), (.good, 3)], windows: [1])
        },
        Story("a release that panics, then a good one") {
            try SampleScenario($0, [(.panics, 2), (.good, 2)], windows: [1], kills: false)
        },
        Story("a release that hangs, then a good one") {
            try SampleScenario($0, [(.hangs, 2), (.good, 2)], windows: [1], kills: false)
        },
        Story("a good release, and one write, flush or connection fails") {
            try SampleScenario($0, [(.good, 2)], windows: [2], epoch: 1, faults: 1, kills: false)
        },
        Story("two releases, the second wanted early, the first delivered again") {
            try SampleScenario(
                $0, [(.good, 2), (.good, 2)], windows: [1], redelivers: true, impatient: true, kills: false)
        },
    ]

    @Test("No rule is broken in any state that power cuts, kills and faults lead to", arguments: stories)
    private func rules(story: Story) throws { try explore(story, limit: Self.limit) }

    /// Large enough for a million states together.
    private static let nightly = [
        Story("three windows an epoch, two components") {
            try SampleScenario($0, [(.unhealthy, 2), (.good, 3)], windows: [4, 2], epoch: 3)
        },
        Story("a hanging release, then two good ones, and a fault") {
            try SampleScenario($0, [(.hangs, 2), (.good, 2), (.good, 3)], windows: [3], faults: 1)
        },
        Story("three releases, each wanted early") {
            try SampleScenario(
                $0, [(.unhealthy, 2), (.good, 2), (.good, 3)], windows: [3], redelivers: true, impatient: true)
        },
    ]

    @Test("A million states at night", .enabled(if: isNightly, "with KEDGE_NIGHTLY=1"))
    func million() throws {
        var states = 0
        for story in Self.nightly { states += try explore(story, limit: 500_000) }
        #expect(states >= 1_000_000)
    }

    @discardableResult private func explore(_ story: Story, limit: Int) throws -> Int {
        let result = try Exploration(try story.make(), limit: limit).run()
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
