/// Takes an object apart member by member; what nobody asked for is an error at the end.
///
/// Members whose name starts with `x-` are extensions that a reader may ignore; every other unknown member is
/// critical, so an old device refuses a document whose meaning it cannot know.
public struct JSONObjectReader: Sendable {
    private let members: [JSONMember]
    private var taken: [Bool]
    /// Where this object is, for messages.
    public let place: String

    public init(_ value: JSONValue, at place: String) throws(JSONError) {
        guard case .object(let members) = value else { throw JSONError(.wrongType, at: place, "must be an object") }
        self.members = members
        self.taken = [Bool](repeating: false, count: members.count)
        self.place = place
    }

    /// The member, or nil when it is absent.
    public mutating func optional(_ name: String) -> JSONValue? {
        guard let index = members.firstIndex(where: { $0.name == name }) else { return nil }
        taken[index] = true
        return members[index].value
    }

    /// The member; absence is an error.
    public mutating func required(_ name: String) throws(JSONError) -> JSONValue {
        guard let value = optional(name) else { throw JSONError(.missing, at: path(name), "is missing") }
        return value
    }

    /// A string of at most `limit` UTF-8 bytes without control characters, and not empty.
    public mutating func string(_ name: String, limit: Int) throws(JSONError) -> String {
        try Self.string(try required(name), at: path(name), limit: limit)
    }

    /// The same, or nil when absent.
    public mutating func optionalString(_ name: String, limit: Int) throws(JSONError) -> String? {
        guard let value = optional(name) else { return nil }
        return try Self.string(value, at: path(name), limit: limit)
    }

    /// An integer within the range.
    public mutating func integer(_ name: String, in range: ClosedRange<Int64>) throws(JSONError) -> Int64 {
        try Self.integer(try required(name), at: path(name), in: range)
    }

    /// The same, or nil when absent.
    public mutating func optionalInteger(
        _ name: String, in range: ClosedRange<Int64>
    ) throws(JSONError) -> Int64? {
        guard let value = optional(name) else { return nil }
        return try Self.integer(value, at: path(name), in: range)
    }

    /// true or false, or nil when absent.
    public mutating func optionalBool(_ name: String) throws(JSONError) -> Bool? {
        guard let value = optional(name) else { return nil }
        guard case .bool(let flag) = value else {
            throw JSONError(.wrongType, at: path(name), "must be true or false")
        }
        return flag
    }

    /// An array with a number of elements in the range.
    public mutating func array(_ name: String, count: ClosedRange<Int>) throws(JSONError) -> [JSONValue] {
        guard case .array(let elements) = try required(name) else {
            throw JSONError(.wrongType, at: path(name), "must be an array")
        }
        if !count.contains(elements.count) {
            throw JSONError(
                .outOfBounds, at: path(name),
                "has \(elements.count) elements, must have \(count.lowerBound) to \(count.upperBound)")
        }
        return elements
    }

    /// The same; absent counts as empty.
    public mutating func optionalArray(_ name: String, most: Int) throws(JSONError) -> [JSONValue] {
        if members.contains(where: { $0.name == name }) { return try array(name, count: 0...most) }
        return []
    }

    /// A nested object.
    public mutating func object(_ name: String) throws(JSONError) -> JSONObjectReader {
        try JSONObjectReader(try required(name), at: path(name))
    }

    /// A nested object, or nil when absent.
    public mutating func optionalObject(_ name: String) throws(JSONError) -> JSONObjectReader? {
        guard let value = optional(name) else { return nil }
        return try JSONObjectReader(value, at: path(name))
    }

    /// Refuses what was not taken.
    public func finish() throws(JSONError) {
        for index in members.indices where !taken[index] {
            let name = members[index].name
            if name.utf8.starts(with: "x-".utf8) { continue }
            throw JSONError(.unknownMember, at: path(name), "is not known to this version")
        }
    }

    /// The path of a member.
    public func path(_ name: String) -> String { place.isEmpty ? name : "\(place).\(name)" }

    /// Checks a single string value.
    public static func string(_ value: JSONValue, at place: String, limit: Int) throws(JSONError) -> String {
        guard case .string(let text) = value else { throw JSONError(.wrongType, at: place, "must be a string") }
        let bytes = text.utf8
        if bytes.isEmpty || bytes.count > limit {
            throw JSONError(.outOfBounds, at: place, "must have 1 to \(limit) bytes")
        }
        for byte in bytes where byte < 0x20 || byte == 0x7f {
            throw JSONError(.outOfBounds, at: place, "must not have control characters")
        }
        return text
    }

    private static func integer(
        _ value: JSONValue, at place: String, in range: ClosedRange<Int64>
    ) throws(JSONError) -> Int64 {
        guard case .integer(let number) = value else { throw JSONError(.wrongType, at: place, "must be an integer") }
        if !range.contains(number) {
            throw JSONError(
                .outOfBounds, at: place, "is \(number), must be \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }
}
