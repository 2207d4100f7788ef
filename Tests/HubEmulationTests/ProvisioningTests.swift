import Platform
import StrictJSON
import Testing

@testable import HubEmulation

@Suite("Provisioning by enrollments")
struct ProvisioningTests {
    private static let secrets = ["a": Array("aaaaaaaaaaaaaaaa".utf8), "b": Array("bbbbbbbbbbbbbbbb".utf8)]

    /// A hub with the groups `a` and `b`, whose devices get different tags, and what the client `gw-1` signs with.
    private func bench(disabled: String? = nil) -> HubBench {
        var bench = HubBench()
        for (group, key) in Self.secrets.sorted(by: { $0.key < $1.key }) {
            let status = disabled == group ? "disabled" : "enabled"
            let made = bench.call(
                "PUT", "enrollmentGroups/\(group)",
                """
                {"attestation":{"type":"symmetricKey","symmetricKey":{"primaryKey":"\(Base64.encode(key))",
                 "secondaryKey":"\(Base64.encode(key))"}},"provisioningStatus":"\(status)",
                 "initialTwin":{"tags":{"group":"\(group)"}}}
                """)
            #expect(made.responses.map(\.status) == [200])
        }
        return bench
    }

    private func token(group: String) -> String {
        let named = PercentText.encode("scope/registrations/gw-1")
        let key = EmulatedHub.deviceKey(Self.secrets[group] ?? [], "gw-1")
        let code = MessageCode.sha256(key: key, Array("\(named)\n1700003600".utf8))
        return "SharedAccessSignature sr=\(named)&sig=\(PercentText.encode(Base64.encode(code)))&se=1700003600"
    }

    private func connect(_ bench: inout HubBench, group: String) -> [UInt8] {
        _ = bench.hub.handle(.opened(1, nil), at: bench.now)
        let user = "scope/registrations/gw-1/api-version=2019-03-31"
        return bench.receive(Packet.connect("gw-1", user, token(group: group))).connectResults
    }

    @Test("A device gets the key and the twin of the group that attested it, not of the first", arguments: ["a", "b"])
    func group(name: String) {
        var bench = bench()
        #expect(connect(&bench, group: name) == [0])
        _ = bench.publish("$dps/registrations/PUT/iotdps-register/?$rid=1", "{}")
        let made = bench.hub.identities[HubIdentityName(device: "gw-1")]
        let key = EmulatedHub.deviceKey(Self.secrets[name] ?? [], "gw-1")
        #expect(made?.credential == .keys(primary: key, secondary: key))
        #expect(made?.twin.tags.compactText == #"{"group":"\#(name)"}"#)
    }

    @Test("The same holds over HTTPS", arguments: ["a", "b"])
    func groupOverHTTPS(name: String) {
        var bench = bench()
        let request = HTTPRequest(
            method: "PUT", path: ["scope", "registrations", "gw-1", "register"], query: [:],
            headers: ["authorization": token(group: name)], body: Array("{}".utf8), closesConnection: false)
        let effects = bench.hub.handle(.request(9, request), at: bench.now)
        #expect(effects.responses.map(\.status) == [202])
        let made = bench.hub.identities[HubIdentityName(device: "gw-1")]
        #expect(made?.twin.tags.compactText == #"{"group":"\#(name)"}"#)
    }

    @Test("A disabled group lets nobody in, and the other still does")
    func disabled() {
        var bench = bench(disabled: "a")
        #expect(connect(&bench, group: "a") == [5])
        #expect(connect(&bench, group: "b") == [0])
    }

    @Test("Groups and enrollments of one name are kept apart, and outlive a restart")
    func kinds() throws {
        var bench = bench()
        let sent = #"{"attestation":{"type":"symmetricKey"},"deviceId":"d"}"#
        #expect(bench.call("PUT", "enrollments/a", sent).responses.map(\.status) == [200])
        #expect(bench.call("DELETE", "enrollmentGroups/a").responses.map(\.status) == [204])
        let one = try #require(bench.call("GET", "enrollments/a").responses.first)
        #expect(one.body.hasPrefix(#"{"registrationId":"a","deviceId":"d","#))
        #expect(bench.call("GET", "enrollmentGroups/a").responses.map(\.status) == [404])
        let stored = bench.hub.stored
        var other = HubBench()
        other.hub.identities = [:]
        #expect(try other.hub.restore(JSONValue.parse(stored.bytes, limit: 1_000_000)) == nil)
        #expect(other.hub.enrollments == bench.hub.enrollments)
    }
}
