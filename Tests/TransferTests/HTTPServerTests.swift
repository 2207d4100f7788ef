import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("An HTTP source reads from nginx", .needsNginx, .timeLimit(.minutes(1)))
struct HTTPServerTests {
    @Test("Ranges come exactly and in any order")
    func ranges() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes]) { server in
            let source = try source(server.url("object"))
            for range: Range<UInt64> in [0..<1, 299_999..<300_000, 65_535..<65_537, 0..<300_000, 123..<234_567] {
                Reading.of(source, range).expect(range)
            }
            #expect(source.totalLength == ServedObject.length)
            #expect(source.bytesReceived == 1 + 1 + 2 + 300_000 + 234_444)
        }
    }

    @Test("All ranges go over one connection")
    func keepAlive() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes]) { server in
            let source = try source(server.url("object"))
            for first: UInt64 in [0, 100_000, 7, 299_000] {
                Reading.of(source, first..<first + 10).expect(first..<first + 10)
            }
            let requests = try server.requests(4)
            #expect(requests.map(\.range) == ["bytes=0-9", "bytes=100000-100009", "bytes=7-16", "bytes=299000-299009"])
            #expect(Set(requests.map(\.connection)).count == 1)
        }
    }

    @Test("A head longer than the object is the whole object")
    func head() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes]) { server in
            let source = try source(server.url("object"))
            Reading.of(source, 0..<1_048_576, available: true).expect(0..<ServedObject.length)
            #expect(source.totalLength == ServedObject.length)
        }
    }

    @Test("A file that is not there is not found")
    func notFound() throws {
        try LocalServer.run(files: [:]) { server in
            let reading = try Reading.of(source(server.url("object")), 0..<10)
            #expect(reading.error?.code == "transfer.not-found")
        }
    }

    @Test("An empty file is out of range", arguments: [true, false])
    func emptyFile(available: Bool) throws {
        try LocalServer.run(files: ["empty": []]) { server in
            let source = try source(server.url("empty"))
            #expect(Reading.of(source, 0..<10, available: available).error?.code == "transfer.out-of-range")
        }
    }

    @Test("A range behind the end is out of range")
    func behindEnd() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes]) { server in
            let url = server.url("object")
            let expected = TransferError.outOfRange(source: url, end: 300_011, length: ServedObject.length)
            let reading = try Reading.of(source(url), 300_001..<300_011)
            #expect(reading.error == expected)
        }
    }

    @Test("TLS works with the given certificate authority")
    func tls() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes], tls: true) { server in
            var options = HTTPOptions.quick
            options.certificateAuthorities = server.certificate
            try Reading.of(source(server.secureURL("object"), options), 5..<200_000).expect(5..<200_000)
        }
    }

    @Test("An unknown certificate is refused at once")
    func unknownCertificate() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes], tls: true) { server in
            let reading = try Reading.of(source(server.secureURL("object")), 0..<10)
            #expect(reading.error?.code == "transfer.tls")
            #expect(reading.error?.category == .network)
            #expect(reading.bytes.isEmpty)
        }
    }

    @Test("A redirect from https to http is refused")
    func downgrade() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes], tls: true) { server in
            var options = HTTPOptions.quick
            options.certificateAuthorities = server.certificate
            let reading = try Reading.of(source(server.secureURL("downgrade/object"), options), 0..<10)
            #expect(reading.error?.code == "transfer.redirect")
        }
    }

    @Test("A redirect from http over https back to http is refused", .needsHostileServer)
    func downgradeBehindUpgrade() throws {
        try LocalServer.run(files: ["object": ServedObject.bytes], tls: true) { server in
            let (url, _) = try HostileServer.url("secure/\(server.port)")
            var options = HTTPOptions.quick
            options.certificateAuthorities = server.certificate
            let reading = try Reading.of(source(url, options), 0..<10)
            #expect(reading.error?.code == "transfer.redirect")
        }
    }
}
