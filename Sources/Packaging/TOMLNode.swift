internal import TOMLKit

/// A TOML value copied out of the parser: keys of a table come sorted by their bytes, so that the order in which a
/// recipe lists them does not change the bundle.
enum TOMLNode {
    case string(String)
    case integer(Int)
    case bool(Bool)
    /// Seconds since 1970; nil for a date and time without an offset, which is no point in time.
    case time(Int64?)
    case array([TOMLNode])
    case table([(key: String, value: TOMLNode)])
    /// A type that no recipe key has, by its TOML name.
    case other(String)

    /// The type in words, for messages.
    var typeName: String {
        switch self {
        case .string: "a string"
        case .integer: "an integer"
        case .bool: "a boolean"
        case .time: "a date-time"
        case .array: "an array"
        case .table: "a table"
        case .other(let name): "a \(name)"
        }
    }

    /// Parses a document; `path` is for messages.
    static func parse(_ bytes: [UInt8], path: String) throws(PackagingError) -> TOMLNode {
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw .recipeSyntax(path: path, line: 1, column: 1, why: "the file is not UTF-8 text")
        }
        // The parser hands strings over as C strings: a zero character would cut them short without a word.
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            for escape in ["\\u0000", "\\U00000000"] where line.contains(escape) {
                throw .recipeSyntax(path: path, line: index + 1, column: 1, why: "a zero character is not allowed")
            }
        }
        do {
            return convert(try TOMLTable(string: text).tomlValue)
        } catch let error as TOMLParseError {
            throw .recipeSyntax(
                path: path, line: error.source.begin.line, column: error.source.begin.column, why: error.description)
        } catch {
            throw .recipeSyntax(path: path, line: 1, column: 1, why: "\(error)")
        }
    }

    private static func convert(_ value: TOMLValue) -> TOMLNode {
        if let text = value.string { return .string(text) }
        if let number = value.int { return .integer(number) }
        if let flag = value.bool { return .bool(flag) }
        if let time = value.dateTime { return .time(seconds(of: time)) }
        if let array = value.array {
            var nodes: [TOMLNode] = []
            for index in 0..<array.count { nodes.append(convert(array[index].tomlValue)) }
            return .array(nodes)
        }
        if let table = value.table {
            var members: [(key: String, value: TOMLNode)] = []
            for key in table.keys.sorted(by: { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }) {
                guard let member = table[key] else { continue }
                members.append((key: key, value: convert(member.tomlValue)))
            }
            return .table(members)
        }
        return .other(value.type.description)
    }

    /// Seconds since 1970 of an offset date-time (RFC 3339); fractions are cut.
    private static func seconds(of time: TOMLDateTime) -> Int64? {
        guard let offset = time.offset else { return nil }
        let days = CalendarTime.days(
            year: Int64(time.date.year), month: Int64(time.date.month), day: Int64(time.date.day))
        let clock = Int64(time.time.hour) * 3600 + Int64(time.time.minute) * 60 + Int64(time.time.second)
        return days * 86400 + clock - Int64(offset.offset) * 60
    }
}
