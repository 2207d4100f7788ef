import TestSupport
import Testing

@testable import Transfer

@Suite("An HTTP source follows redirects with care", .needsHostileServer, .timeLimit(.minutes(1)))
struct HTTPRedirectTests {
    @Test("A redirect loop ends at the sixth redirect")
    func loop() throws {
        let (url, key) = try HostileServer.url("loop")
        #expect(try Reading.of(source(url), 0..<10).error?.code == "transfer.redirect")
        #expect(try HostileServer.requests(key).count == 6)
    }

    @Test("A redirect to another host is followed without the credentials")
    func otherHost() throws {
        let (url, key) = try HostileServer.url("to/127.0.0.2", credentials: "gateway:hunter2@")
        try Reading.of(source(url), 100..<200).expect(100..<200)
        let requests = try HostileServer.requests(key)
        #expect(requests.map(\.address) == ["127.0.0.1", "127.0.0.2"])
        #expect(requests[0].authorization?.hasPrefix("Basic ") == true)
        #expect(requests[1].authorization == nil)
    }

    @Test("A redirect on the same host keeps the credentials and the range")
    func sameHost() throws {
        let (url, key) = try HostileServer.url("to/127.0.0.1", credentials: "gateway:hunter2@")
        try Reading.of(source(url), 100..<200).expect(100..<200)
        let requests = try HostileServer.requests(key)
        #expect(requests.map(\.range) == ["bytes=100-199", "bytes=100-199"])
        #expect(requests[1].authorization == requests[0].authorization)
    }

    @Test("A redirect to another kind of address is refused")
    func otherScheme() throws {
        let reading = try Reading.of(source(HostileServer.url("to-file").text), 0..<10)
        #expect(reading.error?.code == "transfer.redirect")
        #expect(reading.bytes.isEmpty)
    }
}
