import StrictJSON
import Testing

@Suite("Writing JSON")
struct JSONWritingTests {
    @Test("Every character up to U+00FF and beyond comes back, in names and in values")
    func roundTrip() throws {
        var text = "\u{2028}\u{1f600}\u{10ffff}\u{7f}"
        // U+0000 is the one character that no Kedge document can have.
        for scalar in 1...255 { text.unicodeScalars.append(Unicode.Scalar(scalar)!) }
        let value = JSONValue.members([(text, .string(text))])
        #expect(try JSONValue.parse(value.bytes, limit: 10_000) == value)
        #expect(try JSONValue.parse(value.prettyText, limit: 10_000) == value)
    }

    @Test(
        "The compact form has one spelling",
        arguments: [
            (.null, "null"), (.bool(true), "true"), (.bool(false), "false"), (.integer(.min), "-9223372036854775808"),
            (.integer(.max), "9223372036854775807"), (.string(#"a"\/b"#), #""a\"\\/b""#),
            (.string("\u{1}\n\t\u{1f}é"), #""\u0001\n\u0009\u001fé""#), (.array([]), "[]"), (.members([]), "{}"),
            (.array([.integer(1), .array([.null])]), "[1,[null]]"),
            (.members([("b", .integer(1)), ("a", .members([("c", .string(""))]))]), #"{"b":1,"a":{"c":""}}"#),
        ] as [(JSONValue, String)])
    func compact(value: JSONValue, text: String) throws {
        #expect(value.compactText == text)
        #expect(value.bytes == Array(text.utf8))
        #expect(try JSONValue.parse(text, limit: 1000) == value)
    }

    @Test("A real is written as it was read")
    func real() {
        #expect(JSONValue.array([.real("1.5")]).compactText == "[1.5]")
    }

    @Test("The pretty form puts every member on its own line")
    func pretty() {
        let value = JSONValue.members([("a", .array([.integer(1), .integer(2)])), ("b", .members([]))])
        #expect(value.prettyText == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}")
    }
}
