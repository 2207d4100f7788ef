/// Base64 with the standard alphabet and padding (RFC 4648 section 4), read strictly: one value has one spelling.
public enum Base64 {
    private static let alphabet: [UInt8] = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// The text of all bytes, padded with `=` to a multiple of four, without line breaks.
    public static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        out.reserveCapacity((bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let left = bytes.count - index
            let first = UInt32(bytes[index])
            let second = left > 1 ? UInt32(bytes[index + 1]) : 0
            let third = left > 2 ? UInt32(bytes[index + 2]) : 0
            let group = first << 16 | second << 8 | third
            out.append(alphabet[Int(group >> 18)])
            out.append(alphabet[Int(group >> 12 & 63)])
            out.append(left > 1 ? alphabet[Int(group >> 6 & 63)] : 0x3d)
            out.append(left > 2 ? alphabet[Int(group & 63)] : 0x3d)
            index += 3
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The bytes, or nil when the text is not what `encode` would write for them: other alphabets, line breaks,
    /// missing padding and bits behind the last byte are refused.
    public static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 4 == 0 else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(digits.count / 4 * 3)
        var index = 0
        while index < digits.count {
            var padding = 0
            if index + 4 == digits.count {
                if digits[index + 3] == 0x3d { padding = digits[index + 2] == 0x3d ? 2 : 1 }
            }
            var group: UInt32 = 0
            for place in 0..<4 {
                group <<= 6
                if place >= 4 - padding { continue }
                guard let value = value(of: digits[index + place]) else { return nil }
                group |= value
            }
            // Bits that belong to no byte must be zero, or two texts would mean the same bytes.
            if padding == 1 && group & 0xff != 0 || padding == 2 && group & 0xffff != 0 { return nil }
            out.append(UInt8(truncatingIfNeeded: group >> 16))
            if padding < 2 { out.append(UInt8(truncatingIfNeeded: group >> 8)) }
            if padding < 1 { out.append(UInt8(truncatingIfNeeded: group)) }
            index += 4
        }
        return out
    }

    private static func value(of digit: UInt8) -> UInt32? {
        switch digit {
        case 0x41...0x5a: UInt32(digit) - 0x41
        case 0x61...0x7a: UInt32(digit) - 0x61 + 26
        case 0x30...0x39: UInt32(digit) - 0x30 + 52
        case 0x2b: 62
        case 0x2f: 63
        default: nil
        }
    }
}
