internal import Platform

/// How a window's stored bytes become its plain bytes.
@frozen public enum WindowCodec: UInt8, Sendable {
    /// All zero; nothing is stored.
    case zero = 0
    /// As it is.
    case stored = 1
    /// One zstd frame (RFC 8878) with its content size.
    case zstd = 2
}

/// One window of a component's image.
public struct WindowEntry: Equatable, Sendable {
    public let codec: WindowCodec
    /// SHA-256 of the plain bytes: what the slot must hold.
    public let plainDigest: Digest
    /// SHA-256 of the stored bytes: checked before any decoder sees them.
    public let storedDigest: Digest
    /// Where the stored bytes start, from the start of the payload.
    public let storedOffset: UInt64
    /// Bytes stored.
    public let storedLength: Int

    public init(
        codec: WindowCodec, plainDigest: Digest, storedDigest: Digest, storedOffset: UInt64, storedLength: Int
    ) {
        self.codec = codec
        self.plainDigest = plainDigest
        self.storedDigest = storedDigest
        self.storedOffset = storedOffset
        self.storedLength = storedLength
    }
}

/// What a component's image is made of, window by window.
///
/// ```
/// 0   4  magic KTBL
/// 4   2  version, 1
/// 6   2  zero
/// 8   4  window size, bytes
/// 12  4  number of windows
/// 16  8  image size, bytes
/// 24  8  zero
/// 32  n  one codec byte for each window
/// ..     for each window that is not zero, 76 bytes: plain digest 32, stored digest 32, offset u64, length u32
/// ```
/// A zero window costs one byte and needs no download.
public struct ChunkTable: Equatable, Sendable {
    /// Plain bytes of every window but perhaps the last.
    public let windowSize: Int
    /// Bytes of the image.
    public let imageSize: UInt64
    public let windows: [WindowEntry]

    static let magic: [UInt8] = Array("KTBL".utf8)
    static let headerLength = 32

    /// Checks every entry against the rules of the format.
    public init(windowSize: Int, imageSize: UInt64, windows: [WindowEntry]) throws(FormatError) {
        try Self.checkGeometry(windowSize: UInt64(windowSize), imageSize: imageSize, count: UInt64(windows.count))
        self.windowSize = windowSize
        self.imageSize = imageSize
        self.windows = windows
        for index in windows.indices { try check(index) }
    }

    /// Plain bytes of a window.
    public func plainLength(of index: Int) -> Int {
        Int(min(UInt64(windowSize), imageSize - plainOffset(of: index)))
    }

    /// Where a window starts in the image.
    public func plainOffset(of index: Int) -> UInt64 { UInt64(index) * UInt64(windowSize) }

    static func checkGeometry(
        windowSize: UInt64, imageSize: UInt64, count: UInt64, name: String = "the chunk table"
    ) throws(FormatError) {
        if windowSize > UInt64(BundleLimits.window) {
            throw .tooLarge(what: "the window size", size: windowSize, limit: UInt64(BundleLimits.window))
        }
        if windowSize < UInt64(BundleLimits.smallestWindow) || windowSize % UInt64(BundleLimits.smallestWindow) != 0 {
            throw .malformed(what: name, "the window size is not a multiple of \(BundleLimits.smallestWindow)")
        }
        if imageSize > BundleLimits.image {
            throw .tooLarge(what: "the image", size: imageSize, limit: BundleLimits.image)
        }
        if imageSize == 0 { throw .malformed(what: name, "the image is empty") }
        if count != (imageSize + windowSize - 1) / windowSize {
            throw .malformed(what: name, "the number of windows does not fit the image size")
        }
    }

    private func check(_ index: Int) throws(FormatError) {
        let entry = windows[index]
        let plain = plainLength(of: index)
        let name = "the chunk table, window \(index)"
        switch entry.codec {
        case .zero:
            if entry.storedLength != 0 { throw .malformed(what: name, "a zero window stores nothing") }
        case .stored:
            if entry.storedLength != plain || entry.storedDigest != entry.plainDigest {
                throw .malformed(what: name, "a stored window is its plain bytes")
            }
        case .zstd:
            if entry.storedLength == 0 || entry.storedLength >= plain {
                throw .malformed(what: name, "a compressed window must be smaller than its plain bytes")
            }
        }
        if entry.storedOffset > BundleLimits.bundle { throw .malformed(what: name, "offset out of bounds") }
    }

