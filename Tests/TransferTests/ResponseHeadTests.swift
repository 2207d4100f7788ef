import Testing

@testable import Transfer

@Suite("The parts of a response's head")
struct ResponseHeadTests {
    @Test(
        "A Content-Range is exact or unusable",
        arguments: [
            ("bytes 0-0/1", ContentRange.part(first: 0, last: 0, total: 1)),
            ("Bytes 5-9/18446744073709551615", .part(first: 5, last: 9, total: .max)),
            ("bytes */7", .unsatisfied(total: 7)),
            ("bytes 0-9/*", .unusable), ("bytes 9-0/20", .unusable), ("bytes 0-20/20", .unusable),
            ("bytes=0-9/20", .unusable), ("bytes 0-9", .unusable), ("items 0-9/20", .unusable),
            ("bytes +0-9/20", .unusable), ("bytes -1-9/20", .unusable), ("bytes 0-9/20 ", .unusable),
            ("bytes 0-9/18446744073709551616", .unusable), ("bytes ", .unusable), ("", .unusable),
        ])
    func contentRange(text: String, expected: ContentRange) {
        #expect(ContentRange(Array(text.utf8)[...]) == expected)
    }

    @Test(
        "Only a strong entity tag has a text to send back",
        arguments: [
            ("\"abc\"", "\"abc\""), ("\"\"", "\"\""), ("W/\"abc\"", nil), ("abc", nil), ("\"a\"b\"", nil),
            ("\"a b\"", nil), ("\"", nil),
        ])
    func entityTag(text: String, strong: String?) {
        #expect(EntityTag(Array(text.utf8)[...])?.strongText == strong)
    }

    @Test("Header names are compared without case and values are trimmed")
    func names() throws {
        var head = try #require(ResponseHead(statusLine: Array("HTTP/1.1 206 Partial Content\r\n".utf8)))
        for line in [
            "CONTENT-LENGTH:  12 \r\n", "etag:\t\"x\"\r\n", "Content-Encoding: identity\r\n", "Retry-After: 9\r\n",
        ] {
            head.take(Array(line.utf8))
        }
        #expect(head.status == 206)
        #expect(head.contentLength == 12)
        #expect(head.entityTag?.strongText == "\"x\"")
        #expect(!head.isEncoded && !head.isContradictory)
        #expect(head.retryAfterSeconds == 9)
    }

    @Test("Repeated headers must agree", arguments: [("5", "5", false), ("5", "6", true), ("5", "five", true)])
    func repeated(first: String, second: String, contradictory: Bool) throws {
        var head = try #require(ResponseHead(statusLine: Array("HTTP/1.1 200 OK\r\n".utf8)))
        head.take(Array("Content-Length: \(first)\r\n".utf8))
        head.take(Array("Content-Length: \(second)\r\n".utf8))
        #expect(head.isContradictory == contradictory)
    }

    @Test("A line that is no status line starts no head", arguments: ["", "HTTP/1.1", "HTTP/1.1 2x6 No", "ETag: 206"])
    func statusLine(text: String) {
        #expect(ResponseHead(statusLine: Array(text.utf8)) == nil)
    }
}
