internal import Platform

/// How the residual of a delta group is stored.
@frozen public enum DeltaCodec: UInt8, Sendable {
    /// There is no residual.
    case none = 0
    /// As it is.
    case stored = 1
    /// One zstd frame with its content size.
    case zstd = 2
    /// The same, with the group's references as its prefix.
    case zstdReferences = 3
    /// A `DifferenceStream` against the group's references.
    case difference = 4

    var usesReferences: Bool { self == .zstdReferences || self == .difference }
}

/// Bytes of the delta's address space: below the base's size they are the base's, above it the image's own, as far
/// as it is written before the group begins.
public struct DeltaRange: Equatable, Sendable {
    public let start: UInt64
    /// Bytes, at least 1.
    public let length: Int

    public init(start: UInt64, length: Int) {
        self.start = start
        self.length = length
    }

    /// The first byte behind it.
    public var end: UInt64 { start + UInt64(length) }
}

/// Where the next bytes of a window come from.
public enum DeltaOperation: Equatable, Sendable {
    /// So many bytes of the group's residual.
    case residual(Int)
    /// Bytes that are there already.
    case copy(DeltaRange)

    /// Bytes that it yields.
    public var length: Int {
        switch self {
        case .residual(let count): count
        case .copy(let range): range.length
        }
    }
}

/// Some windows of an image that are decoded together, and what they need.
public struct DeltaGroup: Equatable, Sendable {
    public let codec: DeltaCodec
    public let windows: Range<Int>
    /// Bytes that the stored bytes decode to.
    public let residualLength: Int
    /// Where the stored bytes start, from the start of the payload.
    public let storedOffset: UInt64
    public let storedLength: Int
    /// SHA-256 of the stored bytes; nil when there are none.
    public let storedDigest: Digest?
    /// Ranges that are gathered, and their bytes together.
    public let referenceCount: Int
    public let referenceBytes: Int
    /// Where the references stand in the table, and where the copy before this group ended.
    let bodyOffset: Int
    let copyEnd: UInt64
}

/// How an image is made from a base, or (solid) from itself: copy ranges, and groups of residual bytes that are coded
/// against ranges gathered from anywhere in it. reference/delta.md has the measurements behind this shape: gathering
/// is what survives a file system that was laid out anew.
///
/// ```
/// 0   4  magic KDLT
/// 4   2  version, 1
/// 6   2  zero
/// 8   8  image size, bytes
/// 16  8  base size, bytes; 0 when there is no base
/// 24 32  SHA-256 of the base; zero when there is none
/// 56  4  window size, bytes
/// 60  4  number of windows
/// 64  4  number of groups
/// 68  4  zero
/// 72  8  where the stored bytes of the first group start in the payload
/// 80     groups
/// ```
/// A group is made of variable-length integers (`ByteReader.varint`): codec (one byte), number of windows, residual
/// length, stored length, the digest of the stored bytes if there are any, number of references, and for each the
/// distance from the end of the one before it (signed) and its length; then for each window the number of its
/// operations and these: length * 2 for residual bytes, length * 2 + 1 for a copy, followed by the distance of its
/// source from the end of the last copy's (signed). Stored bytes of the groups stand one behind the other.
///
/// In memory a table is its bytes and about 100 bytes for each group; operations are read when they are needed.
public struct DeltaTable: Equatable, Sendable {
    public let imageSize: UInt64
    /// Nil when the image is made from itself alone.
    public let base: DeltaBase?
    /// Plain bytes of every window but perhaps the last.
    public let windowSize: Int
    public let windowCount: Int
    public let groups: [DeltaGroup]
    /// Where the stored bytes of the first group start in the payload, and all their lengths together.
    public let payloadOffset: UInt64
    public let payloadLength: UInt64
    let bytes: [UInt8]

    static let magic: [UInt8] = Array("KDLT".utf8)
    static let headerLength = 80
    static let name = "the delta table"

    /// Bytes of the base, 0 without one: where the image's own bytes begin in the address space.
    public var baseSize: UInt64 { base?.size ?? 0 }

    /// Plain bytes of a window.
    public func plainLength(of window: Int) -> Int {
        Int(min(UInt64(windowSize), imageSize - plainOffset(of: window)))
    }

