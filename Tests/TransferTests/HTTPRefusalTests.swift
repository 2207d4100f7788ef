import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("An HTTP source refuses wrong answers", .needsHostileServer, .timeLimit(.minutes(1)))
struct HTTPRefusalTests {
    @Test(
        "A wrong answer is one clear error and no byte of it is delivered",
        arguments: [
            ("range-ignored", "transfer.ranges-ignored"),
            ("range-ignored-without-length", "transfer.ranges-ignored"),
            ("starts-late", "transfer.wrong-range"),
            ("ends-early", "transfer.wrong-range"),
            ("no-content-range", "transfer.wrong-range"),
            ("unknown-total", "transfer.wrong-range"),
            ("multipart", "transfer.wrong-range"),
            ("two-content-ranges", "transfer.unexpected-response"),
            ("wrong-length", "transfer.wrong-length"),
            ("gzip", "transfer.encoded"),
            ("gzip-same-length", "transfer.encoded"),
            ("page", "transfer.not-a-bundle"),
            ("endless-head", "transfer.unexpected-response"),
            ("no-http", "transfer.unexpected-response"),
            ("status/401", "transfer.denied"),
            ("status/403", "transfer.denied"),
            ("status/404", "transfer.not-found"),
            ("status/410", "transfer.not-found"),
            ("status/400", "transfer.unexpected-response"),
            ("status/204", "transfer.unexpected-response"),
            ("status/304", "transfer.unexpected-response"),
            ("status/416", "transfer.unexpected-response"),
            ("status/511", "transfer.not-a-bundle"),
        ])
    func refuses(scenario: String, code: String) throws {
        let (url, key) = try HostileServer.url(scenario)
        let reading = try Reading.of(source(url), 1000..<200_000)
        #expect(reading.error?.code == code)
        #expect(reading.error?.category == .network)
        #expect(reading.bytes.isEmpty)
        #expect(try HostileServer.requests(key).count == 1)
    }

    @Test("A body longer than announced is an error")
    func tooMuch() throws {
        let reading = try Reading.of(source(HostileServer.url("too-much").text), 0..<100_000)
        #expect(reading.error?.code == "transfer.wrong-length")
        #expect(reading.bytes == Array(ServedObject.bytes[..<reading.bytes.count]))
    }

    @Test(
        "An object that changes during a read is never spliced",
        arguments: ["changed-tag", "swapped", "changed-total"])
    func changes(scenario: String) throws {
        let (url, key) = try HostileServer.url(scenario)
        let reading = try Reading.of(source(url), 0..<ServedObject.length)
        #expect(reading.error?.code == "transfer.changed")
        #expect(reading.bytes == Array(ServedObject.bytes[..<100_000]))
        #expect(try HostileServer.requests(key).count == 2)
    }

    @Test("The object may not change between two reads either")
    func changesBetweenReads() throws {
        let source = try source(HostileServer.url("changed-tag").text)
        Reading.of(source, 0..<50_000).expect(0..<50_000)
        #expect(Reading.of(source, 50_000..<60_000).error?.code == "transfer.changed")
    }

    @Test("A strong entity tag goes back as If-Range, and identity is asked for every time")
    func strongTag() throws {
        let (url, key) = try HostileServer.url("cut/1000")
        try Reading.of(source(url), 0..<200_000).expect(0..<200_000)
        let requests = try HostileServer.requests(key)
        #expect(requests.map(\.ifRange) == [nil, "\"one\""])
        #expect(requests.map(\.acceptEncoding) == ["identity", "identity"])
    }

    @Test("A weak entity tag is never sent, and the length still ties the answers together")
    func weakTag() throws {
        let (url, key) = try HostileServer.url("weak")
        try Reading.of(source(url), 0..<200_000).expect(0..<200_000)
        #expect(try HostileServer.requests(key).map(\.ifRange) == [nil, nil])
    }

    @Test("A range behind the end is out of range, with the object's length")
    func outOfRange() throws {
        let (url, _) = try HostileServer.url("plain")
        let expected = TransferError.outOfRange(source: url, end: 400_010, length: ServedObject.length)
        #expect(try Reading.of(source(url), 400_000..<400_010).error == expected)
    }

    @Test("A range that reaches behind the end is out of range and delivers nothing")
    func reachesBehindEnd() throws {
        let (url, _) = try HostileServer.url("plain")
        let reading = try Reading.of(source(url), 299_000..<300_001)
        #expect(reading.error == .outOfRange(source: url, end: 300_001, length: ServedObject.length))
        #expect(reading.bytes.isEmpty)
    }

    @Test("With a known length no request is made for a range behind the end")
    func knownLength() throws {
        let (url, key) = try HostileServer.url("plain")
        let source = try source(url)
        Reading.of(source, 0..<10).expect(0..<10)
        #expect(Reading.of(source, 0..<300_001).error?.code == "transfer.out-of-range")
        #expect(try HostileServer.requests(key).count == 1)
    }

    @Test("What is available of a range comes, up to the end", arguments: ["plain", "cut-always", "whole"])
    func available(scenario: String) throws {
        let source = try source(HostileServer.url(scenario).text)
        Reading.of(source, 0..<1_000_000, available: true).expect(0..<ServedObject.length)
        #expect(source.totalLength == ServedObject.length)
    }

    @Test("Nothing is available behind the end")
    func availableBehindEnd() throws {
        let (url, _) = try HostileServer.url("plain")
        let reading = try Reading.of(source(url), 300_000..<300_001, available: true)
        #expect(reading.error == .outOfRange(source: url, end: 300_001, length: ServedObject.length))
    }

    @Test("Status 200 is right when the whole object was asked for")
    func wholeObject() throws {
        try Reading.of(source(HostileServer.url("whole").text), 0..<ServedObject.length)
            .expect(0..<ServedObject.length)
    }

    @Test("An empty range asks nobody")
    func emptyRange() throws {
        let (url, key) = try HostileServer.url("plain")
        try Reading.of(source(url), 7..<7).expect(7..<7)
        #expect(try HostileServer.requests(key).isEmpty)
    }

    @Test("Errors and names show neither credentials nor the query", arguments: ["status/403", "swapped", "to-file"])
    func secrets(scenario: String) throws {
        let (url, _) = try HostileServer.url(scenario, credentials: "gateway:hunter2@")
        let source = try source(url + "?sig=hunter2")
        let error = try #require(Reading.of(source, 0..<ServedObject.length).error)
        for text in [source.displayName, error.context, error.remedy, Failure(error).line] {
            #expect(!text.contains("hunter2") && !text.contains("gateway:") && !text.contains("sig="))
        }
        #expect(error.context.contains("127.0.0.1"))
    }
}
