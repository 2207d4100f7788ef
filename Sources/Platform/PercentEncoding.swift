/// Percent-encoding of everything but RFC 3986's unreserved characters (section 2.3).
public enum PercentEncoding {
    public static func encode(_ text: String) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.append(byte)
            default:
                out.append(0x25)
                for digit in Hex.digits(of: byte).utf8 { out.append(digit >= 0x61 ? digit - 0x20 : digit) }
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
