import Foundation
import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("An HTTP source reads ahead", .needsNginx, .needsHostileServer, .timeLimit(.minutes(1)))
struct ReadAheadTests {
    private static let ranges: [Range<UInt64>] = [
        0..<1000, 40_000..<100_000, 150_000..<150_001, 160_000..<290_000, 290_500..<300_000,
    ]

    /// Reads all ranges, each with the next one announced.
    private func readAll(_ source: any BundleSource) {
        for (index, range) in Self.ranges.enumerated() {
            if index + 1 < Self.ranges.count { source.announce(Self.ranges[index + 1]) }
            Reading.of(source, range).expect(range)
        }
    }

    private func headers(_ ranges: [Range<UInt64>]) -> [String] {
        ranges.map { "bytes=\($0.lowerBound)-\($0.upperBound - 1)" }
    }

    @Test(
        "What is announced is asked for once, over two kept connections at most, and comes in its turn",
        arguments: [true, false])
    func twoConnections(two: Bool) throws {
        try withTemporaryDirectory { directory in
            let certificates = try TestCertificates(in: directory)
            try LocalServer.run(files: ["object": ServedObject.bytes], identity: certificates) { server in
                var options = HTTPOptions.quick
                options.certificateAuthorities = certificates.authority
                options.clientCertificate = certificates.client
                options.clientKey = certificates.clientKey
                options.allowsHTTP2 = two
                let source = try source(server.secureURL("object"), options)
                Reading.of(source, 0..<10, available: true).expect(0..<10)
                readAll(source)
                let requests = try server.requests(Self.ranges.count + 1)
                #expect(Set(requests.map(\.range)) == Set(headers(Self.ranges) + ["bytes=0-9"]))
                #expect(requests.count == Self.ranges.count + 1)
                #expect((1...2).contains(Set(requests.map(\.connection)).count))
                #expect(source.bytesReceived == Self.ranges.reduce(10) { $0 + UInt64($1.count) })
            }
        }
    }

    @Test("What is announced is asked for while the answer before it is still to come")
    func overlap() throws {
        let (url, key) = try HostileServer.url("waits-for-next")
        let source = try source(url)
        Reading.of(source, 0..<10, available: true).expect(0..<10)
        source.announce(40_000..<50_000)
        Reading.of(source, 2000..<30_000).expect(2000..<30_000)
        Reading.of(source, 40_000..<50_000).expect(40_000..<50_000)
        #expect(try HostileServer.requests(key).count == 3)
    }

