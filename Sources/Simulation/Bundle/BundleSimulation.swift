internal import BootControl
internal import BundleFormat
internal import DeviceService
public import Platform
internal import Slots
public import Trust
internal import UpdateEngine

/// Runs the shipped engine on somebody's own bundle and device, with everything that may go wrong, and checks the rules
/// of `CrashStates` in every state.
public final class BundleSimulation {
    /// How much is done.
    public struct Bounds: Sendable {
        /// States of each story that is explored.
        public var states: Int
        /// Starts with the whole bundle, for each story that is walked through.
        public var steps: Int
        /// Seconds for all; 0 for no bound.
        public var seconds: UInt64

        public init(states: Int, steps: Int, seconds: UInt64) {
            self.states = states
            self.steps = steps
            self.seconds = seconds
        }
    }

    private let stories: BundleStories
    private let device: DeviceProfile
    private let seed: UInt64
    private let inputs: [(name: String, digest: String)]
    private let former: String?
    private let time: any TimeSource

    /// Reads and verifies the bundle, and that of the release before if there is one. Images go to a file without a
    /// name in TMPDIR or /var/tmp. `progress` gets image bytes done and in all.
    ///
    /// Throws what `kedged` would say of a bundle that is damaged or not trusted, or has no slot there.
    public init(
        bundle: String, from former: String?, device path: String, trust: TrustStore, seed: UInt64,
        time: any TimeSource = SystemTime(), progress: @escaping (UInt64, UInt64) -> Void = { _, _ in }
    ) throws {
        device = try DeviceProfile(path: path)
        self.seed = seed
        self.time = time
        stories = try BundleStories(
            bundle: bundle, from: former, device: device, trust: trust, seed: seed, progress: progress)
        self.former = former == nil ? nil : stories.base.name
        let configuration = try FileSystem.read(path, limit: 1 << 20)
        inputs = [
            ("bundle", stories.whole.digest.hex), ("from", former == nil ? "" : stories.base.digest.hex),
            ("device", SHA256.digest(of: configuration).hex),
        ]
    }

    /// Goes through the stories of the scenarios. `progress` gets what of all is done, 0 to 1.
    ///
    /// Throws the engine's own failure when it refuses the bundle on this device, undisturbed.
    public func run(
        _ scenarios: [SimulationScenario], _ bounds: Bounds, bug: SeededBug? = nil,
        progress: (_ done: Double, _ story: String) -> Void = { _, _ in }
    ) throws -> SimulationReport {
        var report = SimulationReport(
            release: stories.whole.name, digest: stories.whole.digest.hex, former: former,
            device: "\(device.identity.vendor) \(device.identity.deviceClass)", seed: seed)
        // What refuses the bundle is known before anything is explored.
        let all = try scenarios.flatMap { try stories.stories($0) }.sorted { $0.isWhole && !$1.isWhole }
        let start = time.monotonicNanoseconds()
        for (number, story) in all.enumerated() {
            let begun = time.monotonicNanoseconds()
            let left = (bounds.seconds * 1_000_000_000) - min(bounds.seconds * 1_000_000_000, begun - start)
            let share = left / UInt64(all.count - number)
            let goOn = { (part: Double) -> Bool in
                progress((Double(number) + min(1, part)) / Double(all.count), story.name)
                return bounds.seconds == 0 || self.time.monotonicNanoseconds() - begun < share
            }
            if story.isWhole {
                try walk(story, bounds.steps, bug, begun, goOn, &report)
            } else {
                try explore(story, bounds.states, bug, begun, goOn, &report)
            }
            try stories.windows.check()
        }
        return report
    }

    private func explore(
        _ story: BundleStory, _ limit: Int, _ bug: SeededBug?, _ begun: UInt64, _ goOn: (Double) -> Bool,
        _ report: inout SimulationReport
    ) throws {
        let result = try Exploration(story.scenario, bug: bug, limit: limit).run { states, _ in
            goOn(Double(states) / Double(max(1, limit)))
        }
        report.stories.append(SimulationReport.Story(story.kind, result, since(begun)))
    }

