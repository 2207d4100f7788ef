internal import BundleFormat
internal import Payload
internal import Platform
internal import Trust

/// A bundle in a file, open for reading. Its length and its end marker agree with its header; nothing else is
/// checked yet.
final class BundleReader {
    let header: BundleHeader
    /// Header, signature section and manifest.
    let head: [UInt8]
    private let file: Descriptor
    private let stored: AlignedBuffer
    private let scratch: AlignedBuffer
    private let decoder: WindowDecoder

    private init(
        _ file: consuming Descriptor, header: BundleHeader, head: [UInt8], buffers: (AlignedBuffer, AlignedBuffer),
        decoder: WindowDecoder
    ) {
        self.file = file
        self.header = header
        self.head = head
        (stored, scratch) = buffers
        self.decoder = decoder
    }

    /// Opens the bundle at `path`.
    static func open(_ path: String) throws -> BundleReader {
        let file = try Descriptor(open: path, [.read])
        let size = try file.size()
        let start = try file.readBytes(at: 0, count: BundleHeader.byteCount)
        let header = try BundleHeader.decode(start.rawBytes)
        if size < header.totalLength {
            throw FormatError.truncated(what: "the bundle", needed: header.totalLength, present: size)
        }
        if size > header.totalLength { throw FormatError.trailing(expected: header.totalLength, present: size) }
        let end = try file.readBytes(at: header.endOffset, count: BundleHeader.endByteCount)
        try header.checkEnd(end.rawBytes)
        let head = try file.readBytes(at: 0, count: header.tablesOffset)
        let stored = try AlignedBuffer(capacity: BundleLimits.window)
        let scratch = try AlignedBuffer(capacity: BundleLimits.window)
        return BundleReader(
            file, header: header, head: head, buffers: (stored, scratch), decoder: try WindowDecoder())
    }

    /// The bytes of all chunk tables.
    func tables() throws -> [UInt8] {
        try file.readBytes(at: UInt64(header.tablesOffset), count: header.tablesLength)
    }

    /// Bytes of the payload; what is behind the end of the file is missing from them.
    func payload(at offset: UInt64, count: Int) throws -> [UInt8] {
        try file.readBytes(at: header.payloadOffset + offset, count: count)
    }

    /// Reads bytes of the payload to the start of `buffer`; how many were there.
    func payload(at offset: UInt64, count: Int, into buffer: AlignedBuffer) throws -> Int {
        try file.read(into: buffer, count: count, at: header.payloadOffset + offset)
    }

    /// Decodes every window of an image in order, and checks the digest of the whole.
    func decode(_ table: VerifiedChunkTable, _ body: (borrowing VerifiedWindow) throws -> Void) throws {
        var hash = SHA256()
        for index in table.table.windows.indices {
            let window = try decode(table, index)
            let buffer = window.buffer
            hash.update(buffer.bytes.extracting(0..<window.length))
            try body(window)
        }
        if hash.finish() != table.component.digest {
            throw FormatError.digestMismatch(what: "the image of \(table.component.id)")
        }
    }

    /// Decodes one window.
    func decode(_ table: VerifiedChunkTable, _ index: Int) throws -> VerifiedWindow {
        let entry = table.table.windows[index]
        var length = 0
        if entry.codec != .zero {
            length = try file.read(
                into: stored, count: entry.storedLength, at: header.payloadOffset + entry.storedOffset)
        }
        let window = try StoredWindow(checking: stored, length: length, of: table, index: index)
        return try decoder.decode(window, scratch: scratch)
    }
}
