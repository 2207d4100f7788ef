import Platform
import StrictJSON
import Testing

@Suite("Parsing JSON")
struct JSONParsingTests {
    private func error(_ text: String, limit: Int = 10_000) -> JSONError? {
        do throws(JSONError) {
            _ = try JSONValue.parse(text, limit: limit)
            return nil
        } catch {
            return error
        }
    }

    @Test("Every kind of value is read, and members keep their order")
    func kinds() throws {
        let value = try JSONValue.parse(#"{"z":null,"a":[true,false,-1,"t\u00e9\n"],"m":{}}"#, limit: 100)
        #expect(
            value
                == .members([
                    ("z", .null), ("a", .array([.bool(true), .bool(false), .integer(-1), .string("té\n")])),
                    ("m", .members([])),
                ]))
        #expect(value["a"]?.elements?.count == 4)
        #expect(value["none"] == nil)
        #expect(JSONValue.integer(1)["a"] == nil)
    }

    @Test(
        "Integers are exact to the bounds of 64 bits",
        arguments: [
            ("0", 0), ("-0", 0), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9007199254740993", 9_007_199_254_740_993),
        ] as [(String, Int64)])
    func integers(text: String, value: Int64) throws {
        #expect(try JSONValue.parse(text, limit: 100) == .integer(value))
    }

    @Test(
        "A number with a fraction or exponent stays a real, and is the same number when it is written",
        arguments: [
            ("1.0", "1.0"), ("1e3", "1000.0"), ("-0.5", "-0.5"), ("0.1", "0.1"), ("1.25e-7", "1.25e-07"),
            ("0.30000000000000004", "0.30000000000000004"), ("1e300", "1e+300"),
        ])
    func reals(text: String, written: String) throws {
        let value = try JSONValue.parse(text, limit: 100)
        #expect(value == .real(written))
        #expect(value.number == nil)
        #expect(try JSONValue.parse(value.compactText, limit: 100) == value)
    }

    @Test("A number past the range of a double is refused")
    func hugeReal() {
        #expect(throws: JSONError.self) { try JSONValue.parse("1E400", limit: 100) }
    }

    @Test(
        "What is not JSON is refused",
        arguments: [
            "", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "'a'", "01", "+1", ".5", "nul", "NaN", "Infinity", "[1] 2",
            "{}{}", "// c\n1", "\"\t\"", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\\u0000\"",
            "{\"\\u0000\":1}",
            "\u{feff}1", "9223372036854775808", "-9223372036854775809", "[1]\u{0}",
        ])
    func syntax(text: String) {
        #expect(error(text)?.code == "json.syntax")
    }

    @Test(
        "Bytes that are not UTF-8 are refused",
        arguments: [[0xff], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]] as [[UInt8]])
    func encoding(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONValue.parse([0x22] + bytes + [0x22], limit: 100) }
    }

    @Test(
        "The same name twice is refused at every level, also when one is written with an escape",
        arguments: [#"{"a":1,"a":1}"#, #"[{"b":{"a":1,"c":2,"a":3}}]"#, #"{"a":1,"\u0061":2}"#])
    func duplicates(text: String) {
        #expect(error(text)?.code == "json.duplicate")
    }

    @Test("Nesting to the limit is read and one level more is refused", arguments: [("[", "]"), ("{\"a\":", "}")])
    func depth(open: String, close: String) {
        func nested(_ levels: Int) -> String {
            String(repeating: open, count: levels) + "1" + String(repeating: close, count: levels)
        }
        #expect(error(nested(JSONValue.maximumDepth)) == nil)
        #expect(error(nested(JSONValue.maximumDepth + 1))?.code == "json.too-deep")
    }

    @Test("Nesting of a million levels is an error and not a crash")
    func hostileDepth() {
        #expect(error(String(repeating: "[", count: 1_000_000), limit: 1_000_000)?.code == "json.syntax")
    }

    @Test("The size is capped before parsing")
    func size() {
        #expect(error("[1]", limit: 3) == nil)
        #expect(error("[1]", limit: 2)?.code == "json.too-large")
        // Not JSON at all, and still it is the size that is told.
        #expect(error("???", limit: 2)?.code == "json.too-large")
    }

    @Test("A message never carries control characters of a stranger's text to the terminal")
    func message() throws {
        var reader = try JSONObjectReader(JSONValue.parse(#"{"\u001b[2J":1}"#, limit: 100), at: "d")
        #expect(reader.optional("other") == nil)
        let unknown = #expect(throws: JSONError.self) { try reader.finish() }
        #expect(unknown?.context == "d.?[2J: is not known to this version")
        let syntax = try #require(error("\"\u{1b}[2J\""))
        #expect(!syntax.context.utf8.contains { $0 < 0x20 || $0 == 0x7f })
    }
}
