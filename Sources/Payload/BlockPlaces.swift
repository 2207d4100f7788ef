public import BundleFormat
public import Platform

/// What one of the device's images is said to hold, window by window.
public protocol HintSource: AnyObject {
    /// Bytes of the windows that its records are for.
    var windowSize: Int { get }
    /// Hands over every record that is whole, in the order of the image.
    func visit(_ body: (_ window: Int, _ hints: WindowHints) -> Void)
}

/// For each block of an image where the device is said to hold it.
///
/// Memory: 4 bytes for each block of the image, and while it is made 3 MiB, however much the device holds: hints are
/// taken in as many passes as that needs.
public struct BlockPlaces: Sendable {
    private var places: [UInt32]
    private let index: BlockIndex

    private static let unknown = UInt32.max
    private static let blockBits: UInt32 = 30
    /// Hints in memory at a time, 12 bytes each.
    static let hintsAtATime = 262_144

    /// Finds the blocks of `index` among the images of `sources`, which are numbered from 0. The image `growing` is the
    /// one that is written, window by window from its start: only places serve that are not written by then.
    public init(of index: BlockIndex, in sources: [(any HintSource)?], growing: Int) {
        self.init(of: index, in: sources, growing: growing, hintsAtATime: Self.hintsAtATime)
    }

    init(of index: BlockIndex, in sources: [(any HintSource)?], growing: Int, hintsAtATime: Int) {
        self.index = index
        places = [UInt32](repeating: Self.unknown, count: index.blockTotal)
        let zeros = [UInt8](repeating: 0, count: BundleLimits.block)
        let zero = BlockHint(of: zeros.rawBytes)
        var known = 0
        for source in sources { source?.visit { _, record in known += record.blocks.count } }
        let passes = UInt64((known + hintsAtATime - 1) / hintsAtATime)
        for pass in 0..<passes {
            var blocks = DeviceBlocks(reserving: min(known, hintsAtATime + hintsAtATime / 8))
            for (image, source) in sources.enumerated() {
                guard let source else { continue }
                let perWindow = source.windowSize / BundleLimits.block
                source.visit { window, record in
                    for (number, hint) in record.blocks.enumerated()
                    where hint != zero && Self.pass(hint, of: passes) == pass {
                        blocks.add(hint, image: image, block: window * perWindow + number)
                    }
                }
            }
            blocks.sort()
            find(blocks, pass, of: passes, growing)
        }
    }

    /// Hints are as good as random: equal parts of their range are equal parts of them.
    private static func pass(_ hint: BlockHint, of passes: UInt64) -> UInt64 {
        hint.value.multipliedFullWidth(by: passes).high
    }

    private mutating func find(_ blocks: DeviceBlocks, _ pass: UInt64, of passes: UInt64, _ growing: Int) {
        for window in 0..<index.windowCount where index.hasBlocks(window) {
            let start = UInt64(window) * UInt64(index.windowSize)
            for block in 0..<index.blockCount(of: window) where index.storedLength(window, block) > 0 {
                let hint = index.hint(window, block)
                guard Self.pass(hint, of: passes) == pass,
                    let place = blocks.place(of: hint, growing: growing, from: start)
                else { continue }
                places[index.number(window, block)] =
                    UInt32(place.image) << Self.blockBits | UInt32(place.offset / UInt64(BundleLimits.block))
            }
        }
    }

    /// Where a block is said to be; nil when nothing is known.
    public func place(_ window: Int, _ block: Int) -> DeviceBlocks.Place? {
        let place = places[index.number(window, block)]
        if place == Self.unknown { return nil }
        return DeviceBlocks.Place(
            image: Int(place >> Self.blockBits),
            offset: UInt64(place & (1 << Self.blockBits - 1)) * UInt64(BundleLimits.block))
    }

    /// Reads what the device is said to hold of a window to its place in `buffer`, and says which blocks are still
    /// missing: those that nothing is known of, that could not be read, or that turned out to be something else.
    public func gather(
        _ window: Int, from images: [(any ImageReader)?], into buffer: AlignedBuffer
    ) -> [BlockEntry] {
        let entries = index.blocks(of: window)
        var missing: [BlockEntry] = []
        var next = 0
        while next < entries.count {
            let first = next
            next += 1
            if entries[first].storedLength == 0 { continue }
            guard let place = place(window, first), place.image < images.count, let image = images[place.image] else {
                missing.append(entries[first])
                continue
            }
            // Neighbours that lie behind each other there too are one read.
            while next < entries.count, entries[next].storedLength > 0,
                self.place(window, next)
                    == DeviceBlocks.Place(
                        image: place.image,
                        offset: place.offset + UInt64((next - first) * BundleLimits.block))
            {
                next += 1
            }
            read(entries[first..<next], image, place.offset, buffer, &missing)
        }
        return missing
    }

    private func read(
        _ entries: ArraySlice<BlockEntry>, _ image: any ImageReader, _ offset: UInt64, _ buffer: AlignedBuffer,
        _ missing: inout [BlockEntry]
    ) {
        let start = entries[entries.startIndex].offset
        let last = entries[entries.endIndex - 1]
        let wanted = last.offset + last.length - start
        let got = (try? image.read(at: offset, count: wanted, into: buffer, at: start)) ?? 0
        for entry in entries {
            let end = entry.offset + entry.length
            if end - start > got || BlockHint(of: buffer.bytes.extracting(entry.offset..<end)) != entry.hint {
                missing.append(entry)
            }
        }
    }
}
