/// Lower-case hexadecimal, as digests are written everywhere in Kedge.
public enum Hex {
    private static let alphabet: [UInt8] = Array("0123456789abcdef".utf8)

    /// Two digits.
    public static func digits(of byte: UInt8) -> String {
        String(decoding: [alphabet[Int(byte >> 4)], alphabet[Int(byte & 15)]], as: UTF8.self)
    }

    /// All bytes, two digits each.
    public static func encode(_ bytes: [UInt8]) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count * 2)
        for byte in bytes {
            out.append(alphabet[Int(byte >> 4)])
            out.append(alphabet[Int(byte & 15)])
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// `0x` and eight digits, as handles and codes are written.
    public static func number(_ value: UInt32) -> String {
        "0x" + encode((0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) })
    }

    /// The bytes, or nil when the text is not an even number of lower-case digits: one value has one spelling.
    public static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var out: [UInt8] = []
        out.reserveCapacity(digits.count / 2)
        var index = 0
        while index < digits.count {
            guard let high = value(of: digits[index]), let low = value(of: digits[index + 1]) else { return nil }
            out.append(high << 4 | low)
            index += 2
        }
        return out
    }

    private static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x61 + 10
        default: nil
        }
    }
}
