import Platform
import Testing

@testable import DeviceTwin

@Suite("Provisioning by a service") struct ProvisioningSessionTests {
    private static let second: UInt64 = 1_000_000_000
    private static let assigned =
        #"{"operationId":"4.a","status":"assigned","registrationState":{"assignedHub":"h.example","deviceId":"d-1"}}"#

    private func message(_ status: Int, _ request: Int, _ body: String, wait: Int? = nil) -> ProvisioningSession.Event {
        let more = wait.map { "&retry-after=\($0)" } ?? ""
        return .message(topic: "$dps/registrations/res/\(status)/?$rid=\(request)\(more)", payload: Array(body.utf8))
    }

    private func started() -> ProvisioningSession {
        var session = ProvisioningSession(registration: "d-1", at: 0)
        _ = session.handle(.connected, at: 0)
        return session
    }

    @Test("It registers, asks again after the pause that the service names, and ends with hub and device")
    func wholeWay() throws {
        var session = ProvisioningSession(registration: "d-1", at: 0)
        #expect(
            session.handle(.connected, at: 0) == [
                .subscribe("$dps/registrations/res/#"),
                .publish(
                    topic: "$dps/registrations/PUT/iotdps-register/?$rid=1", payload: #"{"registrationId":"d-1"}"#),
            ])
        let assigning = #"{"operationId":"4.a.b","status":"assigning"}"#
        #expect(session.handle(message(202, 1, assigning, wait: 5), at: 0).isEmpty)
        #expect(session.handle(.tick, at: 4 * Self.second).isEmpty)
        #expect(
            session.handle(.tick, at: 5 * Self.second) == [
                .publish(
                    topic: "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=4.a.b", payload: " ")
            ])
        // The answer to the first question, once more.
        #expect(session.handle(message(202, 1, assigning), at: 5 * Self.second).isEmpty)
        let end = try #require(Assignment(hub: "h.example", device: "d-1"))
        #expect(session.handle(message(200, 2, Self.assigned), at: 6 * Self.second) == [.finish(end)])
        #expect(session.handle(.tick, at: 900 * Self.second).isEmpty)
    }

    static let ends: [(name: String, status: Int, body: String, error: ProvisioningError)] = [
        ("a wrong key", 401, #"{"errorCode":401002}"#, .unauthorized),
        ("no such scope", 404, #"{"message":"no scope"}"#, .refused(status: 404, "no scope")),
        ("no words", 400, "", .refused(status: 400, "no reason given")),
        (
            "a failed assignment", 200,
            #"{"operationId":"4","status":"failed","registrationState":{"errorCode":400207,"errorMessage":"no hub"}}"#,
            .refused(status: 400_207, "no hub")
        ),
        ("no JSON", 200, "<html>", .badAnswer), ("no operation", 202, #"{"status":"assigning"}"#, .badAnswer),
        ("an operation that is no word", 202, #"{"operationId":"a/b#","status":"assigning"}"#, .badAnswer),
        ("no hub", 200, #"{"status":"assigned","registrationState":{"deviceId":"d"}}"#, .badAnswer),
        (
            "a hub that is no name", 200,
            #"{"status":"assigned","registrationState":{"deviceId":"d","assignedHub":"a b/c"}}"#, .badAnswer
        ),
        ("another state", 200, #"{"status":"dreaming"}"#, .badAnswer),
    ]

    @Test("What assigns no hub ends it with its own error", arguments: ends)
    func refused(_ name: String, _ status: Int, _ body: String, _ error: ProvisioningError) {
        var session = started()
        #expect(session.handle(message(status, 1, body), at: 1) == [.fail(error)])
    }

    @Test("A service that is busy is asked again, and one that is silent is given up", arguments: [429, 500, 503])
    func busy(_ status: Int) {
        var session = started()
        #expect(session.handle(message(status, 1, "", wait: 7), at: 0).isEmpty)
        let again = session.handle(.tick, at: 7 * Self.second)
        #expect(again.count == 1)
        #expect(session.handle(.tick, at: 36 * Self.second).isEmpty)
        #expect(session.handle(.tick, at: 37 * Self.second) == [.fail(.silent)])
        var other = ProvisioningSession(registration: "d-1", at: 0)
        #expect(other.handle(.tick, at: 30 * Self.second) == [.fail(.silent)])
    }

    @Test("A device's key in a group is what the service makes of it")
    func groupKey() {
        // Made with Python's hmac: HMAC-SHA256 of "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6" with 32 bytes "k".
        let key = SharedAccessSignature.deviceKey(
            group: [UInt8](repeating: 0x6b, count: 32), registration: "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6")
        #expect(Base64.encode(key) == "aRbxE0vUjHhBS118jjo9d5ClEk6n4WbFEmO/nALFx3Q=")
    }
}
