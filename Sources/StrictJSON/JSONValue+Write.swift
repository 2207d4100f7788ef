extension JSONValue {
    /// The value as JSON text: members in their order, no spaces, so that the same value gives the same bytes.
    public var compactText: String { written(indent: nil) }

    /// The value as JSON text on several lines, for people.
    public var prettyText: String { written(indent: 2) }

    /// The bytes of the compact form.
    public var bytes: [UInt8] {
        var out: [UInt8] = []
        write(to: &out, indent: nil, level: 0)
        return out
    }

    private func written(indent: Int?) -> String {
        var out: [UInt8] = []
        write(to: &out, indent: indent, level: 0)
        return String(decoding: out, as: UTF8.self)
    }

    private func write(to out: inout [UInt8], indent: Int?, level: Int) {
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): out.append(contentsOf: String(value).utf8)
        case .real(let text): out.append(contentsOf: text.utf8)
        case .string(let value): Self.writeString(value, to: &out)
        case .array(let elements):
            Self.writeList(count: elements.count, open: 0x5b, close: 0x5d, to: &out, indent, level) { index, out in
                elements[index].write(to: &out, indent: indent, level: level + 1)
            }
        case .object(let members):
            Self.writeList(count: members.count, open: 0x7b, close: 0x7d, to: &out, indent, level) { index, out in
                Self.writeString(members[index].name, to: &out)
                out.append(0x3a)
                if indent != nil { out.append(0x20) }
                members[index].value.write(to: &out, indent: indent, level: level + 1)
            }
        }
    }

    private static func writeList(
        count: Int, open: UInt8, close: UInt8, to out: inout [UInt8], _ indent: Int?, _ level: Int,
        _ item: (Int, inout [UInt8]) -> Void
    ) {
        out.append(open)
        for index in 0..<count {
            if index > 0 { out.append(0x2c) }
            newLine(&out, indent, level + 1)
            item(index, &out)
        }
        if count > 0 { newLine(&out, indent, level) }
        out.append(close)
    }

    private static func newLine(_ out: inout [UInt8], _ indent: Int?, _ level: Int) {
        guard let indent else { return }
        out.append(0x0a)
        for _ in 0..<(indent * level) { out.append(0x20) }
    }

    /// RFC 8259 section 7: the two that must be escaped, and controls as \u00XX.
    private static func writeString(_ value: String, to out: inout [UInt8]) {
        out.append(0x22)
        for byte in value.utf8 {
            switch byte {
            case 0x22, 0x5c:
                out.append(0x5c)
                out.append(byte)
            case 0x0a: out.append(contentsOf: "\\n".utf8)
            case 0x00..<0x20:
                let hex: [UInt8] = Array("0123456789abcdef".utf8)
                out.append(contentsOf: "\\u00".utf8)
                out.append(hex[Int(byte >> 4)])
                out.append(hex[Int(byte & 15)])
            default: out.append(byte)
            }
        }
        out.append(0x22)
    }
}
