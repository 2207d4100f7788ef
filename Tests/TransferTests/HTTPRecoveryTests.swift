import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("An HTTP source continues after breaks", .needsHostileServer, .timeLimit(.minutes(1)))
struct HTTPRecoveryTests {
    @Test(
        "A connection that breaks is made again and every byte comes once",
        arguments: [
            "cut/0", "cut/1", "cut/16384", "cut/199999", "reset", "reset-first", "cut-always", "cut-close-delimited",
            "storm", "slow-down",
        ])
    func continues(scenario: String) throws {
        var options = HTTPOptions.quick
        options.attemptsWithoutProgress = 4
        let source = try source(HostileServer.url(scenario).text, options, time: SkippingTime())
        Reading.of(source, 50_000..<250_000).expect(50_000..<250_000)
    }

    @Test("Correct answers of unusual form are taken", arguments: ["plain", "close-delimited", "chunked", "interim"])
    func unusual(scenario: String) throws {
        let source = try source(HostileServer.url(scenario).text)
        Reading.of(source, 1..<299_999).expect(1..<299_999)
        #expect(source.totalLength == ServedObject.length)
    }

    @Test("The next request begins behind the last delivered byte")
    func rangesContinue() throws {
        let (url, key) = try HostileServer.url("cut-always")
        let source = try source(url)
        Reading.of(source, 1000..<91_000).expect(1000..<91_000)
        let ranges = try HostileServer.requests(key).map(\.range)
        #expect(ranges == ["bytes=1000-90999", "bytes=41000-90999", "bytes=81000-90999"])
    }

    @Test("Delivered bytes start the count of fruitless tries again")
    func progressResetsBudget() throws {
        var options = HTTPOptions.quick
        options.attemptsWithoutProgress = 2
        let source = try source(HostileServer.url("cut-always").text, options)
        Reading.of(source, 0..<ServedObject.length).expect(0..<ServedObject.length)
    }

    @Test("Bytes received count wasted ones too")
    func bytesReceived() throws {
        let source = try source(HostileServer.url("slow-down").text, time: SkippingTime())
        Reading.of(source, 0..<1000).expect(0..<1000)
        #expect(source.bytesReceived == 1000 + 2)
    }

    @Test("A silent connection is given up at the stall limit and made again")
    func stallRecovers() throws {
        var options = HTTPOptions.quick
        options.stallMilliseconds = 50
        let source = try source(HostileServer.url("silence").text, options)
        Reading.of(source, 0..<200_000).expect(0..<200_000)
    }

    @Test("A server that never answers is a stall")
    func stallFails() throws {
        var options = HTTPOptions.quick
        options.stallMilliseconds = 20
        options.attemptsWithoutProgress = 2
        let (url, key) = try HostileServer.url("mute")
        #expect(try Reading.of(source(url, options), 0..<10).error?.code == "transfer.stalled")
        #expect(try HostileServer.requests(key).count == 2)
    }

    @Test("Retry-After is waited for before the next request")
    func retryAfter() throws {
        let time = SkippingTime()
        let source = try source(HostileServer.url("slow-down").text, time: time)
        Reading.of(source, 0..<10).expect(0..<10)
        #expect(time.skippedNanoseconds > 6_900_000_000)
    }

    @Test("Retry-After is not granted more than its cap")
    func retryAfterCap() throws {
        let time = SkippingTime()
        var options = HTTPOptions.quick
        options.retryAfterCapMilliseconds = 20_000
        let source = try source(HostileServer.url("come-back-much-later").text, options, time: time)
        Reading.of(source, 0..<10).expect(0..<10)
        #expect(time.skippedNanoseconds > 19_900_000_000)
        #expect(time.skippedNanoseconds < 20_010_000_000)
    }

    @Test(
        "When the tries are used up the last cause is the error",
        arguments: [("busy", "transfer.server-failed"), ("reset-always", "transfer.interrupted")])
    func givesUp(scenario: String, code: String) throws {
        let (url, key) = try HostileServer.url(scenario)
        let reading = try Reading.of(source(url), 0..<10)
        #expect(reading.error?.code == code)
        #expect(reading.bytes.isEmpty)
        #expect(try HostileServer.requests(key).count == 3)
    }

    @Test("The deadline of a source counts over its tries, its waits and what comes", arguments: ["crumbs", "busy"])
    func deadline(scenario: String) throws {
        let (url, _) = try HostileServer.url(scenario)
        var options = HTTPOptions.quick
        options.attemptsWithoutProgress = 1_000_000
        options.retryBudget = 1_000_000
        options.deadlineMilliseconds = 30_000
        options.backOffBaseMilliseconds = 1000
        options.backOffCapMilliseconds = 1000
        let reading = Reading.of(try source(url, options, time: SkippingTime()), 0..<100_000)
        #expect(reading.error?.code == "transfer.deadline")
    }

    @Test("A server that takes the connection and says nothing to the TLS handshake is given up")
    func muteHandshake() throws {
        let url = try HostileServer.url("plain").text.replacing("http:", with: "https:")
        var options = HTTPOptions.quick
        options.attemptsWithoutProgress = 2
        options.connectTimeoutMilliseconds = 100
        #expect(Reading.of(try source(url, options), 0..<10).error?.code == "transfer.unreachable")
    }

    @Test("A refused connection is unreachable")
    func refused() throws {
        let reading = try Reading.of(source("http://127.0.0.1:\(freePort())/bundle"), 0..<10)
        #expect(reading.error?.code == "transfer.unreachable")
        #expect(reading.error?.category == .network)
    }

    @Test("A name without an address is unresolved")
    func unresolved() throws {
        var options = HTTPOptions.quick
        options.attemptsWithoutProgress = 1
        let reading = try Reading.of(source("http://bundle.invalid/bundle", options), 0..<10)
        #expect(reading.error?.code == "transfer.unresolved")
    }
}
