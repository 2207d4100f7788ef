internal import CXXHash
internal import Platform

/// A short name of a block's bytes (XXH3, 64 bits): says where to look, and proves nothing. Whoever finds a block by
/// its hint hashes it again, and the window's SHA-256 decides.
public struct BlockHint: Hashable, Comparable, Sendable {
    public let value: UInt64

    public init(_ value: UInt64) { self.value = value }

    /// The hint of these bytes.
    public init(of bytes: RawSpan) {
        value = unsafe bytes.withUnsafeBytes { memory in
            unsafe XXH3_64bits(memory.baseAddress, memory.count)
        }
    }

    public static func < (a: BlockHint, b: BlockHint) -> Bool { a.value < b.value }
}

/// One block of the blocks form.
public struct BlockEntry: Equatable, Sendable {
    /// Where it starts in its window, and its plain bytes.
    public let offset: Int
    public let length: Int
    /// Where its stored bytes start, from the start of the payload.
    public let storedOffset: UInt64
    /// Bytes stored: 0 for a block of zeros, `length` for one that is stored as it is.
    public let storedLength: Int
    /// Its number among the window's blocks that are stored: its place in the page.
    public let pageIndex: Int
    public let hint: BlockHint
}

/// How an image is made of blocks of 4096 bytes that can be fetched one by one.
///
/// ```
/// 0   4  magic KBLK
/// 4   2  version, 1
/// 6   2  binary logarithm of the block size, 12
/// 8   8  image size, bytes
/// 16  4  window size, bytes
/// 20  4  zero
/// 24  8  where the first page starts in the payload
/// 32  n  for each window whose codec in the chunk table is not zero, 32 bytes: SHA-256 of its page
/// ..     for each block of these windows, u16: bytes stored
/// ..     for each of these blocks, u64: its hint
/// ```
/// In the payload stands for each such window its page, and then its blocks' stored bytes. The page has for each
/// block that stores something the first 16 bytes of the SHA-256 of its stored bytes. A block of zeros stores
/// nothing; one that would not become smaller is stored as it is; all others are zstd frames without magic number and
/// content size, with the up to `prefixLength` bytes of the window before the block as their prefix.
public struct BlockIndex: Equatable, Sendable {
    public let imageSize: UInt64
    public let windowSize: Int
    /// Where the first page starts in the payload, and the bytes of all pages and blocks.
    public let payloadOffset: UInt64
    public let payloadLength: UInt64
    /// For each window its number among those that are not zero, or -1.
    private let ordinals: [Int32]
    /// For each window that is not zero, where its page starts.
    private let pages: [UInt64]
    private let bytes: [UInt8]

    /// Bytes of the window before a block that its frame may refer to.
    public static let prefixLength = 256 * 1024
    /// Bytes of a block's digest in a page.
    public static let pageEntryLength = 16

    static let magic: [UInt8] = Array("KBLK".utf8)
    static let headerLength = 32
    static let name = "the block index"

    /// Takes an index apart that belongs to this chunk table.
    public static func decode(_ bytes: [UInt8], of table: ChunkTable) throws(FormatError) -> BlockIndex {
        var reader = ByteReader(bytes.rawBytes, what: name)
        if try reader.array(4) != magic { throw .malformed(what: name, "wrong first bytes") }
        if try reader.u16() != 1 { throw .malformed(what: name, "unknown version") }
        if try reader.u16() != UInt16(BundleLimits.block.trailingZeroBitCount) {
            throw .malformed(what: name, "unknown block size")
        }
        if try reader.u64() != table.imageSize { throw .malformed(what: name, "is of another image size") }
        if try UInt64(reader.u32()) != UInt64(table.windowSize) {
            throw .malformed(what: name, "is of another window size")
        }
        if try reader.u32() != 0 { throw .malformed(what: name, "a reserved field is not zero") }
        let payloadOffset = try reader.u64()
        if payloadOffset > BundleLimits.bundle { throw .malformed(what: name, "offset out of bounds") }
        var ordinals: [Int32] = []
        ordinals.reserveCapacity(table.windows.count)
        var next: Int32 = 0
        for window in table.windows {
            ordinals.append(window.codec == .zero ? -1 : next)
            if window.codec != .zero { next += 1 }
        }
        let blocks = Self.blocks(of: table)
        let expected = UInt64(headerLength) + UInt64(next) * UInt64(Digest.byteCount) + blocks * 10
        if UInt64(bytes.count) != expected {
            throw .malformed(what: name, "has \(bytes.count) bytes, its image needs \(expected)")
        }
        let index = BlockIndex(
            table: table, payloadOffset: payloadOffset, ordinals: ordinals, count: Int(next), bytes: bytes)
        var end = payloadOffset
        var pages: [UInt64] = []
        pages.reserveCapacity(Int(next))
        for (window, entry) in table.windows.enumerated() where entry.codec != .zero {
            pages.append(end)
            end += try index.checkedLength(of: window)
        }
        if end > BundleLimits.bundle { throw .malformed(what: name, "offset out of bounds") }
        return BlockIndex(index, pages: pages, end: end)
    }

    private init(table: ChunkTable, payloadOffset: UInt64, ordinals: [Int32], count: Int, bytes: [UInt8]) {
        imageSize = table.imageSize
        windowSize = table.windowSize
        self.payloadOffset = payloadOffset
        payloadLength = 0
        self.ordinals = ordinals
        pages = [UInt64](repeating: 0, count: count)
        self.bytes = bytes
    }

    private init(_ other: BlockIndex, pages: [UInt64], end: UInt64) {
        imageSize = other.imageSize
        windowSize = other.windowSize
        payloadOffset = other.payloadOffset
        payloadLength = end - other.payloadOffset
        ordinals = other.ordinals
        self.pages = pages
        bytes = other.bytes
    }

