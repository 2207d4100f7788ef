internal import Platform

extension SimulationReport {
    /// Explores the stories that Kedge itself is tested with, up to `states` states each and `seconds` in all (0: no
    /// bound). `progress` gets what of all is done, 0 to 1.
    public static func sample(
        states: Int, seconds: UInt64, bug: SeededBug? = nil, progress: (Double, String) -> Void = { _, _ in }
    ) throws -> SimulationReport {
        let time = SystemTime()
        let start = time.monotonicNanoseconds()
        var report = SimulationReport(release: "sample", digest: "", former: nil, device: "sample", seed: 0)
        let all = SampleStory.small + SampleStory.large
        for (number, story) in all.enumerated() {
            let begun = time.monotonicNanoseconds()
            let bound = seconds * 1_000_000_000
            let share = (bound - min(bound, begun - start)) / UInt64(all.count - number)
            let result = try Exploration(try story.scenario(), bug: bug, limit: states).run { found, _ in
                progress(
                    (Double(number) + min(1, Double(found) / Double(max(1, states)))) / Double(all.count), story.name)
                return seconds == 0 || time.monotonicNanoseconds() - begun < share
            }
            report.stories.append(
                Story(.power, result, (time.monotonicNanoseconds() - begun) / 1_000_000))
        }
        return report
    }
}
