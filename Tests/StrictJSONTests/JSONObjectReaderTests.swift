import StrictJSON
import Testing

@Suite("Taking objects apart")
struct JSONObjectReaderTests {
    private func reader(_ text: String) throws -> JSONObjectReader {
        try JSONObjectReader(JSONValue.parse(text, limit: 10_000), at: "doc")
    }

    private func error(_ text: String, _ body: (inout JSONObjectReader) throws -> Void) throws -> JSONError? {
        var reader = try reader(text)
        do { try body(&reader) } catch let error as JSONError { return error }
        return nil
    }

    @Test("What was taken is known, and what was not is refused with its place")
    func finish() throws {
        var all = try reader(#"{"a":1,"x-b":2}"#)
        #expect(try all.integer("a", in: 1...1) == 1)
        try all.finish()
        let error = try error(#"{"a":1}"#) { try $0.finish() }
        #expect(error == JSONError(.unknownMember, at: "doc.a", "is not known to this version"))
    }

    @Test("Only an object can be taken apart", arguments: ["[]", "1", "null", "\"a\""])
    func notAnObject(text: String) {
        #expect(throws: JSONError.self) { try reader(text) }
    }

    @Test("Integers hold to both ends of the range", arguments: [(0, true), (1, false), (5, false), (6, true)])
    func integers(value: Int, refused: Bool) throws {
        let error = try error("{\"a\":\(value)}") { _ = try $0.integer("a", in: 1...5) }
        #expect(error?.kind == (refused ? .outOfBounds : nil))
    }

    @Test(
        "Texts have 1 byte to the limit in UTF-8 and no control characters",
        arguments: [
            (#""""#, true), (#""a""#, false), (#""éé""#, false), (#""ééa""#, true), (#""a\nb""#, true),
            (#""\u007f""#, true), (#"" ""#, false),
        ])
    func texts(text: String, refused: Bool) throws {
        let error = try error("{\"a\":\(text)}") { _ = try $0.string("a", limit: 4) }
        #expect(error?.kind == (refused ? .outOfBounds : nil))
    }

    @Test(
        "Arrays hold to the number of elements",
        arguments: [("[]", true), ("[1]", false), ("[1,2]", false), ("[1,2,3]", true)])
    func arrays(text: String, refused: Bool) throws {
        let error = try error("{\"a\":\(text)}") { _ = try $0.array("a", count: 1...2) }
        #expect(error?.kind == (refused ? .outOfBounds : nil))
    }

    @Test("An optional member may be missing, and must be right when it is there")
    func optionals() throws {
        var none = try reader("{}")
        #expect(try none.optionalString("a", limit: 1) == nil)
        #expect(try none.optionalInteger("a", in: 0...0) == nil)
        #expect(try none.optionalBool("a") == nil)
        #expect(try none.optionalObject("a") == nil)
        #expect(try none.optionalArray("a", most: 0) == [])
        let text = #"{"a":null}"#
        #expect(try error(text) { _ = try $0.optionalString("a", limit: 1) }?.kind == .wrongType)
        #expect(try error(text) { _ = try $0.optionalInteger("a", in: 0...0) }?.kind == .wrongType)
        #expect(try error(text) { _ = try $0.optionalBool("a") }?.kind == .wrongType)
        #expect(try error(text) { _ = try $0.optionalObject("a") }?.kind == .wrongType)
        #expect(try error(text) { _ = try $0.optionalArray("a", most: 9) }?.kind == .wrongType)
    }

    @Test("Places of nested objects are told as a path")
    func places() throws {
        let error = try error(#"{"a":{"b":{}}}"#) { top in
            var a = try top.object("a")
            var b = try a.object("b")
            _ = try b.required("c")
        }
        #expect(error == JSONError(.missing, at: "doc.a.b.c", "is missing"))
    }
}
