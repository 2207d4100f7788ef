internal import StrictJSON

/// IoT Hub's limits on twins (reference: "Understand and use device twins in IoT Hub", sizes and key format).
enum TwinLimits {
    static let tags = 8 * 1024
    static let properties = 32 * 1024
    static let deepest = 10
    static let longestKey = 1024
    static let longestString = 4096
    static let integers: ClosedRange<Int64> = -4_503_599_627_370_496...4_503_599_627_370_495

    /// Why a patch is refused, or nil.
    static func problem(in patch: JSONValue) -> String? {
        guard case .object(let members) = patch else { return "the patch must be an object" }
        return problem(in: members, depth: 1)
    }

    /// Why a section as it would be after a patch is refused, or nil.
    static func problem(ofSection section: JSONValue, limit: Int) -> String? {
        let bytes = size(section)
        return bytes > limit ? "the section would have \(bytes) bytes, at most \(limit) are allowed" : nil
    }

    private static func problem(in members: [JSONMember], depth: Int) -> String? {
        if depth > deepest { return "nested more than \(deepest) levels" }
        for member in members {
            if let why = problem(inKey: member.name) ?? problem(in: member.value, depth: depth) { return why }
        }
        return nil
    }

    private static func problem(inKey key: String) -> String? {
        if key.isEmpty || key.utf8.count > longestKey { return "a key must have 1 to \(longestKey) bytes" }
        for scalar in key.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            if isControl || scalar == "." || scalar == "$" || scalar == " " {
                return "the key \(key) has a control character, '.', '$' or a space"
            }
        }
        return nil
    }

    private static func problem(in value: JSONValue, depth: Int) -> String? {
        switch value {
        case .object(let inner): return problem(in: inner, depth: depth + 1)
        case .array(let elements):
            if depth + 1 > deepest { return "nested more than \(deepest) levels" }
            for element in elements {
                if let why = problem(in: element, depth: depth + 1) { return why }
            }
            return nil
        case .string(let text) where text.utf8.count > longestString:
            return "a string has \(text.utf8.count) bytes, at most \(longestString) are allowed"
        case .integer(let number) where !integers.contains(number): return "the integer \(number) is out of range"
        default: return nil
        }
    }

    /// Bytes as IoT Hub counts them: keys and strings in UTF-8 without control characters, 8 for a number, 4 for a
    /// truth value.
    static func size(_ value: JSONValue) -> Int {
        switch value {
        case .null: 0
        case .bool: 4
        case .integer, .real: 8
        case .string(let text): text.unicodeScalars.reduce(0) { $0 + ($1.value < 0x20 ? 0 : UTF8.width($1)) }
        case .array(let elements): elements.reduce(0) { $0 + size($1) }
        case .object(let members): members.reduce(0) { $0 + $1.name.utf8.count + size($1.value) }
        }
    }
}
