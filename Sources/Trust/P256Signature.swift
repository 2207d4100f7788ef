/// An ECDSA signature over P-256 in the one form that bundles carry: r and s, 32 bytes each, big endian, both from 1
/// to n - 1, and s at most n/2. For every signature (r, s) the pair (r, n - s) is right too; one of them is refused.
public struct P256Signature: Equatable, Sendable {
    /// r and s, 64 bytes.
    public let bytes: [UInt8]

    /// Bytes of r, and of s.
    public static let scalarLength = 32

    /// Nil when the bytes are not in that form.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 2 * Self.scalarLength else { return nil }
        let (r, s) = (Array(bytes[..<Self.scalarLength]), Array(bytes[Self.scalarLength...]))
        guard Self.isScalar(r), Self.isScalar(s), !Self.isLess(Self.halfOrder, s) else { return nil }
        self.bytes = bytes
    }

    /// From numbers of 32 bytes as a signing program gives them: s is replaced by n - s when it is the larger one.
    /// Nil when one of them is not from 1 to n - 1.
    public init?(r: [UInt8], s: [UInt8]) {
        guard Self.isScalar(r), Self.isScalar(s) else { return nil }
        bytes = r + (Self.isLess(Self.halfOrder, s) ? Self.negative(s) : s)
    }

    /// The form of RFC 3279 section 2.2.3, which OpenSSL reads: SEQUENCE { INTEGER r, INTEGER s }.
    var der: [UInt8] {
        let numbers = Self.integer(bytes[..<Self.scalarLength]) + Self.integer(bytes[Self.scalarLength...])
        // At most 2 * (2 + 33) bytes: one length byte is enough.
        return [0x30, UInt8(numbers.count)] + numbers
    }

    /// A DER INTEGER: no more leading zeros than the one that keeps the number positive.
    private static func integer(_ number: ArraySlice<UInt8>) -> [UInt8] {
        let digits = number.drop { $0 == 0 }
        let sign: [UInt8] = (digits.first ?? 0x80) & 0x80 != 0 ? [0] : []
        return [0x02, UInt8(sign.count + digits.count)] + sign + digits
    }

    /// The order n of the curve (SEC 2 section 2.4.2), and n/2 rounded down.
    private static let order: [UInt8] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ]
    private static let halfOrder: [UInt8] = [
        0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
    ]

    /// Whether it is 32 bytes of a number from 1 to n - 1.
    private static func isScalar(_ number: [UInt8]) -> Bool {
        number.count == scalarLength && number.contains { $0 != 0 } && isLess(number, order)
    }

    /// Compares big endian numbers of equal length. Signatures are public, so time tells nothing.
    private static func isLess(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        for (one, other) in zip(left, right) where one != other { return one < other }
        return false
    }

    /// n - s.
    private static func negative(_ s: [UInt8]) -> [UInt8] {
        var out = order
        var borrow = 0
        for index in stride(from: scalarLength - 1, through: 0, by: -1) {
            let difference = Int(order[index]) - Int(s[index]) - borrow
            borrow = difference < 0 ? 1 : 0
            out[index] = UInt8(truncatingIfNeeded: difference)
        }
        return out
    }
}
