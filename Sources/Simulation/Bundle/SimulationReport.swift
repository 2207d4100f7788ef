internal import BundleFormat
public import StrictJSON

/// What a simulation found.
public struct SimulationReport: Sendable {
    /// One story's result.
    public struct Story: Sendable {
        public let kind: SimulationScenario
        public let name: String
        public let states: Int
        public let transitions: Int
        public let starts: Int
        /// Whether every state there is was visited; nil for walks, which never are.
        public let isComplete: Bool?
        /// Whether the time was over before the states or starts that were asked for.
        public let isStopped: Bool
        public let longestRecovery: Int
        public let violation: ExplorationResult.Violation?
        public let milliseconds: UInt64
    }

    /// Writes to one place.
    public struct Wear: Sendable {
        public let place: String
        /// In one undisturbed installation.
        public let bytes: UInt64
        /// Of the most written window or sector there.
        public let mostWrites: Int
        /// Erase blocks, for flash.
        public let erases: UInt64?
        /// The same in the worst story with power cuts.
        public let worstBytes: UInt64
        public let worstMostWrites: Int
    }

    public let release: String
    public let digest: String
    public let former: String?
    public let device: String
    public let seed: UInt64
    public internal(set) var stories: [Story] = []
    public internal(set) var wear: [Wear] = []

    /// The story with the shortest way to a broken rule.
    var broken: Story? {
        stories.filter { $0.violation != nil }.min {
            ($0.violation?.trace.count ?? 0) < ($1.violation?.trace.count ?? 0)
        }
    }
    /// The broken rule with the shortest way to it.
    public var violation: ExplorationResult.Violation? { broken?.violation }
    /// The sums over all stories.
    public var states: Int { stories.reduce(0) { $0 + $1.states } }
    public var transitions: Int { stories.reduce(0) { $0 + $1.transitions } }
    public var starts: Int { stories.reduce(0) { $0 + $1.starts } }

    /// For people.
    public var text: String {
        let manifest = digest.isEmpty ? "" : ", manifest \(digest.prefix(16))"
        var lines = ["\(release) on \(device)\(manifest)" + (former.map { ", from \($0)" } ?? "")]
        for story in stories {
            var line = "\(story.violation == nil ? "held  " : "BROKEN")  \(story.name): \(story.states) states, "
            line += "\(story.transitions) crash states checked, \(story.starts) starts"
            if story.isComplete == true { line += ", all there are" }
            if story.isStopped { line += ", stopped by the clock" }
            if story.violation == nil && story.longestRecovery > 0 {
                line += ", at most \(story.longestRecovery) starts to recover"
            }
            lines.append(line)
        }
        for wear in wear {
            var line =
                "wear    \(wear.place): \(wear.bytes) bytes, at most \(wear.mostWrites) \(wear.mostWrites == 1 ? "write" : "writes") a place"
            if let erases = wear.erases { line += ", \(erases) erasures" }
            line += "; with power cuts \(wear.worstBytes) bytes, at most \(wear.worstMostWrites)"
            lines.append(line)
        }
        if let violation {
            lines.append("rule    \(violation.rule)")
            for (number, step) in violation.trace.enumerated() { lines.append("  \(number + 1). \(step)") }
        } else {
            lines.append("no rule broken in \(states) states, \(transitions) crash states, \(starts) starts")
        }
        return lines.joined(separator: "\n")
    }

    /// For programs. `trace` is the file that has the way to a broken rule.
    public func json(trace: String?) -> JSONValue {
        .members([
            ("release", .string(release)), ("manifest", .string(digest)),
            ("from", former.map { .string($0) } ?? .null), ("device", .string(device)),
            // A number of JSON is signed here.
            ("seed", .string(String(seed))), ("result", .string(violation == nil ? "held" : "broken")),
            ("states", .integer(Int64(states))), ("crashStates", .integer(Int64(transitions))),
            ("starts", .integer(Int64(starts))), ("stories", .array(stories.map { Self.json($0) })),
            ("wear", .array(wear.map { Self.json($0) })),
            ("rule", violation.map { .string($0.rule) } ?? .null), ("trace", trace.map { .string($0) } ?? .null),
        ])
    }

    private static func json(_ story: Story) -> JSONValue {
        .members([
            ("scenario", .string(story.kind.rawValue)), ("name", .string(story.name)),
            ("result", .string(story.violation == nil ? "held" : "broken")),
            ("states", .integer(Int64(story.states))), ("crashStates", .integer(Int64(story.transitions))),
            ("starts", .integer(Int64(story.starts))),
            ("complete", story.isComplete.map { .bool($0) } ?? .null), ("stopped", .bool(story.isStopped)),
            ("longestRecovery", .integer(Int64(story.longestRecovery))),
            ("milliseconds", .integer(Int64(story.milliseconds))),
            ("rule", story.violation.map { .string($0.rule) } ?? .null),
            ("trace", .array(story.violation?.trace.map { .string($0) } ?? [])),
        ])
    }

    private static func json(_ wear: Wear) -> JSONValue {
        .members([
            ("place", .string(wear.place)), ("bytes", .integer(Int64(clamping: wear.bytes))),
            ("mostWrites", .integer(Int64(wear.mostWrites))),
            ("erases", wear.erases.map { .integer(Int64(clamping: $0)) } ?? .null),
            ("worstBytes", .integer(Int64(clamping: wear.worstBytes))),
            ("worstMostWrites", .integer(Int64(wear.worstMostWrites))),
        ])
    }

    /// JUnit's XML: a test suite with a case for each story.
    public var junit: String {
        let failures = stories.filter { $0.violation != nil }.count
        var lines = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<testsuites>",
            "<testsuite name=\"kedge simulate \(Self.escaped(release))\" tests=\"\(stories.count)\" "
                + "failures=\"\(failures)\" errors=\"0\" "
                + "time=\"\(Self.seconds(stories.reduce(0) { $0 + $1.milliseconds }))\">",
        ]
        for story in stories {
            let head =
                "<testcase classname=\"kedge.simulate.\(story.kind.rawValue)\" name=\"\(Self.escaped(story.name))\" "
                + "time=\"\(Self.seconds(story.milliseconds))\""
            guard let violation = story.violation else {
                lines.append(head + "/>")
                continue
            }
            lines.append(head + ">")
            lines.append("<failure message=\"\(Self.escaped(violation.rule))\">")
            for (number, step) in violation.trace.enumerated() { lines.append(Self.escaped("\(number + 1). \(step)")) }
            lines += ["</failure>", "</testcase>"]
        }
        return (lines + ["</testsuite>", "</testsuites>", ""]).joined(separator: "\n")
    }

    private static func seconds(_ milliseconds: UInt64) -> String {
        let rest = String(milliseconds % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { out, character in
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            default: out.append(character)
            }
        }
    }
}

extension SimulationReport.Story {
    /// An exploration's result.
    init(_ kind: SimulationScenario, _ result: ExplorationResult, _ milliseconds: UInt64) {
        self.init(
            kind: kind, name: result.scenario, states: result.states, transitions: result.transitions,
            starts: result.starts, isComplete: result.isComplete, isStopped: result.isStopped,
            longestRecovery: result.longestRecovery, violation: result.violation, milliseconds: milliseconds)
    }
}