    public static func decode(_ bytes: RawSpan) throws(FormatError) -> ChunkTable {
        var reader = ByteReader(bytes, what: "the chunk table")
        if try reader.array(4) != magic { throw .malformed(what: "the chunk table", "wrong first bytes") }
        if try reader.u16() != 1 { throw .malformed(what: "the chunk table", "unknown version") }
        if try reader.u16() != 0 { throw .malformed(what: "the chunk table", "a reserved field is not zero") }
        let windowSize = try reader.u32()
        let count = try reader.u32()
        let imageSize = try reader.u64()
        if try reader.u64() != 0 { throw .malformed(what: "the chunk table", "a reserved field is not zero") }
        try checkGeometry(windowSize: UInt64(windowSize), imageSize: imageSize, count: UInt64(count))
        // Every window has a codec byte, so the bytes present bound what is allocated (and what fits `Int`, which
        // has 32 bits on armv7).
        if UInt64(count) > UInt64(reader.remaining) {
            throw .truncated(
                what: "the chunk table", needed: UInt64(headerLength) + UInt64(count),
                present: UInt64(bytes.byteCount))
        }
        let codecs = try reader.array(Int(count))
        let zeros = ZeroDigests(windowSize: Int(windowSize))
        var windows: [WindowEntry] = []
        windows.reserveCapacity(codecs.count)
        for (index, byte) in codecs.enumerated() {
            guard let codec = WindowCodec(rawValue: byte) else {
                throw .malformed(what: "the chunk table, window \(index)", "unknown codec \(byte)")
            }
            if codec == .zero {
                let start = UInt64(index) * UInt64(windowSize)
                let digest = zeros.digest(count: Int(min(UInt64(windowSize), imageSize - start)))
                windows.append(
                    WindowEntry(
                        codec: .zero, plainDigest: digest, storedDigest: digest, storedOffset: 0, storedLength: 0))
                continue
            }
            let plain = try reader.digest()
            let stored = try reader.digest()
            let offset = try reader.u64()
            let length = try reader.u32()
            if UInt64(length) > UInt64(windowSize) {
                throw .malformed(what: "the chunk table, window \(index)", "stores more than a window")
            }
            windows.append(
                WindowEntry(
                    codec: codec, plainDigest: plain, storedDigest: stored, storedOffset: offset,
                    storedLength: Int(length)))
        }
        if reader.remaining != 0 { throw .malformed(what: "the chunk table", "has bytes behind its end") }
        return try ChunkTable(windowSize: Int(windowSize), imageSize: imageSize, windows: windows)
    }

    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.array(Self.magic)
        writer.u16(1)
        writer.u16(0)
        writer.u32(UInt32(windowSize))
        writer.u32(UInt32(windows.count))
        writer.u64(imageSize)
        writer.u64(0)
        for window in windows { writer.u8(window.codec.rawValue) }
        for window in windows where window.codec != .zero {
            writer.digest(window.plainDigest)
            writer.digest(window.storedDigest)
            writer.u64(window.storedOffset)
            writer.u32(UInt32(window.storedLength))
        }
        return writer.bytes
    }
}

/// Digests of runs of zeros: of a full window once, of the last one when asked.
public struct ZeroDigests: Sendable {
    private let windowSize: Int
    private let full: Digest

    public init(windowSize: Int) {
        self.windowSize = windowSize
        full = SHA256.digest(of: [UInt8](repeating: 0, count: windowSize))
    }

    /// SHA-256 of `count` zero bytes.
    public func digest(count: Int) -> Digest {
        count == windowSize ? full : SHA256.digest(of: [UInt8](repeating: 0, count: count))
    }
}
