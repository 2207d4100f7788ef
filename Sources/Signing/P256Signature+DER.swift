internal import Trust

extension P256Signature {
    /// From SEQUENCE { INTEGER r, INTEGER s } (RFC 3279 section 2.2.3), as OpenSSL, security modules and cloud key
    /// stores give it. Strict DER: lengths of one byte, no needless zeros, no negative numbers, nothing behind the
    /// end. Whichever s it has, the result has the low one.
    init?(der: [UInt8]) {
        guard der.count >= 2, der[0] == 0x30, der[1] < 0x80, Int(der[1]) == der.count - 2 else { return nil }
        var rest = der[2...]
        guard let r = Self.takeInteger(&rest), let s = Self.takeInteger(&rest), rest.isEmpty else { return nil }
        self.init(r: r, s: s)
    }

    /// Takes one positive INTEGER of at most 256 bits from the front, as 32 bytes.
    private static func takeInteger(_ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
        guard rest.popFirst() == 0x02, let length = rest.popFirst(), length > 0, length <= scalarLength + 1,
            rest.count >= length
        else { return nil }
        var digits = rest.prefix(Int(length))
        rest = rest.dropFirst(Int(length))
        guard let first = digits.first, first < 0x80 else { return nil }
        if first == 0, digits.count > 1 {
            digits = digits.dropFirst()
            // The zero must be there for the sign.
            guard let next = digits.first, next >= 0x80 else { return nil }
        }
        guard digits.count <= scalarLength else { return nil }
        return [UInt8](repeating: 0, count: scalarLength - digits.count) + digits
    }
}
