internal import StrictJSON

/// A query of the IoT Hub query language, as far as fleets need it:
/// `SELECT * | path [AS name], … , COUNT() AS name FROM devices | devices.modules [WHERE condition] [GROUP BY path]`
/// with `=`, `!=`, `<>`, `<`, `<=`, `>`, `>=`, `[NOT] IN [..]`, `AND`, `OR`, `NOT`, parentheses, `IS_DEFINED(path)`,
/// `STARTSWITH(path, 'text')` and `[[name]]` for names with other characters.
struct HubQuery: Equatable, Sendable {
    enum Source: Equatable, Sendable {
        case devices, modules
    }
    struct Column: Equatable, Sendable {
        /// Nil: how many there are.
        let path: [String]?
        let name: String
    }
    indirect enum Condition: Equatable, Sendable {
        case all
        case compare([String], Comparison, JSONValue)
        case isIn([String], [JSONValue])
        case isDefined([String])
        case startsWith([String], String)
        case not(Condition)
        case and(Condition, Condition)
        case or(Condition, Condition)
    }
    enum Comparison: String, Equatable, Sendable {
        case equal = "=", notEqual = "!=", less = "<", lessOrEqual = "<=", greater = ">", greaterOrEqual = ">="
    }

    /// Empty: everything.
    var columns: [Column] = []
    var source = Source.devices
    var condition = Condition.all
    var groups: [[String]] = []

    /// Why a text is no query: what was expected, and what stands there.
    struct Problem: Error, Equatable {
        let text: String
    }

    init(_ text: String) throws(Problem) {
        var reader = HubQueryReader(tokens: try HubQueryReader.tokens(text))
        try reader.keyword("SELECT")
        if !reader.take("*") {
            repeat { columns.append(try reader.column()) } while reader.take(",")
        }
        try reader.keyword("FROM")
        let (name, plain) = (try reader.path(), "devices")
        switch name {
        case [plain]: source = .devices
        case [plain, "modules"]: source = .modules
        default: throw Problem(text: "FROM must name devices or devices.modules")
        }
        if reader.takeKeyword("WHERE") { condition = try reader.condition() }
        if reader.takeKeyword("GROUP") {
            try reader.keyword("BY")
            repeat { groups.append(try reader.path()) } while reader.take(",")
        }
        try reader.end()
    }

    /// A target condition: `*`, a condition on devices, or `FROM devices.modules WHERE` one on modules.
    init(targetCondition text: String) throws(Problem) {
        var reader = HubQueryReader(tokens: try HubQueryReader.tokens(text))
        if reader.takeKeyword("FROM") {
            guard try reader.path() == ["devices", "modules"] else {
                throw Problem(text: "FROM must name devices.modules")
            }
            source = .modules
            if !reader.takeKeyword("WHERE") {
                try reader.end()
                return
            }
        }
        if !reader.take("*") { condition = try reader.condition() }
        try reader.end()
    }

    /// The rows for these twins, as the service API gives them.
    func run(_ twins: [JSONValue]) -> [JSONValue] {
        let found = twins.filter { Self.holds(condition, $0) }
        if columns.isEmpty { return found }
        if columns.contains(where: { $0.path == nil }) || !groups.isEmpty { return grouped(found) }
        return found.map { row($0, count: nil) }
    }

    /// Whether one twin meets the condition.
    func matches(_ twin: JSONValue) -> Bool { Self.holds(condition, twin) }

    private func grouped(_ twins: [JSONValue]) -> [JSONValue] {
        var keys: [[JSONValue?]] = []
        var members: [[JSONValue]] = []
        for twin in twins {
            let key = groups.map { twin.value(at: $0) }
            if let index = keys.firstIndex(of: key) {
                members[index].append(twin)
            } else {
                keys.append(key)
                members.append([twin])
            }
        }
        // A count over nothing is one row that says 0.
        if members.isEmpty, groups.isEmpty { return [row(.emptyObject, count: 0)] }
        return members.map { row($0[0], count: $0.count) }
    }