    private func walk(
        _ story: BundleStory, _ starts: Int, _ bug: SeededBug?, _ begun: UInt64, _ goOn: (Double) -> Bool,
        _ report: inout SimulationReport
    ) throws {
        let result = try StoryWalk(story.scenario, bug: bug, seed: seed).run(starts: starts) { done in
            goOn(Double(done) / Double(max(1, starts)))
        }
        if let refusal = result.refusal, story.scenario.stages[0].behaviour == .good { throw refusal }
        report.stories.append(
            SimulationReport.Story(
                kind: story.kind, name: story.name, states: result.states, transitions: result.transitions,
                starts: result.starts, isComplete: nil, isStopped: result.isStopped,
                longestRecovery: result.longestRecovery, violation: result.violation, milliseconds: since(begun)))
        if story.kind == .wear { report.wear = wear(story.scenario.layout, result) }
    }

    private func since(_ begun: UInt64) -> UInt64 { (time.monotonicNanoseconds() - begun) / 1_000_000 }

    // MARK: wear

    private func wear(_ layout: SampleLayout, _ result: StoryWalk.Result) -> [SimulationReport.Wear] {
        var rows: [SimulationReport.Wear] = []
        for set in SlotSet.allCases {
            for component in layout.counts.indices {
                let cells = (0..<layout.counts[component]).map { layout.window(set, component, $0) }
                let size = UInt64(layout.windowSizes[component])
                rows.append(
                    row("\(layout.targets[component]) \(set.letter)", cells, size, result, eraseSize(layout, component))
                )
            }
        }
        rows.append(row("boot record", (0..<2).map { layout.record($0) }, 512, result, nil))
        return rows
    }

    private func row(
        _ place: String, _ cells: [Int], _ size: UInt64, _ result: StoryWalk.Result, _ eraseSize: UInt64?
    ) -> SimulationReport.Wear {
        let calm = cells.map { result.calmWear.byCell[$0] ?? 0 }
        let worst = cells.map { result.worstWear.byCell[$0] ?? 0 }
        let bytes = UInt64(calm.reduce(0, +)) * size
        return SimulationReport.Wear(
            place: place, bytes: bytes, mostWrites: calm.max() ?? 0,
            erases: eraseSize.map { (bytes + $0 - 1) / $0 }, worstBytes: UInt64(worst.reduce(0, +)) * size,
            worstMostWrites: worst.max() ?? 0)
    }

    private func eraseSize(_ layout: SampleLayout, _ component: Int) -> UInt64? {
        for slot in device.slots where slot.target == layout.targets[component] {
            if case .flash(_, _, _, let size) = slot.place { return size }
        }
        return nil
    }

    // MARK: traces

    /// The way to the broken rule, so that it can be replayed; nil when none is broken.
    public func trace(of report: SimulationReport, bug: SeededBug?) -> SimulationTrace? {
        guard let story = report.broken, let violation = story.violation else { return nil }
        return SimulationTrace(
            inputs: inputs, kind: story.kind, story: story.name, seed: seed, bug: bug, rule: violation.rule,
            steps: violation.steps)
    }

    /// Takes the steps of a trace again. The rule that is broken at its end; nil where none is any more.
    ///
    /// Throws `SimulationError.otherTrace` for a trace of another bundle, device or seed, and `diverged` where the
    /// engine goes another way now.
    public func replay(
        _ trace: SimulationTrace, from path: String, onStep: (_ number: Int, _ text: String) -> Void
    ) throws -> String? {
        for input in inputs where trace.inputs.first(where: { $0.name == input.name })?.digest != input.digest {
            throw SimulationError.otherTrace(path: path, what: input.name)
        }
        guard let story = try stories.stories(trace.kind).first(where: { $0.name == trace.story }) else {
            throw SimulationError.trace(path: path, why: "there is no story \(trace.story)")
        }
        let rule = try StoryReplay(
            starter: SampleStarter(story.scenario, bug: trace.bug), steps: trace.steps
        ).run(onStep)
        try stories.windows.check()
        return rule
    }
}
