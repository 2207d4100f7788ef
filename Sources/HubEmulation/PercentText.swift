internal import Platform

/// Percent-encoding (RFC 3986 section 2.1), as tokens, topics and queries use it.
enum PercentText {
    /// Everything but unreserved characters is encoded, `/` too.
    static func encode(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.unicodeScalars.append(.init(byte))
            default: out += "%" + Hex.digits(of: byte).uppercased()
            }
        }
        return out
    }

    /// The text, or nil when an escape is cut off or the bytes are no UTF-8.
    static func decode(_ text: some StringProtocol) -> String? {
        var out: [UInt8] = []
        var bytes = Array(text.utf8)[...]
        while let byte = bytes.popFirst() {
            if byte != 0x25 {
                out.append(byte)
                continue
            }
            let digits = String(decoding: bytes.prefix(2), as: UTF8.self).lowercased()
            guard digits.utf8.count == 2, let value = Hex.decode(digits) else { return nil }
            out += value
            bytes = bytes.dropFirst(2)
        }
        return String(validating: out, as: UTF8.self)
    }

    /// `a=b&c=d` with both halves decoded; a name without `=` has an empty value. What cannot be decoded is left out.
    static func pairs(_ query: some StringProtocol) -> [(name: String, value: String)] {
        query.split(separator: "&").compactMap { part in
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decode(halves[0]), let value = decode(halves.count > 1 ? halves[1] : "") else {
                return nil
            }
            return (name, value)
        }
    }
}
