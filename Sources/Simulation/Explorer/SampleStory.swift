/// A story by its name.
public struct SampleStory: Sendable {
    public let name: String
    private let make: @Sendable (String) throws -> SampleScenario

    init(_ name: String, _ make: @escaping @Sendable (String) throws -> SampleScenario) {
        self.name = name
        self.make = make
    }

    public func scenario() throws -> SampleScenario { try make(name) }

    /// Small enough that each is explored to its end in minutes at most.
    public static let small = [
        SampleStory("a good release") { try SampleScenario($0, [(.good, 2)], windows: [2], epoch: 1) },
        SampleStory("a good release of two components") {
            try SampleScenario($0, [(.good, 2)], windows: [2, 1])
        },
        SampleStory("an unhealthy release, then a good one") {
            try SampleScenario($0, [(.unhealthy, 2), (.good, 3)], windows: [1])
        },
        SampleStory("a release that panics, then a good one") {
            try SampleScenario($0, [(.panics, 2), (.good, 2)], windows: [1], kills: false)
        },
        SampleStory("a release that hangs, then a good one") {
            try SampleScenario($0, [(.hangs, 2), (.good, 2)], windows: [1], kills: false)
        },
        SampleStory("a good release, and one write, flush or connection fails") {
            try SampleScenario($0, [(.good, 2)], windows: [2], epoch: 1, faults: 1, kills: false)
        },
        SampleStory("a good release over a network that lies, then another") {
            try SampleScenario(
                $0, [(.good, 2), (.good, 2)], windows: [2], epoch: 1, faults: 1, faultKinds: .lies, kills: false)
        },
        SampleStory("a good release and a full disk, then another") {
            try SampleScenario(
                $0, [(.good, 2), (.good, 2)], windows: [1], epoch: 1, faults: 1, faultKinds: .fullDisk, kills: false)
        },
        SampleStory("two releases, the second wanted early, the first delivered again") {
            try SampleScenario(
                $0, [(.good, 2), (.good, 2)], windows: [1], redelivers: true, impatient: true, kills: false)
        },
    ]

    /// Large enough for a million states together.
    public static let large = [
        SampleStory("three windows an epoch, two components") {
            try SampleScenario($0, [(.unhealthy, 2), (.good, 3)], windows: [4, 2], epoch: 3)
        },
        SampleStory("a hanging release, then two good ones, and a fault") {
            try SampleScenario($0, [(.hangs, 2), (.good, 2), (.good, 3)], windows: [3], faults: 1)
        },
        SampleStory("three releases, each wanted early") {
            try SampleScenario(
                $0, [(.unhealthy, 2), (.good, 2), (.good, 3)], windows: [3], redelivers: true, impatient: true)
        },
    ]

    /// Media that lie about every flush. Of such a device only this is promised: what runs is never written (S2), and
    /// nothing reaches a slot that was not verified (S5).
    public static let lyingMedia = SampleStory("a good release, and media that lie about flushes") {
        try SampleScenario(
            $0, [(.good, 2)], windows: [2], epoch: 1, kills: false, fakesFlushes: true,
            tolerated: ["S1", "S3", "S6", "S7", "S8", "L1", "L2", "L4", "L5"])
    }
}