    @Test("Without an announcement there is one connection")
    func oneConnection() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes]) { server in
            let source = try source(server.url("object"))
            for range in Self.ranges { Reading.of(source, range).expect(range) }
            #expect(try Set(server.requests(Self.ranges.count).map(\.connection)).count == 1)
        }
    }

    @Test("A read that is not the announced one gives up what was asked for, and is right")
    func otherRead() throws {
        let (url, _) = try HostileServer.url("plain")
        let source = try source(url)
        Reading.of(source, 0..<10, available: true).expect(0..<10)
        source.announce(200_000..<300_000)
        Reading.of(source, 1000..<2000).expect(1000..<2000)
        Reading.of(source, 5000..<250_000).expect(5000..<250_000)
        #expect(source.bytesReceived == 10 + 1000 + 245_000)
    }

    /// On a loaded machine an answer may be there before anything can be asked for beside it: so many tries.
    private static let tries = 20

    @Test("Of a long range the first MiB is asked for ahead, and the rest in that one's turn")
    func longRange() throws {
        let mega = 1 << 20
        let bytes: [UInt8] = (0..<6 * mega).map { UInt8(truncatingIfNeeded: $0 * 31 + ($0 >> 8) * 17 + ($0 >> 16)) }
        try LocalServer.run(files: ["object": bytes]) { server in
            let source = try source(server.url("object"))
            _ = Reading.of(source, 0..<10, available: true)
            var count = 1
            for number in 1...Self.tries {
                source.announce(UInt64(2 * mega)..<UInt64(6 * mega))
                #expect(Reading.of(source, 0..<UInt64(mega)).bytes == Array(bytes[..<mega]))
                #expect(Reading.of(source, UInt64(2 * mega)..<UInt64(6 * mega)).bytes == Array(bytes[(2 * mega)...]))
                #expect(source.bytesReceived == UInt64(10 + number * 5 * mega))
                count += 2
                let ranges = try server.requests(count).suffix(2).map(\.range)
                if ranges.contains(headers([3 * UInt64(mega)..<6 * UInt64(mega)])[0]) { return }
            }
            Issue.record("nothing was asked for ahead")
        }
    }

    @Test("An answer that is given up before its turn cost 1 MiB at most, however much memory its socket has")
    func givenUp() throws {
        let size = 96 << 20
        try LocalServer.run(files: ["object": [UInt8](repeating: 7, count: size)]) { server in
            let source = try source(server.url("object"))
            func read(_ range: Range<UInt64>) throws { try source.read(range) { (_) throws(TransferError) in } }
            try source.readAvailable(0..<10) { (_) throws(TransferError) in }
            // Both connections bring much, so that the kernel gives their sockets all the memory it gives.
            source.announce(16 << 20..<40 << 20)
            try read(0..<16 << 20)
            source.announce(46 << 20..<47 << 20)
            try read(16 << 20..<40 << 20)
            let first = UInt64(48 << 20)
            let wanted = headers([first..<first + HTTPSource.aheadBytes])[0]
            for _ in 0..<Self.tries {
                source.announce(first..<UInt64(size))
                try read(46 << 20..<47 << 20)
                // Time for all that will come.
                usleep(200_000)
                try read(0..<10)
                guard let dropped = try server.requests(4).first(where: { $0.range == wanted }) else { continue }
                #expect(dropped.bytes <= HTTPSource.aheadBytes, "\(dropped.bytes) bytes")
                return try OutcomeTable.transfers.add([
                    "answer given up before its turn", "read right", "-", "\(dropped.bytes)",
                    "\(HTTPSource.aheadBytes)",
                ])
            }
            Issue.record("nothing was asked for ahead")
        }
    }

    @Test("A server that refuses a second request is asked in turn, and the refusal costs no try and no wait")
    func refused() throws {
        let (url, key) = try HostileServer.url("refuses-ahead/40000")
        var options = HTTPOptions.quick
        options.attemptsWithoutProgress = 1
        let source = try source(url, options)
        Reading.of(source, 0..<1000).expect(0..<1000)
        source.announce(40_000..<50_000)
        Reading.of(source, 2000..<30_000).expect(2000..<30_000)
        Reading.of(source, 40_000..<50_000).expect(40_000..<50_000)
        let requests = try HostileServer.requests(key).compactMap(\.range).sorted()
        #expect(requests == ["bytes=0-999", "bytes=2000-29999", "bytes=40000-49999", "bytes=40000-49999"])
    }

    @Test(
        "Where connections break, the announced bytes still come right",
        arguments: ["cut/5000", "cut-always", "reset", "close-delimited", "chunked", "flipped"])
    func breaks(scenario: String) throws {
        var options = HTTPOptions.quick
        options.attemptsWithoutProgress = 8
        let source = try source(HostileServer.url(scenario).text, options)
        if scenario == "flipped" {
            source.announce(160_000..<170_000)
            _ = Reading.of(source, 140_000..<160_000)
            #expect(source.reject(140_000..<160_000) == .afresh)
            Reading.of(source, 140_000..<160_000).expect(140_000..<160_000)
        }
        readAll(source)
    }

    @Test("A reader that stops, and a cancel, end it with an answer still waiting")
    func stops() throws {
        let (url, _) = try HostileServer.url("plain")
        let source = try source(url)
        Reading.of(source, 0..<10, available: true).expect(0..<10)
        source.announce(200_000..<300_000)
        #expect(throws: TransferError.stopped) {
            try source.read(1000..<150_000) { (_) throws(TransferError) in throw .stopped }
        }
        Reading.of(source, 200_000..<300_000).expect(200_000..<300_000)
        source.announce(0..<1000)
        Reading.of(source, 1000..<2000).expect(1000..<2000)
        #expect(throws: TransferError.stopped) {
            try source.read(0..<1000) { (_) throws(TransferError) in throw .stopped }
        }
        source.announce(0..<1000)
        Reading.of(source, 1000..<2000).expect(1000..<2000)
        source.cancel()
        #expect(Reading.of(source, 0..<1000).error == .canceled)
    }

    @Test("Nothing is asked for ahead of a byte budget")
    func budget() throws {
        let (url, key) = try HostileServer.url("plain")
        var rules = NetworkRules()
        rules.cellular.budget = 1 << 20
        final class Cellular: NetworkClassProbe { func currentClass() -> NetworkClass { .cellular } }
        final class Store: TrafficStore {
            func readTraffic() throws(SystemError) -> [UInt8]? { nil }
            func writeTraffic(_ bytes: [UInt8]) throws(SystemError) {}
        }
        let meter = NetworkMeter(rules, probe: Cellular(), store: Store(), time: SystemTime(), minuteOfDay: { _ in 0 })
        let metered = MeteredSource(try source(url), meter: meter, time: SystemTime())
        Reading.of(metered, 0..<10, available: true).expect(0..<10)
        metered.announce(200_000..<300_000)
        Reading.of(metered, 1000..<2000).expect(1000..<2000)
        #expect(try HostileServer.requests(key).count == 2)
    }
}
