internal import BootControl
internal import BundleFormat
internal import Platform
internal import Signing
internal import Trust
internal import UpdateEngine

/// A story that is explored: which releases are wanted one after the other, and what the world may do meanwhile.
public struct SampleScenario: Sendable {
    public let name: String
    /// What runs when it begins; slot set a.
    let base: SampleRelease
    /// What is wanted, one after the other.
    let stages: [SampleRelease]
    let layout: SampleLayout
    let trust: TrustStore
    let tries: UInt8
    /// Image bytes between two flushes.
    let epochBytes: Int
    /// Bytes of one piece of the network.
    let pieceSize: Int
    /// Who the device is.
    let identity: DeviceIdentity
    /// What its clock says, seconds since 1970.
    let now: Int64
    /// Whether a counter beside the record keeps the floor.
    let hasFloorCounter: Bool
    /// Faults of media and network on one path.
    let faults: UInt8
    /// What kinds of them.
    let faultKinds: SampleFaultKinds
    /// The update before is delivered again at every start.
    let redelivers: Bool
    /// The next update may be wanted before the present one came to its end.
    let impatient: Bool
    /// The process alone may end at any instant, as by SIGKILL.
    let kills: Bool
    /// Pending windows up to which all subsets are explored.
    let exhaustive: Int
    /// The media say that they are flushed and are not: what they were given waits until an orderly end.
    let fakesFlushes: Bool
    /// Rules that may be broken, by their short names; they are counted.
    let tolerated: Set<String>

    /// `windows` by component, one or two. Each stage is a release with that behaviour and security version.
    public init(
        _ name: String, _ stages: [(behaviour: SampleBehaviour, securityVersion: UInt32)], windows: [Int] = [3],
        epoch: Int = 2, tries: UInt8 = 2, faults: UInt8 = 0, faultKinds: SampleFaultKinds = .common,
        redelivers: Bool = false, impatient: Bool = false, kills: Bool = true, exhaustive: Int = 3,
        fakesFlushes: Bool = false, tolerated: Set<String> = []
    ) throws {
        self.name = name
        let key = try SimulationKey.make()
        let base = try SampleRelease("r0", .good, sequence: 1, securityVersion: 1, counts: windows, key: key)
        self.base = base
        var former = base
        self.stages = try stages.enumerated().map { (number, stage) in
            let release = try SampleRelease(
                "r\(number + 1)", stage.behaviour, sequence: UInt64(number + 2),
                securityVersion: stage.securityVersion, counts: windows, sharing: former, key: key)
            former = release
            return release
        }
        layout = SampleLayout(counts: windows)
        trust = try SimulationKey.trust(key)
        self.tries = tries
        epochBytes = epoch * SampleRelease.windowSize
        pieceSize = SampleRelease.windowSize
        identity = DeviceIdentity(id: "gw", vendor: "acme", deviceClass: "edge", hardware: 1)
        now = 1_700_000_000
        hasFloorCounter = true
        self.faults = faults
        self.faultKinds = faultKinds
        self.redelivers = redelivers
        self.impatient = impatient
        self.kills = kills
        self.exhaustive = exhaustive
        self.fakesFlushes = fakesFlushes
        self.tolerated = tolerated
    }

    /// Releases that are there already, on a device that is somebody's own.
    init(
        _ name: String, base: SampleRelease, stages: [SampleRelease], layout: SampleLayout, trust: TrustStore,
        device: SampleDeviceTerms, epochBytes: Int, pieceSize: Int, faults: UInt8 = 0,
        faultKinds: SampleFaultKinds = .common, kills: Bool = true
    ) {
        self.name = name
        self.base = base
        self.stages = stages
        self.layout = layout
        self.trust = trust
        tries = device.tries
        self.epochBytes = epochBytes
        self.pieceSize = pieceSize
        identity = device.identity
        now = device.now
        hasFloorCounter = device.hasFloorCounter
        self.faults = faults
        self.faultKinds = faultKinds
        redelivers = false
        impatient = false
        self.kills = kills
        exhaustive = 3
        fakesFlushes = false
        tolerated = []
    }

    var all: [SampleRelease] { [base] + stages }
    func release(_ digest: Digest) -> SampleRelease? { all.first { $0.digest == digest } }

    /// A device that runs the first release, and whose spare slot set was never written.
    func start(_ pool: ContentPool) throws -> SampleState {
        var cells = [UInt32](repeating: ContentPool.nothing, count: layout.cellCount)
        let junk = pool.number(of: Content([UInt8](repeating: 0xa5, count: SampleRelease.windowSize)))
        let zeros = pool.number(of: Content([UInt8](repeating: 0, count: SampleRelease.windowSize)))
        for component in layout.counts.indices {
            for index in 0..<layout.counts[component] {
                let windows = base.windows[component]
                cells[layout.window(.a, component, index)] =
                    index < windows.count ? pool.number(of: Content(windows[index])) : junk
                cells[layout.window(.b, component, index)] = junk
            }
            cells[layout.tail(.a, component)] = zeros
            cells[layout.tail(.b, component)] = junk
        }
        var record = BootRecord(
            slotA: base.slotRecord, floor: base.securityVersion, acceptedSequence: base.sequence)
        for copy in 0..<2 {
            record.revision = UInt64(copy + 1)
            let sector = BootRecord.Sector(record: record, copy: UInt8(copy), parent: nil)
            cells[layout.record(copy)] = pool.number(of: Content(try sector.encoded()))
        }
        if !base.head.isEmpty { cells[layout.head(.a)] = pool.number(of: Content(base.head)) }
        cells[layout.floor] = pool.number(of: Content(SampleFloor.bytes(base.securityVersion)))
        return SampleState(
            cells: cells,
            facts: SampleFacts(told: stages.map { _ in .nothing }, faults: faults))
    }
}

/// What of a device's configuration decides anything.
struct SampleDeviceTerms: Sendable {
    let identity: DeviceIdentity
    let tries: UInt8
    let now: Int64
    let hasFloorCounter: Bool
}

/// What of media and network may fail.
public struct SampleFaultKinds: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A write or a flush that fails, a write that is lost or lands elsewhere.
    public static let media = Self(rawValue: 1)
    /// A connection that breaks.
    public static let breaks = Self(rawValue: 2)
    /// A server that gives other bytes, another object, or less than it has.
    public static let lies = Self(rawValue: 4)
    /// A file system that is full from some write on.
    public static let fullDisk = Self(rawValue: 8)

    /// What most stories have.
    public static let common: Self = [.media, .breaks]
}

/// The key that signs what is made here. It is in no trust root but those made here, and the same in every process, so
/// that a trace can be replayed.
enum SimulationKey {
    static func make() throws -> SigningKey {
        try SigningKey(ed25519Seed: SHA256.digest(of: Array("kedge simulate".utf8)))
    }

    /// A root that trusts it alone.
    static func trust(_ key: SigningKey) throws -> TrustStore {
        try TrustStore(
            rootFile: RootDocument.make(
                environment: .dev, created: 1_600_000_000, rootKeys: [(key.publicKey, "root")], rootThreshold: 1,
                releaseKeys: [(key.publicKey, "release")], releaseThreshold: 1, signedBy: [key]))
    }
}
