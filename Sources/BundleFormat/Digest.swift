internal import Platform

/// A SHA-256 value. There is no empty or partial digest: absence is `Digest?`, and a missing one is an error where
/// one is needed (Mender CVE-2025-67903: an empty checksum meant "nothing to check").
public struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// Bytes of a digest.
    public static let byteCount = 32

    private let word0: UInt64
    private let word1: UInt64
    private let word2: UInt64
    private let word3: UInt64

    /// From exactly 32 bytes at `offset`; nil when there are fewer.
    public init?(bytes: RawSpan, at offset: Int = 0) {
        guard offset >= 0, bytes.byteCount - offset >= Self.byteCount else { return nil }
        word0 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
        word1 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
        word2 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 16, as: UInt64.self)
        word3 = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 24, as: UInt64.self)
    }

    /// From 64 lower-case hexadecimal digits; nil for anything else.
    public init?(hex: String) {
        guard let bytes = Hex.decode(hex), bytes.count == Self.byteCount else { return nil }
        self.init(bytes: bytes.rawBytes)
    }

    /// The 32 bytes.
    public var bytes: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(Self.byteCount)
        for word in [word0, word1, word2, word3] {
            // Words were loaded in memory order, so they are taken apart in memory order.
            let little = word.littleEndian
            for shift in 0..<8 { out.append(UInt8(truncatingIfNeeded: little >> UInt64(8 * shift))) }
        }
        return out
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String { Hex.encode(bytes) }
    public var description: String { hex }
}