    private func row(_ twin: JSONValue, count: Int?) -> JSONValue {
        var out: [(String, JSONValue)] = []
        for column in columns {
            if let path = column.path {
                if let value = twin.value(at: path) { out.append((column.name, value)) }
            } else {
                out.append((column.name, .integer(Int64(count ?? 0))))
            }
        }
        return .members(out)
    }

    private static func holds(_ condition: Condition, _ twin: JSONValue) -> Bool {
        switch condition {
        case .all: true
        case .compare(let path, let comparison, let value): compare(twin.value(at: path), comparison, value)
        case .isIn(let path, let values): twin.value(at: path).map { values.contains($0) } ?? false
        case .isDefined(let path): twin.value(at: path) != nil
        case .startsWith(let path, let text): twin.value(at: path)?.text?.hasPrefix(text) ?? false
        case .not(let inner): !holds(inner, twin)
        case .and(let left, let right): holds(left, twin) && holds(right, twin)
        case .or(let left, let right): holds(left, twin) || holds(right, twin)
        }
    }

    /// What is not there is equal to nothing and different from everything.
    private static func compare(_ value: JSONValue?, _ comparison: Comparison, _ other: JSONValue) -> Bool {
        guard let value else { return comparison == .notEqual }
        switch comparison {
        case .equal: return value == other
        case .notEqual: return value != other
        default: break
        }
        let isLess: Bool
        switch (value, other) {
        case (.integer(let left), .integer(let right)): isLess = left < right
        case (.string(let left), .string(let right)): isLess = left < right
        default: return false
        }
        switch comparison {
        case .less: return isLess
        case .lessOrEqual: return isLess || value == other
        case .greater: return !isLess && value != other
        default: return !isLess
        }
    }
}

/// Takes the words of a query one by one.
struct HubQueryReader {
    enum Token: Equatable {
        case word(String)
        case string(String)
        case integer(Int64)
        case sign(String)
    }
    private var tokens: ArraySlice<Token>
    init(tokens: [Token]) { self.tokens = tokens[...] }

    static func tokens(_ text: String) throws(HubQuery.Problem) -> [Token] {
        var out: [Token] = []
        var rest = Array(text.unicodeScalars)[...]
        while let first = rest.first {
            if first.properties.isWhitespace {
                rest.removeFirst()
            } else if first == "'" || first == "\"" {
                guard let end = rest.dropFirst().firstIndex(of: first) else {
                    throw HubQuery.Problem(text: "a text does not end")
                }
                out.append(.string(string(rest[(rest.startIndex + 1)..<end])))
                rest = rest[(end + 1)...]
            } else if rest.starts(with: "[[".unicodeScalars) {
                guard let end = rest.indices.first(where: { rest[$0...].starts(with: "]]".unicodeScalars) }) else {
                    throw HubQuery.Problem(text: "[[ does not end")
                }
                out.append(.word(string(rest[(rest.startIndex + 2)..<end])))
                rest = rest[(end + 2)...]
            } else if isNamePart(first) || first == "-" {
                let end = rest.dropFirst().firstIndex { !isNamePart($0) } ?? rest.endIndex
                let word = string(rest[rest.startIndex..<end])
                out.append(Int64(word).map { .integer($0) } ?? .word(word))
                rest = rest[end...]
            } else {
                let two = string(rest.prefix(2))
                let sign = ["!=", "<>", "<=", ">="].contains(two) ? two : String(first)
                out.append(.sign(sign))
                rest = rest.dropFirst(sign.unicodeScalars.count)
            }
        }
        return out
    }

