internal import BootControl
internal import BundleFormat
internal import Signing
internal import Trust

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
    /// Windows between two flushes.
    let epoch: Int
    /// Faults of media and network on one path.
    let faults: UInt8
    /// The update before is delivered again at every start.
    let redelivers: Bool
    /// The next update may be wanted before the present one came to its end.
    let impatient: Bool
    /// The process alone may end at any instant, as by SIGKILL.
    let kills: Bool
    /// Pending windows up to which all subsets are explored.
    let exhaustive: Int

    /// `windows` by component, one or two. Each stage is a release with that behaviour and security version.
    public init(
        _ name: String, _ stages: [(behaviour: SampleBehaviour, securityVersion: UInt32)], windows: [Int] = [3],
        epoch: Int = 2, tries: UInt8 = 2, faults: UInt8 = 0, redelivers: Bool = false, impatient: Bool = false,
        kills: Bool = true, exhaustive: Int = 3
    ) throws {
        self.name = name
        let key = try SigningKey.generate()
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
        trust = try TrustStore(
            rootFile: RootDocument.make(
                environment: .dev, created: 1_600_000_000, rootKeys: [(key.publicKey, "root")], rootThreshold: 1,
                releaseKeys: [(key.publicKey, "release")], releaseThreshold: 1, signedBy: [key]))
        self.tries = tries
        self.epoch = epoch
        self.faults = faults
        self.redelivers = redelivers
        self.impatient = impatient
        self.kills = kills
        self.exhaustive = exhaustive
    }

    var all: [SampleRelease] { [base] + stages }
    func release(_ digest: Digest) -> SampleRelease? { all.first { $0.digest == digest } }
    func headLength(of bundle: [UInt8]) -> Int { all.first { $0.bundle == bundle }?.head.count ?? bundle.count }

    /// A device that runs the first release, and whose spare slot set was never written.
    func start(_ pool: ContentPool) throws -> SampleState {
        var cells = [UInt32](repeating: ContentPool.nothing, count: layout.cellCount)
        let junk = pool.number(of: Content([UInt8](repeating: 0xa5, count: SampleRelease.windowSize)))
        let zeros = pool.number(of: Content([UInt8](repeating: 0, count: SampleRelease.windowSize)))
        for component in layout.counts.indices {
            for index in 0..<layout.counts[component] {
                cells[layout.window(.a, component, index)] = pool.number(of: Content(base.windows[component][index]))
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
        cells[layout.head(.a)] = pool.number(of: Content(base.head))
        cells[layout.floor] = pool.number(of: Content([UInt8(base.securityVersion)]))
        return SampleState(
            cells: cells,
            facts: SampleFacts(told: stages.map { _ in .nothing }, faults: faults))
    }
}
