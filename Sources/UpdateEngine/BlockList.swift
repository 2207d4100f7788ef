internal import BundleFormat
internal import Payload
internal import Platform
internal import Trust

/// The windows of one component that come, wholly or in part, from what the device holds in either of its slots.
///
/// Without an index only whole windows are found, by their digests; with one, single blocks.
struct BlockList: Sendable {
    /// A window's way.
    enum Way: Sendable {
        /// All of it lies in this place, in one piece.
        case whole(DeviceBlocks.Place)
        /// Blocks that are there, and blocks that are fetched.
        case blocks
    }
    struct Job: Sendable {
        let window: Int
        let way: Way
    }

    /// Numbers of the images that blocks come from: what the running slot holds, and what the target does, in which
    /// windows are written from the start on.
    static let running = 0
    static let growing = 1

    /// Which component of the release.
    let component: Int
    let chunks: VerifiedChunkTable
    /// Its index, and where its blocks are said to be; nil where the bundle has none.
    let index: VerifiedBlockIndex?
    let places: BlockPlaces?
    /// In the order of the image, which is also the order in which the target is overwritten.
    private(set) var jobs: [Job] = []
    /// Bytes of pages and blocks that are still to be fetched, if all is where it is said to be.
    private(set) var fetchBytes: UInt64 = 0

    /// A form that serves these windows.
    var form: FormKind { index == nil ? .windows : .blocks }

    /// Windows that lie somewhere as a whole, by their digests.
    init(component: Int, chunks: VerifiedChunkTable, held: WindowBitmap, in sources: [(any HintSource)?]) {
        self.component = component
        self.chunks = chunks
        index = nil
        places = nil
        let table = chunks.table
        var wanted: Set<Digest> = []
        for (window, entry) in table.windows.enumerated() where entry.codec != .zero && !held.contains(window) {
            wanted.insert(entry.plainDigest)
        }
        var still: [Digest: UInt64] = [:]
        // The highest place is the last to be overwritten.
        var growing: [Digest: UInt64] = [:]
        for (image, source) in sources.enumerated() {
            guard let source else { continue }
            source.visit { window, hints in
                if !wanted.contains(hints.digest) { return }
                let offset = UInt64(window) * UInt64(source.windowSize)
                if image == Self.growing { growing[hints.digest] = offset } else { still[hints.digest] = offset }
            }
        }
        for (window, entry) in table.windows.enumerated() where entry.codec != .zero && !held.contains(window) {
            if let offset = still[entry.plainDigest] {
                jobs.append(
                    Job(window: window, way: .whole(DeviceBlocks.Place(image: Self.running, offset: offset))))
            } else if let offset = growing[entry.plainDigest], offset >= table.plainOffset(of: window) {
                jobs.append(
                    Job(window: window, way: .whole(DeviceBlocks.Place(image: Self.growing, offset: offset))))
            }
        }
    }

    /// Windows of which enough blocks lie somewhere that the others cost less than the whole window.
    init(component: Int, index: VerifiedBlockIndex, places: BlockPlaces, held: WindowBitmap) {
        self.component = component
        chunks = index.chunks
        self.index = index
        self.places = places
        for (window, entry) in chunks.table.windows.enumerated() where entry.codec != .zero && !held.contains(window) {
            let missing = index.index.blocks(of: window).filter { block in
                block.storedLength > 0
                    && places.place(window, block.offset / BundleLimits.block) == nil
            }
            let cost = BlockRanges(window, missing, in: index.index).bytes
            if cost >= entry.storedLength { continue }
            jobs.append(Job(window: window, way: .blocks))
            fetchBytes += UInt64(cost)
        }
    }
}

/// The ranges of the payload that give a window's page and some of its blocks. Small gaps are fetched along, because a
/// request of its own costs more than they do.
struct BlockRanges: Sendable {
    /// From the start of the payload, rising.
    private(set) var ranges: [Range<UInt64>] = []

    /// Bytes that are fetched and thrown away rather than asking again: about what the heads of a request and its
    /// answer take.
    static let gap: UInt64 = 512

    /// Empty when no block is missing.
    init(_ window: Int, _ missing: [BlockEntry], in index: BlockIndex) {
        if missing.isEmpty { return }
        let page = index.pageOffset(of: window)
        ranges.append(page..<(page + UInt64(index.pageLength(of: window))))
        for block in missing {
            let end = block.storedOffset + UInt64(block.storedLength)
            let last = ranges.count - 1
            if block.storedOffset - ranges[last].upperBound <= Self.gap {
                ranges[last] = ranges[last].lowerBound..<end
            } else {
                ranges.append(block.storedOffset..<end)
            }
        }
    }

    /// Bytes of all ranges.
    var bytes: Int {
        var sum = 0
        for range in ranges { sum += range.count }
        return sum
    }

    /// Where a byte of the payload lies when the ranges stand one behind the other.
    func place(of offset: UInt64) -> Int? {
        var place = 0
        for range in ranges {
            if range.contains(offset) { return place + Int(offset - range.lowerBound) }
            place += range.count
        }
        return nil
    }
}
