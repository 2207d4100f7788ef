internal import BundleFormat
internal import Platform
internal import StrictJSON

/// The way to a broken rule, in a file: what it was found with, and every step.
public struct SimulationTrace: Sendable {
    /// SHA-256 of what it belongs to, by name: the bundle, the release before, the device's configuration.
    let inputs: [(name: String, digest: String)]
    let kind: SimulationScenario
    let story: String
    public let seed: UInt64
    /// A bug that was put in, for tests.
    public let bug: SeededBug?
    public let rule: String
    let steps: [TraceStep]

    /// Larger files are none.
    private static let limit = 1 << 20
    private static let version: Int64 = 1

    /// The file's bytes.
    public var bytes: [UInt8] { Array((json.prettyText + "\n").utf8) }

    private var json: JSONValue {
        .members([
            ("kedgeTrace", .integer(Self.version)),
            ("inputs", .members(inputs.map { ($0.name, .string($0.digest)) })),
            ("scenario", .string(kind.rawValue)), ("story", .string(story)),
            // A number of JSON is signed here.
            ("seed", .string(String(seed))), ("bug", bug.map { .string($0.name) } ?? .null),
            ("rule", .string(rule)), ("steps", .array(steps.map { $0.json })),
        ])
    }

    init(
        inputs: [(name: String, digest: String)], kind: SimulationScenario, story: String, seed: UInt64,
        bug: SeededBug?, rule: String, steps: [TraceStep]
    ) {
        self.inputs = inputs
        self.kind = kind
        self.story = story
        self.seed = seed
        self.bug = bug
        self.rule = rule
        self.steps = steps
    }

    /// Reads what `bytes` wrote.
    public init(path: String) throws {
        let bytes = try FileSystem.read(path, limit: Self.limit)
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue.parse(bytes, limit: Self.limit)
        } catch { throw SimulationError.trace(path: path, why: error.context) }
        guard value["kedgeTrace"]?.number == Self.version else {
            throw SimulationError.trace(path: path, why: "it has no kedgeTrace = \(Self.version)")
        }
        guard case .object(let inputs)? = value["inputs"],
            let kind = value["scenario"]?.text.flatMap({ SimulationScenario(rawValue: $0) }),
            let story = value["story"]?.text, let seed = value["seed"]?.text.flatMap({ UInt64($0) }),
            let rule = value["rule"]?.text, let steps = value["steps"]?.elements
        else { throw SimulationError.trace(path: path, why: "a member is missing or of the wrong kind") }
        self.inputs = inputs.map { ($0.name, $0.value.text ?? "") }
        self.kind = kind
        self.story = story
        self.seed = seed
        self.rule = rule
        if let name = value["bug"]?.text { bug = try SeededBug(name: name) } else { bug = nil }
        self.steps = try steps.enumerated().map { number, json in
            guard let step = TraceStep(json), !step.state.isEmpty || number == steps.count - 1 else {
                throw SimulationError.trace(path: path, why: "step \(number + 1) is none")
            }
            return step
        }
    }
}

extension SeededBug {
    /// A word for command lines.
    public var name: String { String(describing: self) }

    /// By its word. Throws `SimulationError.noBug`.
    public init(name: String) throws(SimulationError) {
        guard let bug = Self.allCases.first(where: { $0.name == name }) else { throw .noBug(name) }
        self = bug
    }
}
