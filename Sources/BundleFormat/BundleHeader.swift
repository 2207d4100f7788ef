internal import Platform

/// The first 64 bytes: where the parts of the bundle are. They are not signed; every length here is only a hint
/// until the signed manifest confirms it.
///
/// ```
///  0  8  magic 8B 4B 45 44 47 45 0D 0A   (high bit and CR LF catch text-mode transfers, as in PNG)
///  8  2  format version, 1
/// 10  2  zero
/// 12  4  signature section, bytes
/// 16  4  manifest, bytes
/// 20  4  zero
/// 24  8  chunk tables, bytes
/// 32  8  payload, bytes
/// 40  8  whole bundle, bytes
/// 48 16  zero
/// ```
/// Then follow: signature section, manifest, chunk tables, payload, end marker (`KEDGEEND` and the whole length
/// again), and nothing else.
public struct BundleHeader: Equatable, Sendable {
    /// Bytes of the header.
    public static let byteCount = 64
    /// Bytes of the end marker.
    public static let endByteCount = 16
    /// The format this code reads and writes.
    public static let version: UInt16 = 1
    /// The first bytes of every bundle.
    public static let magicBytes: [UInt8] = magic
    static let magic: [UInt8] = [0x8b, 0x4b, 0x45, 0x44, 0x47, 0x45, 0x0d, 0x0a]
    static let endMagic: [UInt8] = Array("KEDGEEND".utf8)

    /// Signature section, bytes.
    public let envelopeLength: Int
    /// Manifest, bytes.
    public let manifestLength: Int
    /// Chunk tables, bytes.
    public let tablesLength: Int
    /// Payload, bytes.
    public let payloadLength: UInt64

    /// A header for parts of these lengths; they must be within `BundleLimits`.
    public init(
        envelopeLength: Int, manifestLength: Int, tablesLength: Int, payloadLength: UInt64
    ) throws(FormatError) {
        try Self.checkLengths(
            UInt64(envelopeLength), UInt64(manifestLength), UInt64(tablesLength), payloadLength)
        self.envelopeLength = envelopeLength
        self.manifestLength = manifestLength
        self.tablesLength = tablesLength
        self.payloadLength = payloadLength
    }

    private static func checkLengths(
        _ envelope: UInt64, _ manifest: UInt64, _ tables: UInt64, _ payload: UInt64
    ) throws(FormatError) {
        try check("the signature section", envelope, 1, UInt64(BundleLimits.envelope))
        try check("the manifest", manifest, 1, UInt64(BundleLimits.manifest))
        try check("the chunk tables", tables, 0, UInt64(BundleLimits.tables))
        try check("the payload", payload, 0, BundleLimits.bundle)
    }

    private static func check(_ what: String, _ size: UInt64, _ least: UInt64, _ most: UInt64) throws(FormatError) {
        if size > most { throw .tooLarge(what: what, size: size, limit: most) }
        if size < least { throw .malformed(what: what, "is empty") }
    }

    /// Where the signature section starts.
    public var envelopeOffset: Int { Self.byteCount }
    /// Where the manifest starts.
    public var manifestOffset: Int { envelopeOffset + envelopeLength }
    /// Where the chunk tables start.
    public var tablesOffset: Int { manifestOffset + manifestLength }
    /// Where the payload starts; also the bytes a device reads before the first window.
    public var payloadOffset: UInt64 { UInt64(tablesOffset + tablesLength) }
    /// Where the end marker starts.
    public var endOffset: UInt64 { payloadOffset + payloadLength }
    /// The whole bundle.
    public var totalLength: UInt64 { endOffset + UInt64(Self.endByteCount) }

    /// Reads the header; only the first 64 bytes are looked at.
    public static func decode(_ bytes: RawSpan) throws(FormatError) -> BundleHeader {
        if bytes.byteCount < magic.count { throw .notABundle("only \(bytes.byteCount) bytes") }
        if [UInt8](copying: bytes.extracting(0..<magic.count)) != magic { throw .notABundle("wrong first bytes") }
        var reader = ByteReader(bytes, what: "the header")
        _ = try reader.array(magic.count)
        let version = try reader.u16()
        if version != Self.version { throw .unknownVersion(version) }
        let zero1 = try reader.u16()
        let envelope = try reader.u32()
        let manifest = try reader.u32()
        let zero2 = try reader.u32()
        let tables = try reader.u64()
        let payload = try reader.u64()
        let total = try reader.u64()
        let zero3 = try reader.u64()
        let zero4 = try reader.u64()
        if zero1 != 0 || zero2 != 0 || zero3 != 0 || zero4 != 0 {
            throw .malformed(what: "the header", "a reserved field is not zero")
        }
        // Before they become `Int`, which has 32 bits on armv7 and would trap.
        try checkLengths(UInt64(envelope), UInt64(manifest), tables, payload)
        let header = try BundleHeader(
            envelopeLength: Int(envelope), manifestLength: Int(manifest), tablesLength: Int(tables),
            payloadLength: payload)
        if header.totalLength != total { throw .malformed(what: "the header", "its lengths do not add up") }
        return header
    }

    /// The 64 bytes.
    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.array(Self.magic)
        writer.u16(Self.version)
        writer.u16(0)
        writer.u32(UInt32(envelopeLength))
        writer.u32(UInt32(manifestLength))
        writer.u32(0)
        writer.u64(UInt64(tablesLength))
        writer.u64(payloadLength)
        writer.u64(totalLength)
        writer.pad(to: Self.byteCount)
        return writer.bytes
    }

    /// The end marker of a bundle of `totalLength` bytes.
    public func encodeEnd() -> [UInt8] {
        var writer = ByteWriter()
        writer.array(Self.endMagic)
        writer.u64(totalLength)
        return writer.bytes
    }

    /// Refuses anything but the end marker that belongs to this header.
    public func checkEnd(_ bytes: RawSpan) throws(FormatError) {
        if [UInt8](copying: bytes) != encodeEnd() { throw .malformed(what: "the end marker", "is not this bundle's") }
    }
}
