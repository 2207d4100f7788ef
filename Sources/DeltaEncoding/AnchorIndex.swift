internal import BundleFormat

/// Where strings of 24 bytes stand: a sample of all positions of the base and of the image's own residual parts, chosen
/// by content, each with the page of 16 KiB that it is in. It tells which pages are like some bytes.
///
/// Memory: 8 bytes for each anchor, at most `mostAnchors`, and as much again while it is sorted.
struct AnchorIndex: Sendable {
    static let pageSize = 16 * 1024
    static let length = 24
    /// More are not kept: larger images are sampled more sparsely.
    static let mostAnchors = 1 << 24
    /// A string that stands on more pages than this says nothing.
    static let mostPages = 24

    private let shift: UInt64
    /// Hash in the upper half, page in the lower, sorted.
    private var entries: [UInt64] = []
    /// Where hashes with these upper 16 bits start.
    private var starts: [Int32] = []
    private let basePages: Int
    private let space: AddressSpace

    init(_ space: AddressSpace, pieces: [Range<Int>]) {
        self.space = space
        basePages = (space.baseSize + Self.pageSize - 1) / Self.pageSize
        let total = pieces.reduce(space.baseSize) { $0 + $1.count }
        var bits: UInt64 = 3
        while total >> Int(bits) > Self.mostAnchors { bits += 1 }
        shift = 64 - bits
        if let base = space.base {
            Self.sample(base, 0..<base.count, shift) { hash, place in
                append(hash, page: place / Self.pageSize)
            }
        }
        for piece in pieces {
            Self.sample(space.image, piece, shift) { hash, place in
                append(hash, page: basePages + place / Self.pageSize)
            }
        }
        entries.sort()
        starts = [Int32](repeating: Int32(entries.count), count: 65537)
        for index in stride(from: entries.count - 1, through: 0, by: -1) {
            starts[Int(entries[index] >> 48)] = Int32(index)
        }
        for index in stride(from: 65535, through: 0, by: -1) where starts[index] > starts[index + 1] {
            starts[index] = starts[index + 1]
        }
    }

    private mutating func append(_ hash: UInt32, page: Int) {
        let entry = UInt64(hash) << 32 | UInt64(page)
        // Strings that repeat within a page count once; runs of them stand side by side.
        if entries.last != entry { entries.append(entry) }
    }

    /// Calls `body` with the hash and the place of each sampled string in a range.
    private static func sample(
        _ view: ByteView, _ range: Range<Int>, _ shift: UInt64, _ body: (UInt32, Int) -> Void
    ) {
        var place = range.lowerBound
        let end = range.upperBound - length
        while place <= end {
            var hash = view.word(place) &* 0x9e37_79b1_85eb_ca87
            hash = (hash ^ (hash >> 29) ^ view.word(place + 8)) &* 0xc2b2_ae3d_27d4_eb4f
            hash = (hash ^ (hash >> 31) ^ view.word(place + 16)) &* 0x1656_67b1_9e37_79f9
            hash ^= hash >> 32
            hash = hash &* 0x9e37_79b1_85eb_ca87
            if hash >> shift == 0 { body(UInt32(truncatingIfNeeded: hash >> 8), place) }
            place += 1
        }
    }

    /// The bytes of a page in the address space.
    private func range(of page: Int) -> Range<Int> {
        if page < basePages {
            return page * Self.pageSize..<min((page + 1) * Self.pageSize, space.baseSize)
        }
        let start = space.baseSize + (page - basePages) * Self.pageSize
        return start..<(start + Self.pageSize)
    }

    /// The ranges, at most `budget` bytes together, that are most like the pieces of the image: a greedy cover of their
    /// anchors by pages that end at or below `limit`; holes between chosen pages are filled, then `recent` bytes before
    /// the limit are added while there is room.
    func gather(_ pieces: [Range<Int>], limit: Int, budget: Int, recent: Int) -> [DeltaRange] {
        let chosen = cover(pieces, limit: limit, most: budget / Self.pageSize)
        var pages = Set(chosen)
        var room = budget / Self.pageSize - pages.count
        if recent > 0 {
            // Counting down from the limit, so that what is nearest comes first.
            var page = basePages + (limit - space.baseSize) / Self.pageSize - 1
            var left = recent / Self.pageSize
            while page >= basePages, room > 0, left > 0 {
                if pages.insert(page).inserted { room -= 1 }
                page -= 1
                left -= 1
            }
        }
        fillHoles(&pages, &room, limit: limit)
        var ranges: [DeltaRange] = []
        for page in pages.sorted() {
            let range = range(of: page)
            if let last = ranges.last, Int(last.end) == range.lowerBound,
                range.lowerBound != space.baseSize
            {
                ranges[ranges.count - 1] = DeltaRange(start: last.start, length: last.length + range.count)
            } else {
                ranges.append(DeltaRange(start: UInt64(range.lowerBound), length: range.count))
            }
        }
        return ranges
    }

