/// Takes a TOML table apart key by key; what nobody asked for is an error at the end, so that a misspelt key never
/// silently means its default.
struct RecipeTable {
    private let members: [(key: String, value: TOMLNode)]
    private var asked: [String] = []
    /// The recipe's path, for messages.
    let path: String
    /// Where this table is: empty, or such as `release` or `component[0]`.
    let place: String

    init(_ node: TOMLNode, path: String, place: String) throws(PackagingError) {
        guard case .table(let members) = node else {
            throw .recipeType(path: path, key: place, expected: "a table", found: node.typeName)
        }
        self.members = members
        self.path = path
        self.place = place
    }

    /// The path of a key.
    func name(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }

    /// The value, or nil when the key is absent.
    mutating func optional(_ key: String) -> TOMLNode? {
        asked.append(key)
        return members.first { $0.key == key }?.value
    }

    /// The value; absence is an error.
    mutating func required(_ key: String) throws(PackagingError) -> TOMLNode {
        guard let value = optional(key) else { throw .recipeMissing(path: path, key: name(key)) }
        return value
    }

    func wrongType(_ key: String, _ expected: String, _ node: TOMLNode) -> PackagingError {
        .recipeType(path: path, key: name(key), expected: expected, found: node.typeName)
    }

    func badValue(_ key: String, _ why: String) -> PackagingError {
        .recipeValue(path: path, key: name(key), why: why)
    }

    /// Text of 1 to `limit` UTF-8 bytes without control characters.
    func text(_ node: TOMLNode, _ key: String, limit: Int) throws(PackagingError) -> String {
        guard case .string(let text) = node else { throw wrongType(key, "a string", node) }
        if !(1...limit).contains(text.utf8.count) { throw badValue(key, "must have 1 to \(limit) bytes") }
        for byte in text.utf8 where byte < 0x20 || byte == 0x7f {
            throw badValue(key, "must not have control characters")
        }
        return text
    }

    mutating func string(_ key: String, limit: Int) throws(PackagingError) -> String {
        try text(required(key), key, limit: limit)
    }

    mutating func optionalString(_ key: String, limit: Int) throws(PackagingError) -> String? {
        guard let node = optional(key) else { return nil }
        return try text(node, key, limit: limit)
    }

    func number(_ node: TOMLNode, _ key: String, in range: ClosedRange<Int>) throws(PackagingError) -> Int {
        guard case .integer(let number) = node else { throw wrongType(key, "an integer", node) }
        if !range.contains(number) {
            throw badValue(key, "is \(number), must be \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(PackagingError) -> Int {
        try number(required(key), key, in: range)
    }

    mutating func optionalInteger(_ key: String, in range: ClosedRange<Int>) throws(PackagingError) -> Int? {
        guard let node = optional(key) else { return nil }
        return try number(node, key, in: range)
    }

    /// The elements of an array; absent counts as empty.
    mutating func optionalArray(_ key: String, most: Int) throws(PackagingError) -> [TOMLNode] {
        guard let node = optional(key) else { return [] }
        guard case .array(let elements) = node else { throw wrongType(key, "an array", node) }
        if elements.count > most {
            throw badValue(key, "has \(elements.count) elements, at most \(most) are allowed")
        }
        return elements
    }

    /// A point in time, seconds since 1970.
    mutating func optionalTime(_ key: String) throws(PackagingError) -> Int64? {
        guard let node = optional(key) else { return nil }
        guard case .time(let seconds) = node else { throw wrongType(key, "a date-time", node) }
        guard let seconds, seconds >= 0 else {
            throw badValue(key, "must be after 1970 and end with Z or an offset, such as 2026-05-01T12:00:00Z")
        }
        return seconds
    }

    /// One of an enumeration's texts.
    mutating func choice<E: RawRepresentable<String> & CaseIterable>(
        _ key: String, _ type: E.Type, default fallback: E? = nil
    ) throws(PackagingError) -> E {
        if let fallback, !members.contains(where: { $0.key == key }) {
            asked.append(key)
            return fallback
        }
        let text = try string(key, limit: 64)
        if let value = E(rawValue: text) { return value }
        let known = E.allCases.map { $0.rawValue }.joined(separator: ", ")
        throw badValue(key, "is \"\(text)\", must be one of \(known)")
    }

    /// true or false, or nil when absent.
    mutating func optionalBool(_ key: String) throws(PackagingError) -> Bool? {
        guard let node = optional(key) else { return nil }
        guard case .bool(let flag) = node else { throw wrongType(key, "a boolean", node) }
        return flag
    }

    mutating func table(_ key: String) throws(PackagingError) -> RecipeTable {
        try RecipeTable(required(key), path: path, place: name(key))
    }

    mutating func optionalTable(_ key: String) throws(PackagingError) -> RecipeTable? {
        guard let node = optional(key) else { return nil }
        return try RecipeTable(node, path: path, place: name(key))
    }

    /// All members, for tables whose keys are free.
    mutating func all() -> [(key: String, value: TOMLNode)] {
        asked += members.map { $0.key }
        return members
    }

    /// Refuses what nobody asked for.
    func finish() throws(PackagingError) {
        for member in members where !asked.contains(member.key) {
            throw .recipeUnknownKey(path: path, key: name(member.key), known: asked.map { name($0) })
        }
    }
}
