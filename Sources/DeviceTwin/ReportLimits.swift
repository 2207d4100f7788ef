public import StrictJSON

/// IoT Hub's limits of reported properties (Microsoft's "Understand and use device twins in IoT Hub").
///
/// A report that breaks one of them is refused as a whole, so what breaks it is shortened or left out before.
public enum ReportLimits {
    /// Bytes of one section by the hub's own count.
    public static let section = 32 * 1024
    static let string = 4096
    static let key = 1024
    static let depth = 10
    static let integers: ClosedRange<Int64> = -4_503_599_627_370_496...4_503_599_627_370_495

    /// The patch as the hub takes it, and the first place at which it had to be changed.
    public static func fit(_ patch: JSONValue) -> (patch: JSONValue, cut: String?) {
        var cut: String?
        let value = fit(patch, 0, "reported", &cut)
        return (value, cut)
    }

    private static func fit(_ value: JSONValue, _ level: Int, _ place: String, _ cut: inout String?) -> JSONValue {
        func note(_ what: String) { if cut == nil { cut = place + " " + what } }
        switch value {
        case .string(let text) where text.utf8.count > string:
            note("is longer than \(string) bytes")
            return .string(shortened(text))
        // Beyond 2^52 the hub takes no number; the digits keep their meaning as text.
        case .integer(let number) where !integers.contains(number): return .string("\(number)")
        case .array(let elements):
            if level >= depth {
                note("is deeper than \(depth) levels")
                return .null
            }
            return .array(elements.map { fit($0, level + 1, place, &cut) })
        case .object(let members):
            if level >= depth, !members.isEmpty {
                note("is deeper than \(depth) levels")
                return .null
            }
            var kept: [JSONMember] = []
            for member in members {
                if !isKey(member.name) {
                    note("has a name that the hub refuses")
                    continue
                }
                let inner = fit(member.value, level + 1, place + "." + member.name, &cut)
                kept.append(JSONMember(name: member.name, value: inner))
            }
            return .object(kept)
        default: return value
        }
    }

    /// No controls, no `.`, `$` or space.
    static func isKey(_ name: String) -> Bool {
        if name.utf8.isEmpty || name.utf8.count > key { return false }
        return name.unicodeScalars.allSatisfy {
            $0.value > 0x20 && !(0x7f...0x9f).contains($0.value) && $0.value != 0x24 && $0.value != 0x2e
        }
    }

    private static func shortened(_ text: String) -> String {
        var bytes = Array(text.utf8.prefix(string - 3))
        // Not within a character.
        let rest = Array(text.utf8.dropFirst(bytes.count).prefix(1))
        if let next = rest.first, next & 0xc0 == 0x80 {
            while let last = bytes.popLast(), last & 0xc0 == 0x80 {}
        }
        return String(decoding: bytes, as: UTF8.self) + "..."
    }

    /// Bytes by the hub's count: names and strings as UTF-8, 8 for a number, 4 for true, false and null.
    public static func size(_ value: JSONValue) -> Int {
        switch value {
        case .null, .bool: 4
        case .integer, .real: 8
        case .string(let text): text.utf8.count
        case .array(let elements): elements.reduce(0) { $0 + size($1) }
        case .object(let members): members.reduce(0) { $0 + $1.name.utf8.count + size($1.value) }
        }
    }
}