    /// Adds the pages between chosen ones, the narrowest holes first, and the neighbours of all, while there is room.
    private func fillHoles(_ pages: inout Set<Int>, _ room: inout Int, limit: Int) {
        for width in 1...4 {
            let sorted = pages.sorted()
            for (low, high) in zip(sorted, sorted.dropFirst()) where high - low - 1 == width && room >= width {
                if low < basePages && high >= basePages { continue }
                for page in (low + 1)..<high { pages.insert(page) }
                room -= width
            }
        }
        for page in pages.sorted() {
            for neighbour in [page + 1, page - 1] where room > 0 {
                guard neighbour >= 0, (neighbour < basePages) == (page < basePages), !pages.contains(neighbour),
                    range(of: neighbour).upperBound <= limit, !range(of: neighbour).isEmpty
                else { continue }
                pages.insert(neighbour)
                room -= 1
            }
        }
    }

    /// Pages in the order in which they were chosen.
    private func cover(_ pieces: [Range<Int>], limit: Int, most: Int) -> [Int] {
        var hashes: [UInt32] = []
        for piece in pieces {
            Self.sample(space.image, piece, shift) { hash, _ in hashes.append(hash) }
        }
        hashes.sort()
        // Which of the anchors stand on which page.
        var pairs: [UInt64] = []
        var anchor: UInt64 = 0
        var last: UInt32?
        for hash in hashes where hash != last {
            last = hash
            let found = pages(with: hash, limit: limit)
            if found.isEmpty || found.count > Self.mostPages { continue }
            for page in found { pairs.append(UInt64(page) << 32 | anchor) }
            anchor += 1
        }
        pairs.sort()
        var candidates: [(page: Int, anchors: Range<Int>)] = []
        var start = 0
        while start < pairs.count {
            var end = start + 1
            while end < pairs.count, pairs[end] >> 32 == pairs[start] >> 32 { end += 1 }
            candidates.append((page: Int(pairs[start] >> 32), anchors: start..<end))
            start = end
        }
        // Lazy greedy: a gain can only fall, so the largest one that is still true is the largest.
        var covered = [Bool](repeating: false, count: Int(anchor))
        var heap = GainHeap()
        for (index, candidate) in candidates.enumerated() { heap.push(gain: candidate.anchors.count, index: index) }
        var chosen: [Int] = []
        while chosen.count < most, let (gain, index) = heap.pop() {
            var now = 0
            for pair in candidates[index].anchors where !covered[Int(pairs[pair] & 0xffff_ffff)] { now += 1 }
            if now == 0 { continue }
            if now < gain {
                heap.push(gain: now, index: index)
                continue
            }
            for pair in candidates[index].anchors { covered[Int(pairs[pair] & 0xffff_ffff)] = true }
            chosen.append(candidates[index].page)
        }
        return chosen
    }

    /// The usable pages with this string.
    private func pages(with hash: UInt32, limit: Int) -> [Int] {
        let bucket = Int(hash >> 16)
        var low = Int(starts[bucket])
        var high = Int(starts[bucket + 1])
        let wanted = UInt64(hash) << 32
        let end = high
        while low < high {
            let middle = (low + high) / 2
            if entries[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        var pages: [Int] = []
        while low < end, entries[low] >> 32 == UInt64(hash), pages.count <= Self.mostPages {
            let page = Int(entries[low] & 0xffff_ffff)
            if pages.last != page, range(of: page).upperBound <= limit { pages.append(page) }
            low += 1
        }
        return pages
    }
}

/// Candidates by their gain, the largest first; of equal ones the first in order.
private struct GainHeap {
    private var items: [UInt64] = []

    mutating func push(gain: Int, index: Int) {
        items.append(UInt64(gain) << 32 | UInt64(0xffff_ffff - index))
        var child = items.count - 1
        while child > 0, items[(child - 1) / 2] < items[child] {
            items.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> (gain: Int, index: Int)? {
        guard let top = items.first else { return nil }
        let last = items.removeLast()
        if !items.isEmpty {
            items[0] = last
            var parent = 0
            while true {
                var child = 2 * parent + 1
                if child >= items.count { break }
                if child + 1 < items.count, items[child + 1] > items[child] { child += 1 }
                if items[child] <= items[parent] { break }
                items.swapAt(child, parent)
                parent = child
            }
        }
        return (gain: Int(top >> 32), index: Int(0xffff_ffff - (top & 0xffff_ffff)))
    }
}
