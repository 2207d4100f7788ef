public import BootControl
public import BundleFormat
public import Platform

/// What the engine says of itself; every report is made from it.
public struct EngineStatus: Equatable, Sendable {
    public var phase: Phase
    /// The attempt in work or the last one.
    public var attempt: Attempt?
    public var record: BootRecord
    /// The slot set that runs.
    public var running: SlotSet
    /// The boot id that the running system has, or empty.
    public var bootID: String
    /// Releases in the two slot sets, as far as they are known by verified heads.
    public var releaseA: ReleaseName?
    public var releaseB: ReleaseName?
    /// Image bytes handled and in all, while fetching or reading back.
    public var handledBytes: UInt64 = 0
    public var totalBytes: UInt64 = 0
    /// The plan of the attempt in work.
    public var plan: UpdatePlan?
    /// Why the attempt pauses (it goes on later), if it does.
    public var pause: Failure?
    /// How the last attempts ended.
    public var results: [AttemptResult] = []
    /// What stands beside the boot record's floor.
    public var floors = FloorStatus()
    /// What is known of the time.
    public var time = TimeStatus(lowerBound: 0, clock: .good)

    /// The request for a downgrade that waits for its statement.
    public var overrideRequest: OverrideBook.Request?
    /// What is known of the channel that the device follows.
    public var channel: ChannelStatus?

    /// Lowest security version that this device accepts.
    public var floor: UInt32 { floors.effective(record.floor) }
    /// Release in a slot set.
    public subscript(_ slot: SlotSet) -> ReleaseName? { slot == .a ? releaseA : releaseB }

    /// The result of the attempt, once it ended.
    public var result: AttemptResult? {
        guard let attempt else { return results.last }
        return results.last { $0.attempt == attempt.id }
    }
}

/// A release by the names that people use.
public struct ReleaseName: Equatable, Sendable {
    public let id: String
    public let version: String
    public let manifest: Digest

    public init(id: String, version: String, manifest: Digest) {
        self.id = id
        self.version = version
        self.manifest = manifest
    }
}
