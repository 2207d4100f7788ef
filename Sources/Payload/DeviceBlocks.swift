public import BundleFormat

/// Where on the device blocks are said to lie, by their hints: 12 bytes for each. What it says is only a reason to
/// look (`BlockAssembler.take`).
public struct DeviceBlocks: Sendable {
    /// A place: which of the device's images, and which block of it.
    public struct Place: Equatable, Sendable {
        /// The number that the image was added with.
        public let image: Int
        /// Where the block starts in that image, bytes.
        public let offset: UInt64

        public init(image: Int, offset: UInt64) {
            self.image = image
            self.offset = offset
        }
    }

    /// Images that can be told apart, and blocks of one that can be named (4 TiB of 4096 bytes).
    public static let images = 4
    private static let blockBits: UInt32 = 30

    private var hints: [UInt64] = []
    private var places: [UInt32] = []
    private var isSorted = true

    /// An empty map. `blocks` says how many will come.
    public init(reserving blocks: Int = 0) {
        hints.reserveCapacity(blocks)
        places.reserveCapacity(blocks)
    }

    /// Blocks that are known.
    public var count: Int { hints.count }

    /// Adds a block of one of the device's images. Call `sort` after the last one.
    public mutating func add(_ hint: BlockHint, image: Int, block: Int) {
        guard image < Self.images, block < 1 << Int(Self.blockBits) else { return }
        hints.append(hint.value)
        places.append(UInt32(image) << Self.blockBits | UInt32(block))
        isSorted = false
    }

    /// Makes the map ready for `place(of:)`; in place, so that a device needs no memory for it (heap sort).
    public mutating func sort() {
        if isSorted { return }
        isSorted = true
        let count = hints.count
        for start in stride(from: count / 2 - 1, through: 0, by: -1) { sink(start, count) }
        for end in stride(from: count - 1, to: 0, by: -1) {
            hints.swapAt(0, end)
            places.swapAt(0, end)
            sink(0, end)
        }
    }

    private func before(_ a: Int, _ b: Int) -> Bool {
        hints[a] != hints[b] ? hints[a] < hints[b] : places[a] < places[b]
    }

    private mutating func sink(_ start: Int, _ end: Int) {
        var parent = start
        while true {
            var child = 2 * parent + 1
            if child >= end { return }
            if child + 1 < end, before(child, child + 1) { child += 1 }
            if !before(parent, child) { return }
            hints.swapAt(parent, child)
            places.swapAt(parent, child)
            parent = child
        }
    }

    /// Where a block with this hint is said to be: of the image with the lowest number, its first one; nil when
    /// nothing is known. In the image `growing`, which is written from its start on while its blocks are wanted, only
    /// places from `start` on serve.
    public func place(of hint: BlockHint, growing: Int = DeviceBlocks.images, from start: UInt64 = 0) -> Place? {
        precondition(isSorted, "sort() comes before place(of:)")
        var found = first(hint.value, 0)
        if let entry = found, Int(places[entry] >> Self.blockBits) == growing {
            let block = UInt32(clamping: start / UInt64(BundleLimits.block))
            found = first(hint.value, UInt32(growing) << Self.blockBits | min(block, 1 << Self.blockBits - 1))
        }
        guard let found else { return nil }
        let block = places[found] & (1 << Self.blockBits - 1)
        return Place(
            image: Int(places[found] >> Self.blockBits), offset: UInt64(block) * UInt64(BundleLimits.block))
    }

    /// The first entry with this hint whose place is not before `place`.
    private func first(_ hint: UInt64, _ place: UInt32) -> Int? {
        var low = 0
        var high = hints.count
        while low < high {
            let middle = (low + high) / 2
            let isBefore = hints[middle] != hint ? hints[middle] < hint : places[middle] < place
            if isBefore { low = middle + 1 } else { high = middle }
        }
        return low < hints.count && hints[low] == hint ? low : nil
    }
}