    private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var out = String.UnicodeScalarView()
        out.append(contentsOf: scalars)
        return String(out)
    }

    private static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar == "$" || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
    }

    mutating func take(_ sign: String) -> Bool {
        guard tokens.first == .sign(sign) else { return false }
        tokens.removeFirst()
        return true
    }

    mutating func takeKeyword(_ word: String) -> Bool {
        guard case .word(let text) = tokens.first, text.uppercased() == word else { return false }
        tokens.removeFirst()
        return true
    }

    mutating func keyword(_ word: String) throws(HubQuery.Problem) {
        if !takeKeyword(word) { throw HubQuery.Problem(text: "\(word) is expected\(here)") }
    }

    mutating func end() throws(HubQuery.Problem) {
        if !tokens.isEmpty { throw HubQuery.Problem(text: "the end is expected\(here)") }
    }

    private var here: String {
        switch tokens.first {
        case nil: " at the end"
        case .word(let text), .string(let text), .sign(let text): " before \(text)"
        case .integer(let number): " before \(number)"
        }
    }

    /// `a.b[[c]].d`; a leading alias of the source (`devices.tags…` is no such thing) is not supported.
    mutating func path() throws(HubQuery.Problem) -> [String] {
        var out: [String] = []
        repeat {
            guard case .word(let name) = tokens.first else { throw HubQuery.Problem(text: "a name is expected\(here)") }
            tokens.removeFirst()
            out.append(name)
        } while take(".")
        return out
    }

    mutating func column() throws(HubQuery.Problem) -> HubQuery.Column {
        var path: [String]? = try path()
        if path?.count == 1, path?.first?.uppercased() == "COUNT", take("(") {
            if !take(")") { throw HubQuery.Problem(text: ") is expected\(here)") }
            path = nil
        }
        var name = path?.last ?? "count"
        if takeKeyword("AS") { name = try self.path().joined(separator: ".") }
        return HubQuery.Column(path: path, name: name)
    }

    mutating func condition() throws(HubQuery.Problem) -> HubQuery.Condition {
        var left = try conjunction()
        while takeKeyword("OR") { left = .or(left, try conjunction()) }
        return left
    }

    private mutating func conjunction() throws(HubQuery.Problem) -> HubQuery.Condition {
        var left = try term()
        while takeKeyword("AND") { left = .and(left, try term()) }
        return left
    }

    private mutating func term() throws(HubQuery.Problem) -> HubQuery.Condition {
        if takeKeyword("NOT") { return .not(try term()) }
        if take("(") {
            let inner = try condition()
            try close()
            return inner
        }
        let path = try path()
        if path.count == 1, take("(") {
            let argument = try self.path()
            switch path[0].uppercased() {
            case "IS_DEFINED":
                try close()
                return .isDefined(argument)
            case "STARTSWITH":
                guard take(","), case .string(let text) = tokens.popFirst() else {
                    throw HubQuery.Problem(text: "STARTSWITH needs a path and a text")
                }
                try close()
                return .startsWith(argument, text)
            default: throw HubQuery.Problem(text: "there is no function \(path[0])")
            }
        }
        let isNot = takeKeyword("NOT")
        if takeKeyword("IN") {
            let found = HubQuery.Condition.isIn(path, try list())
            return isNot ? .not(found) : found
        }
        if case .sign(let sign) = tokens.first,
            let comparison = HubQuery.Comparison(rawValue: sign == "<>" ? "!=" : sign)
        {
            tokens.removeFirst()
            return .compare(path, comparison, try value())
        }
        throw HubQuery.Problem(text: "a comparison is expected\(here)")
    }

    private mutating func close() throws(HubQuery.Problem) {
        if !take(")") { throw HubQuery.Problem(text: ") is expected\(here)") }
    }

    private mutating func list() throws(HubQuery.Problem) -> [JSONValue] {
        if !take("[") { throw HubQuery.Problem(text: "[ is expected\(here)") }
        var out: [JSONValue] = []
        if take("]") { return out }
        repeat { out.append(try value()) } while take(",")
        if !take("]") { throw HubQuery.Problem(text: "] is expected\(here)") }
        return out
    }

    private mutating func value() throws(HubQuery.Problem) -> JSONValue {
        switch tokens.popFirst() {
        case .string(let text): return .string(text)
        case .integer(let number): return .integer(number)
        case .word(let word) where word.lowercased() == "true": return .bool(true)
        case .word(let word) where word.lowercased() == "false": return .bool(false)
        case .word(let word) where word.lowercased() == "null": return .null
        default: throw HubQuery.Problem(text: "a value is expected\(here)")
        }
    }
}
