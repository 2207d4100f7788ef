public import ArgumentParser
internal import DeviceService
internal import Platform
public import Simulation
internal import StrictJSON
internal import Trust

extension SimulationScenario: ExpressibleByArgument {}

/// `kedge simulate`.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Install a bundle on simulated devices while everything goes wrong.",
        discussion: """
            Runs the engine of kedged on the bundle, for the device that device.ini describes: power cut at every \
            write and flush, torn and reordered sectors, a bad network, a release that does not work, a full disk. \
            After every cut the boot loader and the engine start again, and that start is cut too. Checks in every \
            state that the device boots a whole release, that no report is wrong, and that the update comes to its end.

            The bundle is installed as it is, with cuts at places that the seed picks; and of a release with some of \
            its windows every state is visited, up to --states. With --sample instead of a bundle the stories that \
            Kedge itself is tested with are explored.

            Scenarios: power, network, bad-release, full-disk, wear; all without --scenario. Exit status 12 when a rule \
            is broken; the way there is written to the trace file, and --replay goes it again.
            """)

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String?
    @Option(help: "The device's configuration, as kedged reads it.", completion: .file(extensions: ["ini"]))
    var device: String?
    @Flag(help: "Explore releases made up for it, on a device made up for it.")
    var sample = false
    @Option(
        help: "The trust root that devices hold. Without it the one that device.ini names.",
        completion: .file(extensions: ["json"]))
    var root: String?
    @Option(help: "The bundle of the release that the device runs; made up without it.", completion: .file())
    var from: String?
    @Option(name: .customLong("scenario"), help: "What goes wrong. May be repeated.")
    var scenarios: [SimulationScenario] = []
    @Option(help: "Picks places and windows; the same seed gives the same run.")
    var seed: UInt64 = 1
    @Option(help: "States to visit at most for each story that is explored.")
    var states = 2000
    @Option(help: "Starts with the whole bundle for each story that is walked through.")
    var steps = 12
    @Option(help: "Seconds for everything; 0 for no bound.")
    var seconds: UInt64 = 60
    @Option(name: .customLong("json"), help: "Write the report to this file as JSON.", completion: .file())
    var report: String?
    @Option(help: "Write the report to this file as JUnit XML.", completion: .file())
    var junit: String?
    @Option(help: "Where the way to a broken rule is written.", completion: .file())
    var trace = "kedge-trace.json"
    @Option(help: "Take the steps of a trace again, with the files it was written with.", completion: .file())
    var replay: String?
    @Option(name: .customLong("seed-bug"), help: ArgumentHelp("Put a bug in, for tests.", visibility: .hidden))
    var seedBug: String?

    func validate() throws {
        if sample {
            if bundle != nil || device != nil || replay != nil || from != nil || !scenarios.isEmpty {
                throw ValidationError("--sample goes with none of BUNDLE, --device, --from, --scenario and --replay.")
            }
        } else if bundle == nil || device == nil {
            throw ValidationError("Give BUNDLE and --device, or --sample.")
        }
        if states < 1 || steps < 1 { throw ValidationError("--states and --steps must be at least 1.") }
        if seconds > 1_000_000 { throw ValidationError("--seconds must be at most 1000000.") }
        if replay != nil && (report != nil || junit != nil || !scenarios.isEmpty) {
            throw ValidationError("--replay goes with none of --json, --junit and --scenario.")
        }
    }

    func run() throws {
        if let bundle, let device { return try run(bundle, device) }
        let progress = SimulationProgress()
        defer { progress.clear() }
        let bug = try seedBug.map { try SeededBug(name: $0) }
        let result = try SimulationReport.sample(states: states, seconds: seconds, bug: bug) { progress.update($0, $1) }
        progress.clear()
        try end(result, trace: nil)
    }

    private func run(_ bundle: String, _ device: String) throws {
        let trust = try TrustStore.load(path: root ?? DeviceProfile(path: device).trust)
        let bug = try seedBug.map { try SeededBug(name: $0) }
        let former = try replay.map { try SimulationTrace(path: $0) }
        let progress = SimulationProgress()
        defer { progress.clear() }
        let simulation = try BundleSimulation(
            bundle: bundle, from: from, device: device, trust: trust, seed: former?.seed ?? seed
        ) { done, total in progress.update(total == 0 ? 1 : Double(done) / Double(total), "reading") }
        if let former, let path = replay {
            progress.clear()
            return try replay(former, path, simulation)
        }
        let bounds = BundleSimulation.Bounds(states: states, steps: steps, seconds: seconds)
        let kinds = SimulationScenario.allCases.filter { scenarios.isEmpty || scenarios.contains($0) }
        let result = try simulation.run(kinds, bounds, bug: bug) { progress.update($0, $1) }
        progress.clear()
        let found = simulation.trace(of: result, bug: bug)
        if let found { try FileSystem.replace(trace, with: found.bytes) }
        try end(result, trace: found == nil ? nil : trace)
    }

    /// Writes and prints what was found.
    private func end(_ result: SimulationReport, trace: String?) throws {
        if let report {
            try FileSystem.replace(report, with: Array((result.json(trace: trace).prettyText + "\n").utf8))
        }
        if let junit { try FileSystem.replace(junit, with: Array(result.junit.utf8)) }
        StandardStream.output.line(result.text)
        if let violation = result.violation { throw SimulationError.broken(rule: violation.rule, trace: trace) }
    }

    private func replay(_ former: SimulationTrace, _ path: String, _ simulation: BundleSimulation) throws {
        let rule = try simulation.replay(former, from: path) { number, text in
            StandardStream.output.line("\(number). \(text)")
        }
        guard let rule else { return StandardStream.output.line("no rule is broken any more") }
        StandardStream.output.line("rule    \(rule)")
        throw SimulationError.broken(rule: rule, trace: nil)
    }
}

/// How far a simulation is: a bar for a person at a terminal, nothing for a log.
private final class SimulationProgress {
    private let isDrawn = StandardStream.error.isTerminal
    private let clock = SystemTime()
    private var last: UInt64 = 0
    /// Redrawn at most this often, nanoseconds.
    private static let interval: UInt64 = 100_000_000

    /// `done` is 0 to 1.
    func update(_ done: Double, _ text: String) {
        let now = clock.monotonicNanoseconds()
        guard isDrawn, now - last >= Self.interval else { return }
        last = now
        let filled = Int(done * 24)
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: max(0, 24 - filled))
        StandardStream.error.write("\r\u{1b}[K[\(bar)] \(Int(done * 100)) %  \(text)")
    }

    func clear() {
        if isDrawn && last > 0 { StandardStream.error.write("\r\u{1b}[K") }
    }
}
