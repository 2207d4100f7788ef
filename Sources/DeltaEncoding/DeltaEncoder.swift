public import BundleFormat
internal import Platform

/// Why no delta was made.
public enum DeltaEncodingError: Error, Equatable, Sendable {
    /// No memory for a zstd context.
    case noMemory
}

/// Makes the groups of a delta between two images, or of the solid form of one.
///
/// The copy map and the groups come first, on one thread; then the groups are coded on `jobs` threads, each on its own,
/// so the bytes depend on the images, the level and the versions of libzstd and libdivsufsort, and on nothing else.
public struct DeltaEncoder: Sendable {
    private let image: ByteBlock
    private let base: ByteBlock?
    private let windowSize: Int
    private let level: Int
    private let jobs: Int

    /// What became of one group.
    private struct Coded: Sendable {
        let plan: DeltaGroupPlan
        let stored: [UInt8]
    }

    /// `level` is zstd's, 1 to 22. Without a base the groups are those of the solid form.
    public init(image: ByteBlock, base: ByteBlock?, windowSize: Int = BundleLimits.window, level: Int, jobs: Int) {
        self.image = image
        self.base = base
        self.windowSize = windowSize
        self.level = level
        self.jobs = max(jobs, 1)
    }

    /// Calls `write` with the stored bytes of each group in order, and returns what the table says of them.
    /// `progress` gets image bytes done: half of them count for the search, half for the coding.
    public func encode(
        progress: (UInt64) throws -> Void = { _ in }, write: ([UInt8]) throws -> Void
    ) throws -> [DeltaGroupPlan] {
        let space = AddressSpace(base: base?.view, image: image.view)
        var map = CopyMap(space, windowSize: windowSize)
        let drafts = try map.groups { try progress(UInt64($0) / 2) }
        let index = AnchorIndex(space, pieces: drafts.flatMap { $0.pieces })
        var failed = false
        let work = OrderedWork<Coded?>(count: drafts.count, jobs: jobs)
        var plans: [DeltaGroupPlan] = []
        let (level, isSolid, size) = (level, base == nil, image.count)
        let isStable = base.map { !$0.view.changesWhenMounted } ?? false
        try work.run(jobs: jobs) {
            let coder = SendableCoder(value: GroupCoder(level: level, usesDifferences: !isSolid, models: isStable))
            return { number in coder.value.map { Self.code(drafts[number], space, index, $0, isSolid: isSolid) } }
        } deliver: { number, coded in
            guard let coded else {
                failed = true
                return
            }
            try write(coded.stored)
            plans.append(coded.plan)
            let done = min(UInt64(drafts[number].windows.upperBound) * UInt64(windowSize), UInt64(size))
            try progress(UInt64(size) / 2 + done / 2)
        }
        if failed { throw DeltaEncodingError.noMemory }
        return plans
    }

    private static func code(
        _ draft: GroupDraft, _ space: AddressSpace, _ index: AnchorIndex, _ coder: GroupCoder, isSolid: Bool
    ) -> Coded {
        let residual = draft.residual(of: space.image)
        var ranges: [DeltaRange] = []
        if draft.residualLength > 0 {
            ranges = index.gather(
                draft.pieces, limit: draft.limit, budget: BundleLimits.references,
                recent: isSolid ? BundleLimits.references : 0)
        }
        let references = gather(ranges, space)
        let (codec, stored) = coder.code(residual.view, references: references.view)
        let used = codec == .zstdReferences || codec == .difference
        let plan = DeltaGroupPlan(
            codec: codec, residualLength: draft.residualLength, storedLength: stored.count,
            storedDigest: stored.isEmpty ? nil : SHA256.digest(of: stored), references: used ? ranges : [],
            windows: draft.operations)
        return Coded(plan: plan, stored: stored)
    }

    private static func gather(_ ranges: [DeltaRange], _ space: AddressSpace) -> ByteBlock {
        var bytes: [UInt8] = []
        for range in ranges {
            let (view, place) = space.locate(Int(range.start))
            bytes += view[place..<(place + range.length)].array
        }
        return ByteBlock(bytes)
    }
}

/// Carries a coder to the one thread that uses it.
private struct SendableCoder: @unchecked Sendable {
    let value: GroupCoder?
}