    private static func blocks(of table: ChunkTable) -> UInt64 {
        var blocks: UInt64 = 0
        for (window, entry) in table.windows.enumerated() where entry.codec != .zero {
            blocks += UInt64((table.plainLength(of: window) + BundleLimits.block - 1) / BundleLimits.block)
        }
        return blocks
    }

    /// Page and stored bytes of a window together, if no block stores more than itself.
    private func checkedLength(of window: Int) throws(FormatError) -> UInt64 {
        var sum: UInt64 = 0
        for block in 0..<blockCount(of: window) {
            let stored = storedLength(window, block)
            if stored > plainLength(window, block) {
                throw .malformed(what: Self.name, "a block of window \(window) stores more than itself")
            }
            if stored > 0 { sum += UInt64(stored + Self.pageEntryLength) }
        }
        return sum
    }

    /// The bytes of the index.
    public func encode() -> [UInt8] { bytes }

    /// Windows of the image, those of zeros among them.
    public var windowCount: Int { ordinals.count }

    /// Whether the window has blocks at all: one of zeros has none.
    public func hasBlocks(_ window: Int) -> Bool { ordinals[window] >= 0 }

    /// Blocks of a window that has some.
    public func blockCount(of window: Int) -> Int {
        let start = UInt64(window) * UInt64(windowSize)
        let plain = Int(min(UInt64(windowSize), imageSize - start))
        return (plain + BundleLimits.block - 1) / BundleLimits.block
    }

    /// Where a window's page starts in the payload; its stored blocks stand behind it.
    public func pageOffset(of window: Int) -> UInt64 { pages[Int(ordinals[window])] }

    /// Bytes of a window's page.
    public func pageLength(of window: Int) -> Int {
        var stored = 0
        for block in 0..<blockCount(of: window) where storedLength(window, block) > 0 { stored += 1 }
        return stored * Self.pageEntryLength
    }

    /// SHA-256 of a window's page.
    public func pageDigest(of window: Int) -> Digest {
        let offset = Self.headerLength + Int(ordinals[window]) * Digest.byteCount
        guard let digest = Digest(bytes: bytes.rawBytes, at: offset) else {
            preconditionFailure("the block index was checked when it was decoded")
        }
        return digest
    }

    /// All blocks of a window that has some, in order.
    public func blocks(of window: Int) -> [BlockEntry] {
        var entries: [BlockEntry] = []
        let count = blockCount(of: window)
        entries.reserveCapacity(count)
        var offset = pageOffset(of: window) + UInt64(pageLength(of: window))
        var pageIndex = 0
        for block in 0..<count {
            let stored = storedLength(window, block)
            entries.append(
                BlockEntry(
                    offset: block * BundleLimits.block, length: plainLength(window, block), storedOffset: offset,
                    storedLength: stored, pageIndex: pageIndex, hint: hint(window, block)))
            offset += UInt64(stored)
            if stored > 0 { pageIndex += 1 }
        }
        return entries
    }

    /// Bytes that a block stores; 0 for one of zeros.
    public func storedLength(_ window: Int, _ block: Int) -> Int {
        let offset = Self.headerLength + pages.count * Digest.byteCount + number(window, block) * 2
        return Int(bytes[offset]) | Int(bytes[offset + 1]) << 8
    }

    /// A block's hint.
    public func hint(_ window: Int, _ block: Int) -> BlockHint {
        let offset =
            Self.headerLength + pages.count * Digest.byteCount + blockTotal * 2 + number(window, block) * 8
        var value: UInt64 = 0
        for index in 0..<8 { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        return BlockHint(value)
    }

    private func plainLength(_ window: Int, _ block: Int) -> Int {
        let start = UInt64(window) * UInt64(windowSize) + UInt64(block * BundleLimits.block)
        let end = min(UInt64(window + 1) * UInt64(windowSize), imageSize)
        return Int(min(UInt64(BundleLimits.block), end - start))
    }

    /// Blocks of all windows that have some.
    public var blockTotal: Int { (bytes.count - Self.headerLength - pages.count * Digest.byteCount) / 10 }

    /// The number of a block among all that the index has: only the last window is shorter than the others.
    public func number(_ window: Int, _ block: Int) -> Int {
        Int(ordinals[window]) * ((windowSize + BundleLimits.block - 1) / BundleLimits.block) + block
    }
}

/// What is known of one block, for those who write an index.
public struct BlockPlan: Equatable, Sendable {
    public let storedLength: Int
    public let hint: BlockHint

    public init(storedLength: Int, hint: BlockHint) {
        self.storedLength = storedLength
        self.hint = hint
    }
}

extension BlockIndex {
    /// Writes an index and reads it back. `windows` has the digest of the page and the blocks of each window that is
    /// not zero, in order.
    public init(
        of table: ChunkTable, payloadOffset: UInt64, windows: [(page: Digest, blocks: [BlockPlan])]
    ) throws(FormatError) {
        var writer = ByteWriter()
        writer.array(Self.magic)
        writer.u16(1)
        writer.u16(UInt16(BundleLimits.block.trailingZeroBitCount))
        writer.u64(table.imageSize)
        writer.u32(UInt32(table.windowSize))
        writer.u32(0)
        writer.u64(payloadOffset)
        for window in windows { writer.digest(window.page) }
        for window in windows {
            for block in window.blocks { writer.u16(UInt16(clamping: block.storedLength)) }
        }
        for window in windows {
            for block in window.blocks { writer.u64(block.hint.value) }
        }
        self = try Self.decode(writer.bytes, of: table)
    }
}
