internal import Platform

/// Reads fixed little-endian fields in order; every read is checked against the end.
public struct ByteReader: ~Escapable {
    private let bytes: RawSpan
    /// The next byte to read.
    public private(set) var offset = 0
    let what: String

    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan, what: String) {
        self.bytes = bytes
        self.what = what
    }

    /// Bytes not read yet.
    public var remaining: Int { bytes.byteCount - offset }

    private mutating func take(_ count: Int) throws(FormatError) -> Int {
        if count > remaining {
            throw .truncated(what: what, needed: UInt64(offset + count), present: UInt64(bytes.byteCount))
        }
        let start = offset
        offset += count
        return start
    }

    public mutating func u8() throws(FormatError) -> UInt8 {
        let start = try take(1)
        return unsafe bytes.unsafeLoad(fromByteOffset: start, as: UInt8.self)
    }
    public mutating func u16() throws(FormatError) -> UInt16 {
        let start = try take(2)
        return UInt16(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: start, as: UInt16.self))
    }
    public mutating func u32() throws(FormatError) -> UInt32 {
        let start = try take(4)
        return UInt32(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: start, as: UInt32.self))
    }
    public mutating func u64() throws(FormatError) -> UInt64 {
        let start = try take(8)
        return UInt64(littleEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: start, as: UInt64.self))
    }
    public mutating func digest() throws(FormatError) -> Digest {
        let start = try take(Digest.byteCount)
        guard let digest = Digest(bytes: bytes, at: start) else { throw .malformed(what: what, "digest") }
        return digest
    }
    /// A copy of the next `count` bytes.
    public mutating func array(_ count: Int) throws(FormatError) -> [UInt8] {
        let start = try take(count)
        return [UInt8](copying: bytes.extracting(start..<(start + count)))
    }
}

/// Appends fixed little-endian fields.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8] = []
    public init() {}
    public mutating func u8(_ value: UInt8) { bytes.append(value) }
    public mutating func u16(_ value: UInt16) { integer(value) }
    public mutating func u32(_ value: UInt32) { integer(value) }
    public mutating func u64(_ value: UInt64) { integer(value) }
    public mutating func digest(_ value: Digest) { bytes.append(contentsOf: value.bytes) }
    public mutating func array(_ value: [UInt8]) { bytes.append(contentsOf: value) }
    /// Zeros up to a length.
    public mutating func pad(to count: Int) {
        while bytes.count < count { bytes.append(0) }
    }
    private mutating func integer<I: FixedWidthInteger & UnsignedInteger>(_ value: I) {
        for shift in 0..<(I.bitWidth / 8) { bytes.append(UInt8(truncatingIfNeeded: value >> I(8 * shift))) }
    }
}
