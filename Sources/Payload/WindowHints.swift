public import BundleFormat
public import Platform
internal import Trust

/// What a window of a slot was last seen to hold: the digest of the whole, and a hint of each block. Only a reason to
/// look there: whatever is found by it is hashed again before it is believed.
///
/// A device keeps one file of them for each slot, which is written in place and never flushed in any order with the
/// slot: a record that is torn, lost or older than what it tells of costs a download and nothing else.
///
/// ```
/// 0   4  magic KHNT
/// 4   2  version, 1
/// 6   2  zero
/// 8   4  window size, bytes
/// 12  4  zero
/// 16  n  for each window of the slot a record, all of the same length:
///        32  SHA-256 of the window
///        n   for each block of 4096 bytes its hint, u64; 0 where the window is shorter
///        8   hint of the two fields before, with the window's number (u64) in front of them
/// ```
public struct WindowHints: Equatable, Sendable {
    /// SHA-256 of the window's plain bytes.
    public let digest: Digest
    /// Hints of its blocks, in order. The last block may be shorter than the others.
    public let blocks: [BlockHint]

    /// What a file of records starts with.
    public static let headerLength = 16
    private static let magic: [UInt8] = Array("KHNT".utf8)

    public init(digest: Digest, blocks: [BlockHint]) {
        self.digest = digest
        self.blocks = blocks
    }

    /// Of a window that was just verified, whose digest its chunk table has.
    public init(of window: borrowing VerifiedWindow, digest: Digest) {
        self.init(of: window.buffer, count: window.length, digest: digest)
    }

    /// Of bytes that were read from a medium; their digest is taken here.
    public init(reading buffer: AlignedBuffer, count: Int) {
        self.init(of: buffer, count: count, digest: SHA256.digest(of: buffer.bytes.extracting(0..<count)))
    }

    private init(of buffer: AlignedBuffer, count: Int, digest: Digest) {
        var blocks: [BlockHint] = []
        blocks.reserveCapacity((count + BundleLimits.block - 1) / BundleLimits.block)
        for start in stride(from: 0, to: count, by: BundleLimits.block) {
            let end = min(start + BundleLimits.block, count)
            blocks.append(BlockHint(of: buffer.bytes.extracting(start..<end)))
        }
        self.init(digest: digest, blocks: blocks)
    }

    /// The file's name in the data directory, for a slot and its set, `a` or `b`.
    public static func fileName(_ target: Identifier, _ set: String) -> String { "hints.\(target.text).\(set)" }

    /// Blocks of a whole window.
    private static func blockCount(_ windowSize: Int) -> Int {
        (windowSize + BundleLimits.block - 1) / BundleLimits.block
    }

    /// Bytes of one record.
    public static func recordLength(windowSize: Int) -> Int {
        Digest.byteCount + (blockCount(windowSize) + 1) * 8
    }

    /// Where the record of a window starts in the file.
    public static func recordOffset(of window: Int, windowSize: Int) -> UInt64 {
        UInt64(headerLength) + UInt64(window) * UInt64(recordLength(windowSize: windowSize))
    }

    /// What a file for windows of this size starts with.
    public static func header(windowSize: Int) -> [UInt8] {
        var writer = ByteWriter()
        writer.array(magic)
        writer.u16(1)
        writer.u16(0)
        writer.u32(UInt32(windowSize))
        writer.u32(0)
        return writer.bytes
    }

    /// The window size that the start of a file tells; nil when it is not such a file.
    public static func windowSize(header bytes: [UInt8]) -> Int? {
        guard bytes.count >= headerLength else { return nil }
        var size = 0
        for index in 0..<4 { size |= Int(bytes[8 + index]) << (8 * index) }
        guard (BundleLimits.smallestWindow...BundleLimits.window).contains(size) else { return nil }
        return header(windowSize: size) == Array(bytes[0..<headerLength]) ? size : nil
    }

    /// The record of this window.
    public func encode(window: Int, windowSize: Int) -> [UInt8] {
        var writer = ByteWriter()
        writer.digest(digest)
        for block in 0..<Self.blockCount(windowSize) { writer.u64(block < blocks.count ? blocks[block].value : 0) }
        writer.u64(Self.check(writer.bytes, window).value)
        return writer.bytes
    }

    /// Reads a record back; nil when it is not whole, or another window's.
    public static func decode(_ bytes: [UInt8], window: Int, windowSize: Int) -> WindowHints? {
        let length = recordLength(windowSize: windowSize)
        guard bytes.count == length, let digest = Digest(bytes: bytes.rawBytes, at: 0) else { return nil }
        if check(Array(bytes[0..<(length - 8)]), window).value != word(bytes, length - 8) { return nil }
        var blocks: [BlockHint] = []
        blocks.reserveCapacity(blockCount(windowSize))
        for block in 0..<blockCount(windowSize) {
            let value = word(bytes, Digest.byteCount + block * 8)
            if value == 0 { break }
            blocks.append(BlockHint(value))
        }
        return WindowHints(digest: digest, blocks: blocks)
    }

    private static func check(_ body: [UInt8], _ window: Int) -> BlockHint {
        var writer = ByteWriter()
        writer.u64(UInt64(window))
        writer.array(body)
        return BlockHint(of: writer.bytes.rawBytes)
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<8 { value |= UInt64(bytes[offset + index]) << UInt64(8 * index) }
        return value
    }
}
