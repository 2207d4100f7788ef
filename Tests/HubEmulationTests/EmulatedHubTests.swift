import StrictJSON
import Testing

@testable import HubEmulation

@Suite("An emulated hub")
struct EmulatedHubTests {
    private let get = "$iothub/twin/GET/?$rid=1"
    private let report = "$iothub/twin/PATCH/properties/reported/?$rid=2"

    @Test("A client with the right token is let in and reads its twin")
    func connects() {
        var bench = HubBench()
        #expect(bench.connect().connectResults == [0])
        #expect(
            bench.publish(get).messages == [
                #"$iothub/twin/res/200/?$rid=1 {"desired":{"$version":1},"reported":{"$version":1}}"#
            ])
    }

    @Test(
        "Who is not the identity is refused",
        arguments: [
            ("gw/ota", "hub/gw/ota/?api-version=1", HubBench.token("hub/devices/gw")),
            ("gw/ota", "hub/gw/ota/?api-version=1", HubBench.token("other/devices/gw/modules/ota")),
            ("gw/ota", "hub/gw/ota/?api-version=1", HubBench.token("hub/devices/gw/modules/ota", expires: 1)),
            ("gw/ota", "hub/gw/?api-version=1", HubBench.token("hub/devices/gw/modules/ota")),
            ("gw/ota", "other/gw/ota/?api-version=1", HubBench.token("hub/devices/gw/modules/ota")),
            ("gw/ota", "hub/gw/ota/", HubBench.token("hub/devices/gw/modules/ota")),
            ("none", "hub/none/?api-version=1", HubBench.token("hub/devices/none")),
            ("gw/ota", "hub/gw/ota/?api-version=1", nil),
        ] as [(String, String, String?)])
    func refuses(client: String, user: String, password: String?) {
        var bench = HubBench()
        _ = bench.hub.handle(.opened(1, nil), at: bench.now)
        let effects = bench.receive(Packet.connect(client, user, password))
        #expect(effects.connectResults == [5])
        #expect(effects.closed == [1])
    }

    @Test("A session is kept for a client that asks for it, and forgotten for one that does not")
    func sessions() {
        var bench = HubBench()
        #expect(!bench.connect().sessionPresent)
        _ = bench.receive(Packet.disconnect)
        #expect(bench.connect(2).sessionPresent)
        _ = bench.receive(Packet.disconnect, 2)
        #expect(!bench.connect(3, clean: true).sessionPresent)
        _ = bench.receive(Packet.disconnect, 3)
        #expect(!bench.connect(4).sessionPresent)
    }

    @Test("A second client with the same identity ends the first, and that is counted")
    func takeover() {
        var bench = HubBench()
        _ = bench.connect(1)
        #expect(bench.connect(2).closed == [1])
        #expect(bench.hub.identities[HubIdentityName(device: "gw", module: "ota")]?.takeovers == 1)
        #expect(bench.publish(get, "", 2).messages.count == 1)
    }

    @Test("A connection ends with its token, and when nothing is heard for one and a half keep-alives")
    func ends() {
        var bench = HubBench()
        _ = bench.connect(1, expires: 1_700_000_050)
        #expect(bench.pass(seconds: 49).closed == [])
        #expect(bench.pass(seconds: 1).closed == [1])
        _ = bench.connect(2)
        #expect(bench.pass(seconds: 90).closed == [])
        #expect(bench.pass(seconds: 1).closed == [2])
    }

    @Test("More than five filters, other filters and quality 2 are not for devices")
    func filters() {
        var bench = HubBench()
        _ = bench.connect()
        func code(_ effects: [HubEffect]) -> UInt8? {
            guard case .send(_, let bytes, _)? = effects.first(where: { if case .send = $0 { true } else { false } })
            else { return nil }
            return bytes.last
        }
        #expect(code(bench.receive(Packet.subscribe("#"))) == 0x80)
        #expect(code(bench.receive(Packet.subscribe("devices/gw/modules/ota/#"))) == 1)
        #expect(code(bench.receive(Packet.subscribe("devices/gw/modules/ota/inputs/#"))) == 1)
        #expect(code(bench.receive(Packet.subscribe("devices/gw/modules/ota/messages/devicebound/#"))) == 0x80)
        #expect(bench.receive([0x34, 5, 0, 1, 0x61, 0, 1]).closed == [1])
    }

    @Test("Reported properties are merged, counted, and refused when a twin cannot hold them")
    func reports() {
        var bench = HubBench()
        _ = bench.connect()
        #expect(
            bench.publish(report, #"{"ota":{"a":1,"b":2}}"#).messages == ["$iothub/twin/res/204/?$rid=2&$version=2 "])
        #expect(bench.publish(report, #"{"ota":{"b":null}}"#).messages == ["$iothub/twin/res/204/?$rid=2&$version=3 "])
        #expect(bench.publish(report, "{").messages.first?.hasPrefix("$iothub/twin/res/400/?$rid=2") == true)
        #expect(bench.publish(report, #"{"a.b":1}"#).messages.first?.hasPrefix("$iothub/twin/res/400/?$rid=2") == true)
        #expect(bench.publish(get).messages[0].contains(#""reported":{"ota":{"a":1},"$version":3}"#))
    }

    @Test("Too many twin requests in a second get 429")
    func throttles() {
        var bench = HubBench(twinRequestsPerSecond: 2)
        _ = bench.connect()
        let statuses = (0..<3).map { _ in bench.publish(get).messages[0].split(separator: "/")[3] }
        #expect(statuses == ["200", "200", "429"])
        _ = bench.pass(seconds: 1)
        #expect(bench.publish(get).messages[0].contains("/200/"))
    }

    @Test("A method goes to the device and its answer to the caller")
    func methods() {
        var bench = HubBench()
        _ = bench.connect()
        let called = bench.call("POST", "twins/gw/modules/ota/methods", #"{"methodName":"m","payload":{"x":1}}"#)
        #expect(called.messages == [#"$iothub/methods/POST/m/?$rid=1 {"x":1}"#])
        #expect(called.responses.isEmpty)
        let answered = bench.publish("$iothub/methods/res/202/?$rid=1", #"{"y":2}"#)
        #expect(answered.responses.map(\.body) == [#"{"status":202,"payload":{"y":2}}"#])
        // Somebody else's answer, or a second one, is nothing.
        #expect(bench.publish("$iothub/methods/res/202/?$rid=1", "{}").responses.isEmpty)
    }

    @Test("Without the owner's token the service API is closed, and the page is not")
    func authorization() {
        var bench = HubBench()
        let bare = HTTPRequest(
            method: "GET", path: ["devices"], query: [:], headers: [:], body: [], closesConnection: false)
        #expect(bench.hub.handle(.request(9, bare), at: bench.now).responses.map(\.status) == [401])
        var page = bare
        page.path = []
        let shown = bench.hub.handle(.request(9, page), at: bench.now).responses
        #expect(shown.map(\.status) == [200])
        #expect(shown[0].body.contains("gw/ota"))
        #expect(!shown[0].body.contains("a2tra2tra2tr"))
    }

    @Test("The page shows what devices report as text, whatever is in it")
    func escaping() {
        var bench = HubBench()
        _ = bench.connect()
        _ = bench.publish(report, #"{"ota":{"phase":"<script>alert(1)</script>"}}"#)
        let page = HTTPRequest(method: "GET", path: [], query: [:], headers: [:], body: [], closesConnection: false)
        let body = bench.hub.handle(.request(9, page), at: bench.now).responses[0].body
        #expect(!body.contains("<script>"))
        #expect(body.contains("&lt;script&gt;"))
    }

    @Test("Of two configurations for the same section the one of higher priority is applied")
    func priorities() {
        var bench = HubBench()
        for (id, priority) in [("low", 1), ("high", 2)] {
            let made = bench.call(
                "PUT", "configurations/\(id)",
                """
                {"targetCondition":"*","priority":\(priority),
                 "content":{"deviceContent":{"properties.desired.ota":{"attempt":"\(id)"}}}}
                """)
            #expect(made.responses.map(\.status) == [200])
        }
        let twin = bench.hub.identities[HubIdentityName(device: "gw")]?.twin
        #expect(twin?.desired.compactText == #"{"ota":{"attempt":"high"}}"#)
        #expect(twin?.configurations == ["low": false, "high": true])
        // Applied once: time that goes by sends nothing again.
        let version = twin?.desiredVersion
        _ = bench.pass(seconds: 10)
        #expect(bench.hub.identities[HubIdentityName(device: "gw")]?.twin.desiredVersion == version)
    }

    @Test("All that matters outlives a restart")
    func persistence() throws {
        var bench = HubBench()
        _ = bench.connect()
        _ = bench.publish(report, #"{"ota":{"ratio":1.25}}"#)
        _ = bench.call("PATCH", "twins/gw/modules/ota", #"{"properties":{"desired":{"a":[1,2]}}}"#)
        _ = bench.call(
            "PUT", "configurations/c",
            #"{"targetCondition":"tags.x=1","content":{"deviceContent":{"properties.desired.ota":{}}}}"#)
        _ = bench.call("PUT", "enrollments/e", #"{"attestation":{"type":"tpm","tpm":{"endorsementKey":"AQIDBA=="}}}"#)
        _ = bench.call("PUT", "enrollmentGroups/g", #"{"attestation":{"type":"symmetricKey"}}"#)
        let stored = bench.hub.stored
        var other = HubBench()
        other.hub.identities = [:]
        #expect(try other.hub.restore(JSONValue.parse(stored.bytes, limit: 1_000_000)) == nil)
        #expect(other.hub.stored == stored)
        #expect(other.connect().sessionPresent)
        #expect(other.publish(get).messages[0].contains(#""reported":{"ota":{"ratio":1.25},"$version":2}"#))
    }

    @Test(
        "A state that was damaged is refused",
        arguments: ["{}", #"{"format":2}"#, #"{"format":1,"identities":[{"id":"a/b/c"}]}"#, "[]"])
    func damagedState(text: String) throws {
        var bench = HubBench()
        #expect(try bench.hub.restore(JSONValue.parse(text, limit: 1000)) != nil)
    }
}