    /// Where a window starts in the image.
    public func plainOffset(of window: Int) -> UInt64 { UInt64(window) * UInt64(windowSize) }

    /// The number of the group that a window belongs to.
    public func group(of window: Int) -> Int {
        var low = 0
        var high = groups.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if groups[middle].windows.lowerBound <= window { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// Takes a table apart and checks all of it: afterwards every range is where bytes are, and every sum fits.
    public static func decode(_ bytes: [UInt8]) throws(FormatError) -> DeltaTable {
        var reader = ByteReader(bytes.rawBytes, what: name)
        if try reader.array(4) != magic { throw .malformed(what: name, "wrong first bytes") }
        if try reader.u16() != 1 { throw .malformed(what: name, "unknown version") }
        if try reader.u16() != 0 { throw .malformed(what: name, "a reserved field is not zero") }
        let imageSize = try reader.u64()
        let baseSize = try reader.u64()
        let digest = try reader.array(Digest.byteCount)
        let windowSize = try reader.u32()
        let windowCount = try reader.u32()
        let groupCount = try reader.u32()
        if try reader.u32() != 0 { throw .malformed(what: name, "a reserved field is not zero") }
        let payloadOffset = try reader.u64()
        try ChunkTable.checkGeometry(
            windowSize: UInt64(windowSize), imageSize: imageSize, count: UInt64(windowCount), name: name)
        if baseSize > BundleLimits.image {
            throw .tooLarge(what: "the base", size: baseSize, limit: BundleLimits.image)
        }
        if payloadOffset > BundleLimits.bundle { throw .malformed(what: name, "offset out of bounds") }
        var base: DeltaBase?
        if baseSize > 0, let digest = Digest(bytes: digest.rawBytes) {
            base = DeltaBase(digest: digest, size: baseSize)
        } else if digest.contains(where: { $0 != 0 }) {
            throw .malformed(what: name, "names a base without bytes")
        }
        // Every group and every window takes some bytes, so the bytes present bound what is allocated (and what fits
        // `Int`, which has 32 bits on armv7).
        if groupCount > windowCount || UInt64(windowCount) > UInt64(reader.remaining) {
            throw .malformed(what: name, "is too short for its windows, or has more groups than windows")
        }
        var parse = DeltaTableParser(
            imageSize: imageSize, baseSize: baseSize, windowSize: Int(windowSize), windowCount: Int(windowCount),
            storedOffset: payloadOffset)
        var groups: [DeltaGroup] = []
        groups.reserveCapacity(Int(groupCount))
        for _ in 0..<groupCount { groups.append(try parse.group(&reader)) }
        if reader.remaining != 0 { throw .malformed(what: name, "has bytes behind its end") }
        if parse.nextWindow != Int(windowCount) { throw .malformed(what: name, "does not cover all windows") }
        return DeltaTable(
            imageSize: imageSize, base: base, windowSize: Int(windowSize), windowCount: Int(windowCount),
            groups: groups, payloadOffset: payloadOffset, payloadLength: parse.storedOffset - payloadOffset,
            bytes: bytes)
    }

    /// The bytes of the table.
    public func encode() -> [UInt8] { bytes }
}

/// What the checking pass over the groups keeps in mind.
private struct DeltaTableParser {
    let imageSize: UInt64
    let baseSize: UInt64
    let windowSize: Int
    let windowCount: Int
    var storedOffset: UInt64
    var nextWindow = 0
    var copyEnd: UInt64 = 0

    private var name: String { DeltaTable.name }

    mutating func group(_ reader: inout ByteReader) throws(FormatError) -> DeltaGroup {
        let byte = try reader.u8()
        guard let codec = DeltaCodec(rawValue: byte) else { throw .malformed(what: name, "unknown codec \(byte)") }
        let count = try reader.varint(limit: BundleLimits.groupWindows, "the number of windows of a group")
        if count == 0 || count > windowCount - nextWindow {
            throw .malformed(what: name, "a group has no windows, or more than there are")
        }
        let residual = try reader.varint(limit: BundleLimits.residual, "a residual")
        let stored = try reader.varint(limit: BundleLimits.residual, "a stored length")
        var digest: Digest?
        if stored > 0 { digest = try reader.digest() }
        let body = reader.offset
        let references = try reader.varint(limit: BundleLimits.referenceRanges, "the number of references")
        try check(codec, residual: residual, stored: stored, references: references)
        let limit = baseSize + UInt64(nextWindow) * UInt64(windowSize)
        let referenceBytes = try self.references(&reader, count: references, limit: limit)
        let start = copyEnd
        let windows = nextWindow..<(nextWindow + count)
        var used = 0
        for window in windows { used += try operations(&reader, window: window, limit: limit) }
        if used != residual { throw .malformed(what: name, "the operations of a group do not use its residual") }
        nextWindow += count
        let group = DeltaGroup(
            codec: codec, windows: windows, residualLength: residual, storedOffset: storedOffset,
            storedLength: stored, storedDigest: digest, referenceCount: references, referenceBytes: referenceBytes,
            bodyOffset: body, copyEnd: start)
        storedOffset += UInt64(stored)
        if storedOffset > BundleLimits.bundle { throw .malformed(what: name, "offset out of bounds") }
        return group
    }

    private func check(_ codec: DeltaCodec, residual: Int, stored: Int, references: Int) throws(FormatError) {
        if (references > 0) != codec.usesReferences {
            throw .malformed(what: name, "references and codec of a group do not fit")
        }
        switch codec {
        case .none:
            if residual != 0 || stored != 0 { throw .malformed(what: name, "a group without residual has some") }
        case .stored:
            if residual == 0 || stored != residual {
                throw .malformed(what: name, "a stored residual is its plain bytes")
            }
        case .zstd, .zstdReferences, .difference:
            if stored == 0 || stored >= residual {
                throw .malformed(what: name, "a coded residual must be smaller than its plain bytes")
            }
        }
    }

    private func references(
        _ reader: inout ByteReader, count: Int, limit: UInt64
    ) throws(FormatError) -> Int {
        var sum = 0
        var last: UInt64 = 0
        for _ in 0..<count {
            let range = try range(
                &reader, last: last, length: reader.varintPair(limit: BundleLimits.references), limit: limit)
            sum += range.length
            if sum > BundleLimits.references { throw .malformed(what: name, "a group has too many references") }
            last = range.end
        }
        return sum
    }

    /// Checks the operations of one window; the residual bytes that they take.
    private mutating func operations(
        _ reader: inout ByteReader, window: Int, limit: UInt64
    ) throws(FormatError) -> Int {
        let start = UInt64(window) * UInt64(windowSize)
        let plain = Int(min(UInt64(windowSize), imageSize - start))
        let count = try reader.varint(limit: plain, "the number of operations")
        var sum = 0
        var residual = 0
        for _ in 0..<count {
            let tag = try reader.varint(limit: 2 * BundleLimits.window + 1, "an operation")
            let length = tag >> 1
            if length == 0 || length > plain - sum {
                throw .malformed(what: name, "an operation of window \(window) is empty or too long")
            }
            sum += length
            if tag & 1 == 0 {
                residual += length
            } else {
                let source = try reader.signed()
                copyEnd = try range(&reader, last: copyEnd, length: (source, length), limit: limit).end
            }
        }
        // A window without operations is one of zeros; the chunk table has the last word on that.
        if count > 0 && sum != plain { throw .malformed(what: name, "window \(window) is not filled") }
        return residual
    }

    /// A range at a distance from the end of the last one, if there are bytes that a device has by then.
    private func range(
        _ reader: inout ByteReader, last: UInt64, length: (distance: Int64, length: Int), limit: UInt64
    ) throws(FormatError) -> DeltaRange {
        let start = Int64(last) + length.distance
        guard start >= 0, length.length > 0 else { throw .malformed(what: name, "a range is empty or below zero") }
        let range = DeltaRange(start: UInt64(start), length: length.length)
        if range.end > limit || (range.start < baseSize && range.end > baseSize) {
            throw .malformed(what: name, "a range is out of bounds")
        }
        return range
    }
}

extension ByteReader {
    /// Distance and length of a reference.
    fileprivate mutating func varintPair(limit: Int) throws(FormatError) -> (distance: Int64, length: Int) {
        let distance = try signed()
        return (distance: distance, length: try varint(limit: limit, "a reference"))
    }
}
