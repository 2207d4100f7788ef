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
    private static let stories = [
        Story("a good release") { try SampleScenario($0, [(.good, 2)], windows: [2], epoch: 1) },
        Story("an unhealthy release, then a good one") {
            try SampleScenario($0, [(.unhealthy, 2), (.good, 3)], windows: [1])
        },
        Story("a release that panics, then a good one") {
            try SampleScenario($0, [(.panics, 2), (.good, 2)], windows: [1], kills: false)
        },
        Story("a release that hangs, then a good one") {
            try SampleScenario($0, [(.hangs, 2), (.good, 2)], windows: [1], kills: false)
        },
    ]

    @Test("No rule is broken in any state that power cuts and kills lead to", arguments: stories)
    private func complete(story: Story) throws {
        let result = try Exploration(try story.make()).run()
        print("EXPLORED \(result.text)")
        #expect(result.violation == nil, "\(result.violation?.trace ?? [])")
        #expect(result.isComplete)
        try table.add([
            "explored", result.scenario,
            "\(result.states) states, \(result.transitions) transitions, \(result.starts) starts: no rule broken",
        ])
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
