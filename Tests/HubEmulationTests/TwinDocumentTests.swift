import StrictJSON
import Testing

@testable import HubEmulation

@Suite("Twin documents")
struct TwinDocumentTests {
    private func json(_ text: String) throws -> JSONValue { try JSONValue.parse(text, limit: 100_000) }

    /// RFC 7396, appendix A, whole.
    @Test(
        "Patches merge as in the table of RFC 7396",
        arguments: [
            (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
            (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
            (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
            (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
            (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#), (#"["a","b"]"#, #"["c","d"]"#, #"["c","d"]"#),
            (#"{"a":"b"}"#, #"["c"]"#, #"["c"]"#), (#"{"a":"foo"}"#, "null", "null"),
            (#"{"a":"foo"}"#, #""bar""#, #""bar""#), (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#),
            ("[1,2]", #"{"a":"b","c":null}"#, #"{"a":"b"}"#),
            ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
        ])
    func merges(original: String, patch: String, result: String) throws {
        #expect(try json(original).merging(json(patch)) == json(result))
    }

    @Test(
        "The patch between two documents makes the second of the first",
        arguments: [
            ("{}", #"{"a":1}"#), (#"{"a":1}"#, "{}"), (#"{"a":{"b":1,"c":[1]}}"#, #"{"a":{"c":[2]},"d":{}}"#),
            (#"{"a":{"b":1}}"#, #"{"a":2}"#), (#"{"a":2}"#, #"{"a":{"b":1}}"#), (#"{"a":1,"b":2}"#, #"{"a":1,"b":2}"#),
        ])
    func patches(old: String, new: String) throws {
        let patch = try json(old).mergePatch(to: json(new))
        #expect(try json(old).merging(patch) == json(new))
        if old == new { #expect(patch == .emptyObject) }
    }

    @Test(
        "What a twin cannot hold is named",
        arguments: [
            ("[]", "object"), (#"{"a.b":1}"#, "a.b"), (#"{"a$":1}"#, "a$"), (#"{"a b":1}"#, "a b"),
            (#"{"":1}"#, "key"), (#"{"a\u0085":1}"#, "control"), (#"{"a":[{"b c":1}]}"#, "b c"),
            (#"{"a":4503599627370496}"#, "4503599627370496"), (#"{"a":-4503599627370497}"#, "out of range"),
            ("{\"a\":\"" + String(repeating: "x", count: 4097) + "\"}", "4097"),
            (String(repeating: "{\"a\":", count: 11) + "1" + String(repeating: "}", count: 11), "nested"),
        ])
    func problems(patch: String, part: String) throws {
        let problem = try TwinLimits.problem(in: json(patch))
        #expect(problem?.contains(part) == true, "\(problem ?? "none")")
    }

    @Test("What a twin can hold is let in")
    func limits() throws {
        let deepest = String(repeating: "{\"a\":", count: 10) + "1" + String(repeating: "}", count: 10)
        for patch in [deepest, #"{"a":4503599627370495,"b":-4503599627370496,"ü_-:":[1.5,true,null]}"#] {
            #expect(try TwinLimits.problem(in: json(patch)) == nil)
        }
    }

    @Test("Bytes are counted as IoT Hub does")
    func sizes() throws {
        let section = try json(#"{"ab":"cü\n","n":1,"r":1.5,"t":true,"z":null,"o":{"k":[1,"x"]}}"#)
        // ab 2 + c 1 + ü 2, n 1 + 8, r 1 + 8, t 1 + 4, z 1, o 1 + k 1 + 8 + 1
        #expect(TwinLimits.size(section) == 5 + 9 + 9 + 5 + 1 + 11)
        #expect(TwinLimits.problem(ofSection: section, limit: 39) != nil)
        #expect(TwinLimits.problem(ofSection: section, limit: 40) == nil)
    }
}
