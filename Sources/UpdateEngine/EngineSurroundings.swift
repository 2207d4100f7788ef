public import BootControl
public import BundleFormat
public import Floors
public import Platform
public import Slots
public import Transfer
public import Trust

/// Who this device is; compared with what the release says it is for.
public struct DeviceIdentity: Equatable, Sendable {
    public let id: String
    public let vendor: String
    public let deviceClass: String
    /// Hardware revision.
    public let hardware: UInt32

    public init(id: String, vendor: String, deviceClass: String, hardware: UInt32) {
        self.id = id
        self.vendor = vendor
        self.deviceClass = deviceClass
        self.hardware = hardware
    }
}

/// The device's slots, by the names that components target.
public protocol SlotProvider: AnyObject, Sendable {
    /// The slot of one set.
    func slot(_ target: Identifier, _ set: SlotSet) throws(SlotError) -> any Slot
}

/// Opens the place that a bundle comes from.
public protocol SourceOpener: AnyObject, Sendable {
    func open(_ location: String) throws(TransferError) -> any BundleSource

    /// Opens a bundle that may be at more places than the one that was asked for: at `alternatives`, and at those that
    /// the device knows by itself (a LAN cache). `isPinned` says that the manifest is known beforehand, so that any
    /// place may tell what the bundle is; otherwise the one that was asked for does, as long as it answers.
    func openBundle(
        _ location: String, alternatives: [String], isPinned: Bool
    ) throws(TransferError) -> any BundleSource
}

extension SourceOpener {
    /// The one place that was asked for.
    public func openBundle(
        _ location: String, alternatives: [String], isPinned: Bool
    ) throws(TransferError) -> any BundleSource { try open(location) }
}

/// Reboots.
public protocol PowerControl: AnyObject, Sendable {
    /// Starts the reboot. Returns `.started` when the machine is going down, `.byHand` when the device's
    /// configuration leaves the reboot to somebody else.
    func reboot() throws(Failure) -> RebootOutcome
}

/// What `PowerControl.reboot` did.
public enum RebootOutcome: Sendable {
    case started, byHand
}

/// Decides whether the running release works.
public protocol HealthCheck: AnyObject, Sendable {
    /// Returns when healthy; throws `health.failed` with the reason otherwise. Ends within `deadline` seconds.
    func run(slot: SlotSet, release: String, attempt: String, deadline: UInt32) throws(Failure)
}

/// The few bytes that the engine keeps besides the boot record.
public protocol StateStore: AnyObject, Sendable {
    /// Both slots of the journal file, as they are; nil where nothing was ever written.
    func readJournal(slot: Int) throws(SystemError) -> [UInt8]?
    /// Overwrites one slot and makes it durable.
    func writeJournal(slot: Int, _ bytes: [UInt8]) throws(SystemError)
    /// The kept head of the bundle in a slot set.
    func readHead(_ set: SlotSet) throws(SystemError) -> [UInt8]?
    /// Replaces it as a whole.
    func writeHead(_ set: SlotSet, _ bytes: [UInt8]) throws(SystemError)
    /// Up to `count` bytes from `offset` of what is kept of a slot's content (`WindowHints`); fewer at the end, none
    /// where nothing is kept.
    func readHints(
        _ target: Identifier, _ set: SlotSet, at offset: UInt64, count: Int
    ) throws(SystemError) -> [UInt8]
    /// Overwrites bytes of it. Need not be durable: what is lost costs a download at most.
    func writeHints(_ target: Identifier, _ set: SlotSet, _ bytes: [UInt8], at offset: UInt64) throws(SystemError)
    /// Whether another process asked to cancel.
    func cancelRequested() -> Bool
    /// Leaves such a request, or takes it back.
    func setCancelRequest(_ present: Bool) throws(SystemError)
    /// The attempt that somebody asked to pause, in whatever process; nil when there is none.
    func heldAttempt() -> String?
    /// Durably asks an attempt to pause in place of any other, or, with nil, none.
    func setHeldAttempt(_ attempt: String?) throws(SystemError)
}

/// The room on the device's file systems.
public protocol SpaceProbe: AnyObject, Sendable {
    /// Bytes that must stay free wherever an attempt writes files.
    var reserve: UInt64 { get }
    /// Where the engine's own files are.
    var data: String { get }
    /// Free bytes where a path is or would be made; nil when the file system does not say.
    func free(at path: String) -> UInt64?
}

/// Told of every change; called on the engine's thread, must not block for long.
public protocol EngineObserver: AnyObject, Sendable {
    func engineChanged(_ status: EngineStatus)
}

/// Everything outside the engine, so that simulation runs the same engine.
public struct EngineSurroundings: Sendable {
    public let identity: DeviceIdentity
    public let trust: TrustStore
    public let boot: any BootHome
    public let running: RunningSlot
    public let slots: any SlotProvider
    public let sources: any SourceOpener
    public let state: any StateStore
    public let power: any PowerControl
    public let health: any HealthCheck
    public let time: any TimeSource
    public let random: any RandomSource
    /// Boots that a new release gets to confirm itself, 1 to 255.
    public let tries: UInt8
    /// Looks for a newer trust root before each attempt; nil where `trust` never changes.
    public let rotation: (any TrustRotation)?
    /// Keeps the floor beside the boot record; nil where the record alone does.
    public let floor: (any FloorStore)?
    /// When this program was made (seconds since 1970); 0 when that is not known.
    public let built: Int64
    /// Keeps what the device asked for as downgrades; nil where none is ever authorised.
    public let overrides: (any KeptDocument)?
    /// The channel that the device follows, if any.
    public let channel: ChannelFollowing?
    /// How windows are brought to their slots.
    public let pace: WritePace
    /// Watches the room on file systems; nil where none can run full.
    public let space: (any SpaceProbe)?
    /// What an attempt may fetch.
    public let download: DownloadPolicy
    /// Highest resident memory of this process so far, KiB.
    public let peakResidentKiB: @Sendable () -> UInt64

    public init(
        identity: DeviceIdentity, trust: TrustStore, boot: any BootHome, running: RunningSlot,
        slots: any SlotProvider, sources: any SourceOpener, state: any StateStore, power: any PowerControl,
        health: any HealthCheck, time: any TimeSource, random: any RandomSource, tries: UInt8,
        rotation: (any TrustRotation)? = nil, floor: (any FloorStore)? = nil, built: Int64 = 0,
        overrides: (any KeptDocument)? = nil, channel: ChannelFollowing? = nil,
        pace: WritePace = .device, space: (any SpaceProbe)? = nil, download: DownloadPolicy = DownloadPolicy(),
        peakResidentKiB: @escaping @Sendable () -> UInt64 = { ProcessInformation.peakResidentKiB }
    ) {
        self.identity = identity
        self.trust = trust
        self.boot = boot
        self.running = running
        self.slots = slots
        self.sources = sources
        self.state = state
        self.power = power
        self.health = health
        self.time = time
        self.random = random
        self.tries = tries
        self.rotation = rotation
        self.floor = floor
        self.built = built
        self.overrides = overrides
        self.channel = channel
        self.pace = pace
        self.space = space
        self.download = download
        self.peakResidentKiB = peakResidentKiB
    }
}
