public import BundleFormat
public import Platform
internal import Trust

/// The page of one window whose digest was found right: it tells the digests of the window's stored blocks.
public struct BlockPage: ~Copyable {
    /// Which window.
    public let window: Int
    let bytes: [UInt8]

    /// Checks the bytes of a page against the index.
    public init(checking bytes: RawSpan, of index: VerifiedBlockIndex, window: Int) throws(PayloadError) {
        let copy = [UInt8](copying: bytes)
        guard copy.count == index.index.pageLength(of: window),
            SHA256.digest(of: copy) == index.index.pageDigest(of: window)
        else { throw .damaged(component: index.chunks.component.id, what: "the page of window \(window)") }
        self.window = window
        self.bytes = copy
    }
}

/// Builds windows from single blocks, in order: each is found on the device, fetched, or zero. The window's SHA-256
/// decides at the end. One thread uses one assembler.
///
/// Memory: one zstd context; the window lies in the caller's buffer.
public final class BlockAssembler {
    private let index: VerifiedBlockIndex
    private let zstd: ZstdDecoder
    private var page: [UInt8] = []
    private var window = 0
    private var entries: [BlockEntry] = []
    private var position = 0
    private var buffer: AlignedBuffer?

    /// An assembler for the windows of one image.
    public init(index: VerifiedBlockIndex) throws(PayloadError) {
        self.index = index
        zstd = try ZstdDecoder()
    }

    /// Begins a window that has blocks (`BlockIndex.hasBlocks`), in `buffer`. Without a page no block of it can be
    /// fetched.
    public func begin(window: Int, page: consuming BlockPage?, into buffer: AlignedBuffer) {
        if let page {
            precondition(page.window == window, "the page is another window's")
            self.page = page.bytes
        } else {
            self.page = []
        }
        self.window = window
        self.buffer = buffer
        entries = index.index.blocks(of: window)
        position = 0
        skipZeros()
    }

    /// The block that comes next, nil when the window is filled. It must be taken from the device or fetched.
    public var needed: BlockEntry? { position < entries.count ? entries[position] : nil }

    /// Takes the next block if it lies in the window's buffer already, at its own place: its hint must be right.
    public func takePresent() -> WindowComparison {
        guard let entry = needed, let buffer,
            BlockHint(of: buffer.bytes.extracting(entry.offset..<(entry.offset + entry.length))) == entry.hint
        else { return .differs }
        advance()
        return .holds
    }

    /// Reads the next block from a place on the device and takes it if its hint is right.
    public func take(from reader: any ImageReader, at offset: UInt64) -> WindowComparison {
        guard let entry = needed, let buffer else { return .differs }
        guard let count = try? reader.read(at: offset, count: entry.length, into: buffer, at: entry.offset),
            count == entry.length,
            BlockHint(of: buffer.bytes.extracting(entry.offset..<(entry.offset + count))) == entry.hint
        else { return .differs }
        advance()
        return .holds
    }

    /// Takes the stored bytes of the next block: first their digest in the page, then zstd.
    public func take(stored bytes: RawSpan) throws(PayloadError) {
        let id = index.chunks.component.id
        guard let entry = needed, let buffer else { return }
        let start = entry.pageIndex * BlockIndex.pageEntryLength
        guard bytes.byteCount == entry.storedLength, start + BlockIndex.pageEntryLength <= page.count,
            SHA256.digest(of: bytes).bytes.starts(with: page[start..<(start + BlockIndex.pageEntryLength)])
        else { throw .damaged(component: id, what: "a block of window \(window)") }
        if entry.storedLength == entry.length {
            buffer.copy(bytes, at: entry.offset)
        } else if !decode(bytes, entry, buffer) {
            throw .defective(component: id, what: "a block of window \(window)", why: "zstd cannot decode it")
        }
        advance()
    }

    /// The window, when every block was taken.
    public func finish() -> DecodedWindow {
        guard needed == nil, let buffer else { return .mismatch(window: window) }
        self.buffer = nil
        return index.chunks.verify(buffer, window: window)
    }

    /// The prefix is the window's own bytes before the block; they lie before it in the same buffer, and zstd only
    /// writes behind them.
    private func decode(_ bytes: RawSpan, _ entry: BlockEntry, _ buffer: AlignedBuffer) -> Bool {
        let start = max(0, entry.offset - BlockIndex.prefixLength)
        let prefix = buffer.bytes.extracting(start..<entry.offset)
        return zstd.decodeBare(bytes, prefix: prefix, into: buffer, at: entry.offset, count: entry.length) == nil
    }

    private func advance() {
        position += 1
        skipZeros()
    }

    private func skipZeros() {
        guard let buffer else { return }
        while position < entries.count, entries[position].storedLength == 0 {
            let entry = entries[position]
            buffer.zero(from: entry.offset, to: entry.offset + entry.length)
            position += 1
        }
    }
}
