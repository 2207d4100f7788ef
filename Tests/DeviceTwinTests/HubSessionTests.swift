import Platform
import StrictJSON
import Testing

@testable import DeviceTwin

/// A session with somebody who plays the hub by hand. Time in seconds.
private struct HubBench {
    var session: HubSession
    var now: UInt64 = 1000
    var effects: [HubSession.Effect] = []

    init(_ settings: HubSession.Settings = HubSession.Settings(hasToken: true), kept: JSONValue? = nil) {
        session = HubSession(settings, seed: 7, kept: kept)
    }

    mutating func give(_ event: HubSession.Event) { effects += session.handle(event, at: now * 1_000_000_000) }

    mutating func give(_ topic: String, _ text: String = "") {
        give(.message(topic: topic, payload: Array(text.utf8)))
    }

    mutating func pass(_ seconds: UInt64) {
        for _ in 0..<seconds {
            now += 1
            give(.tick)
        }
    }

    /// What was to be done since the last look.
    mutating func look() -> [HubSession.Effect] {
        defer { effects = [] }
        return effects
    }

    var isConnecting: Bool { if case .connecting = session.link { true } else { false } }

    /// Waits until it connects, and lets it in; the seconds that it waited.
    @discardableResult
    mutating func connect() -> UInt64 {
        let start = now
        give(.tick)
        while !isConnecting, now - start < 2000 { pass(1) }
        give(.connected)
        return now - start
    }

    /// Connects and answers the first GET.
    mutating func open(_ desired: String = #"{"$version":1}"#, reported: String = #"{"$version":1}"#) {
        connect()
        answer(body: #"{"desired":\#(desired),"reported":\#(reported)}"#)
    }

    /// The id of the last request that was sent.
    var request: String {
        for case .publish(let topic, _) in effects.reversed() where topic.contains("$rid=") {
            return String(topic.split(separator: "=").last ?? "")
        }
        return ""
    }

    mutating func answer(_ status: Int = 200, body: String = "") {
        give("$iothub/twin/res/\(status)/?$rid=\(request)&$version=2", body)
    }

    mutating func push(_ version: Int, _ patch: String) {
        give("$iothub/twin/PATCH/properties/desired/?$version=\(version)", patch)
    }

    /// Reported patches in `effects`.
    static func patches(_ effects: [HubSession.Effect]) -> [String] {
        effects.compactMap {
            guard case .publish(let topic, let text) = $0, topic.contains("reported") else { return nil }
            return text
        }
    }

    static func documents(_ effects: [HubSession.Effect]) -> [String] {
        effects.compactMap {
            switch $0 {
            case .whole(let text), .document(let text): text
            default: nil
            }
        }
    }
}

private func report(_ text: String) -> HubSession.Event {
    .report((try? JSONValue.parse(text, limit: 1 << 20)) ?? .null)
}

@Suite("A session with a hub") struct HubSessionTests {
    @Test("On every connection it subscribes, asks for the whole twin after that, and gives the desired state on")
    func opening() {
        var bench = HubBench()
        for round in UInt64(1)...2 {
            bench.connect()
            let first = bench.effects.drop { $0 != .subscribe("$iothub/twin/res/#") }
            #expect(
                first.prefix(3) == [
                    .subscribe("$iothub/twin/res/#"), .subscribe("$iothub/twin/PATCH/properties/desired/#"),
                    .subscribe("$iothub/methods/POST/#"),
                ])
            guard case .publish(let topic, " ")? = first.dropFirst(3).first else {
                Issue.record("no request in \(bench.effects)")
                return
            }
            #expect(topic == "$iothub/twin/GET/?$rid=\(bench.request)")
            bench.answer(body: #"{"desired":{"a":1,"$version":4},"reported":{"$version":1}}"#)
            #expect(bench.look().last == .whole(#"{"a":1,"$version":4}"#))
            bench.give(.lost(.silent(seconds: round)))
        }
    }

    /// Pushes behind a whole state of version 4 with `{"a":1}`, and what is given on.
    static let pushes: [(name: String, pushes: [(Int, String)], given: [String], asksAgain: Bool)] = [
        ("in order", [(5, #"{"b":2,"$version":5}"#)], [#"{"a":1,"$version":5,"b":2}"#], false),
        ("a null", [(5, #"{"a":null}"#)], [#"{"$version":5}"#], false),
        ("twice", [(5, #"{"b":2}"#), (5, #"{"b":2}"#)], [#"{"a":1,"$version":5,"b":2}"#], false),
        ("the same version as the whole", [(4, #"{"a":9}"#)], [], false),
        ("one missed", [(6, #"{"b":2}"#)], [], true),
        ("reordered", [(6, #"{"c":3}"#), (5, #"{"b":2}"#)], [], true),
        ("counted anew", [(1, #"{"b":2}"#)], [], true),
        (
            "two", [(5, #"{"b":2}"#), (6, #"{"b":3}"#)],
            [#"{"a":1,"$version":5,"b":2}"#, #"{"a":1,"$version":6,"b":3}"#], false
        ),
    ]

    @Test(
        "Pushes are merged into the state in their order; what does not follow has the whole asked for",
        arguments: pushes)
    func pushed(_ name: String, _ pushes: [(Int, String)], _ given: [String], _ asksAgain: Bool) {
        var bench = HubBench()
        bench.open(#"{"a":1,"$version":4}"#)
        _ = bench.look()
        for (version, patch) in pushes { bench.push(version, patch) }
        bench.pass(11)
        let effects = bench.look()
        #expect(HubBench.documents(effects) == given)
        let asked = effects.contains { if case .publish(let topic, _) = $0 { topic.contains("GET") } else { false } }
        #expect(asked == asksAgain)
    }

    @Test("Pushes that come before the whole state wait for it, and only newer ones count")
    func earlyPushes() {
        var bench = HubBench()
        bench.connect()
        bench.push(4, #"{"a":4}"#)
        bench.push(6, #"{"a":6}"#)
        #expect(HubBench.documents(bench.effects).isEmpty)
        bench.answer(body: #"{"desired":{"a":5,"$version":5},"reported":{}}"#)
        #expect(HubBench.documents(bench.look()) == [#"{"a":5,"$version":5}"#, #"{"a":6,"$version":6}"#])
    }

    @Test("A whole state counts also when its version went back")
    func versionReset() {
        var bench = HubBench()
        bench.open(#"{"a":1,"$version":40}"#)
        bench.give(.lost(.silent(seconds: 1)))
        _ = bench.look()
        bench.open(#"{"a":2,"$version":1}"#)
        #expect(HubBench.documents(bench.look()) == [#"{"a":2,"$version":1}"#])
    }

    @Test("One patch is in flight; what changes meanwhile goes as one patch behind it")
    func oneInFlight() {
        var bench = HubBench()
        bench.open()
        _ = bench.look()
        bench.give(report(#"{"ota":{"phase":"planned"}}"#))
        bench.give(report(#"{"ota":{"phase":"fetching","x":1}}"#))
        bench.give(report(#"{"ota":{"phase":"written","x":null}}"#))
        #expect(HubBench.patches(bench.effects) == [#"{"ota":{"phase":"planned"}}"#])
        bench.answer(204)
        bench.answer(204)
        #expect(
            HubBench.patches(bench.look()) == [#"{"ota":{"phase":"planned"}}"#, #"{"ota":{"phase":"written"}}"#])
        #expect(bench.session.isDelivered)
    }

    @Test("After a connection is lost, only what the hub does not have is sent again")
    func converges() {
        var bench = HubBench()
        bench.open()
        bench.give(report(#"{"ota":{"phase":"planned","n":1}}"#))
        bench.give(.lost(.silent(seconds: 1)))
        _ = bench.look()
        bench.open(reported: #"{"ota":{"n":1,"phase":"old"},"$version":3}"#)
        #expect(HubBench.patches(bench.effects) == [#"{"ota":{"phase":"planned"}}"#])
        bench.answer(204)
        bench.give(.lost(.silent(seconds: 1)))
        _ = bench.look()
        bench.open(reported: #"{"ota":{"phase":"planned","n":1}}"#)
        #expect(HubBench.patches(bench.look()).isEmpty)
        bench.give(.lost(.silent(seconds: 1)))
        bench.open(reported: "{}")
        #expect(HubBench.patches(bench.look()) == [#"{"ota":{"phase":"planned","n":1}}"#])
    }

    @Test("Progress alone is sent every ten seconds, and everything else at once")
    func quietProgress() {
        var bench = HubBench()
        bench.open()
        bench.give(report(#"{"ota":{"phase":"fetching","progress":{"percent":1}}}"#))
        bench.answer(204)
        _ = bench.look()
        for percent in 2...8 {
            bench.pass(1)
            bench.give(report(#"{"ota":{"progress":{"percent":\#(percent)}}}"#))
        }
        #expect(bench.look().isEmpty)
        bench.pass(4)
        #expect(HubBench.patches(bench.effects) == [#"{"ota":{"progress":{"percent":8}}}"#])
        bench.answer(204)
        _ = bench.look()
        bench.give(report(#"{"ota":{"phase":"written"}}"#))
        #expect(HubBench.patches(bench.look()) == [#"{"ota":{"phase":"written"}}"#])
    }

    /// Statuses of answers to a patch, and whether it is sent again.
    @Test(
        "A patch that is put off is sent again after a pause; one that is refused is not, and told",
        arguments: [(429, true), (500, true), (503, true), (400, false), (413, false)])
    func refusedPatch(_ status: Int, _ comesAgain: Bool) {
        var bench = HubBench()
        bench.open()
        bench.give(report(#"{"ota":{"phase":"planned"}}"#))
        bench.answer(status)
        let told = bench.look()
        #expect(told.last == .note(comesAgain ? .throttled(status: status) : .reportRefused(status: status)))
        bench.pass(1)
        #expect(HubBench.patches(bench.look()).isEmpty)
        bench.pass(10)
        #expect(HubBench.patches(bench.look()).count == (comesAgain ? 1 : 0))
    }

    @Test("A lost answer has the twin asked for again; a line that gives none is given up")
    func deadLine() {
        var bench = HubBench()
        bench.open()
        bench.give(report(#"{"ota":{"phase":"planned"}}"#))
        _ = bench.look()
        bench.pass(30)
        #expect(!bench.effects.contains(.disconnect))
        #expect(bench.look().contains { if case .publish(let topic, _) = $0 { topic.contains("GET") } else { false } })
        bench.pass(30)
        let effects = bench.look()
        #expect(effects.contains(.disconnect))
        #expect(effects.contains(.note(.silent(seconds: 30))))
    }

    @Test("A connection that is not answered is given up after half a minute")
    func silentConnect() {
        var bench = HubBench()
        bench.give(.tick)
        bench.pass(30)
        #expect(bench.effects.starts(with: [.connect, .disconnect, .note(.silent(seconds: 30))]))
    }

    @Test("A token is renewed before it ends, by a new connection at once; a certificate needs none")
    func renewal() {
        var bench = HubBench(HubSession.Settings(hasToken: true, tokenSeconds: 1000))
        bench.open()
        _ = bench.look()
        bench.pass(1000)
        let place = bench.effects.firstIndex(of: .disconnect)
        #expect(place.map { bench.effects[$0 + 1] } == .connect)
        #expect(bench.session.status.losses == 0)
        var other = HubBench(HubSession.Settings(hasToken: false))
        other.open()
        _ = other.look()
        other.pass(3000)
        #expect(other.look().isEmpty)
        other.pass(601)
        #expect(!other.effects.contains(.disconnect) && other.request != "")
    }

    @Test("Pauses grow with jitter up to five minutes, and are short again after a good connection")
    func pauses() {
        var bench = HubBench()
        var longest: UInt64 = 0
        for _ in 0..<40 {
            bench.give(.tick)
            let start = bench.now
            while !bench.isConnecting { bench.pass(1) }
            longest = max(longest, bench.now - start)
            bench.give(.refused(.refused(3)))
        }
        #expect((200...301).contains(longest))
        bench.open()
        bench.pass(60)
        bench.give(.lost(.silent(seconds: 1)))
        _ = bench.look()
        #expect(bench.connect() <= 3)
    }

    @Test("Connections that end right after they began are told as another client's, and not fought")
    func takeover() {
        var bench = HubBench()
        for _ in 0..<3 {
            bench.open()
            bench.give(.lost(.silent(seconds: 1)))
        }
        #expect(bench.effects.contains(.note(.takeover(times: 3))))
        _ = bench.look()
        #expect(bench.connect() >= 30)
    }

    @Test("A refused identity is tried slowly, and a provisioning service asked where there is one")
    func refusedIdentity() {
        for canProvision in [false, true] {
            var bench = HubBench(HubSession.Settings(hasToken: true, canProvision: canProvision))
            for _ in 0..<3 {
                bench.give(.tick)
                while !bench.effects.contains(.connect) { bench.pass(1) }
                _ = bench.look()
                bench.give(.refused(.unauthorized))
                bench.pass(20)
                #expect(!bench.effects.contains(.connect))
            }
            #expect(bench.effects.contains(.provision) == canProvision)
        }
    }

    @Test("A call is handed over once and answered once it has an answer; a call of an older connection is not")
    func methods() {
        var bench = HubBench()
        bench.open()
        _ = bench.look()
        for _ in 0..<2 { bench.give("$iothub/methods/POST/do-it/?$rid=a1", #"{"x":1}"#) }
        #expect(bench.look() == [.method(name: "do-it", id: "a1", payload: #"{"x":1}"#)])
        bench.give(.respond(id: "a1", status: 200, payload: .members([("ok", .bool(true))])))
        #expect(bench.look() == [.publish(topic: "$iothub/methods/res/200/?$rid=a1", payload: #"{"ok":true}"#)])
        bench.give(.lost(.silent(seconds: 1)))
        bench.open()
        _ = bench.look()
        bench.give(.respond(id: "a1", status: 200, payload: .null))
        #expect(bench.look().isEmpty)
    }

    @Test("What is not delivered is kept after two seconds and then once a minute, and forgotten when it is delivered")
    func outbox() {
        var bench = HubBench()
        for second in 0..<50 {
            bench.give(report(#"{"ota":{"n":\#(second)}}"#))
            bench.pass(1)
        }
        var kept: [JSONValue?] = []
        for case .keep(let patch) in bench.look() { kept.append(patch) }
        #expect(kept.count == 1)
        bench.open()
        bench.answer(204)
        #expect(bench.look().last == .keep(nil))
        bench.give(.lost(.silent(seconds: 1)))
        bench.give(report(#"{"ota":{"n":99}}"#))
        _ = bench.look()
        bench.give(.stop)
        #expect(bench.look() == [.keep(.members([("ota", .members([("n", .integer(99))]))])), .disconnect])
    }

    @Test("What a former run kept is sent as soon as there is a hub")
    func keptPatch() {
        var bench = HubBench(kept: .members([("ota", .members([("phase", .string("rolledBack"))]))]))
        bench.open()
        #expect(HubBench.patches(bench.effects) == [#"{"ota":{"phase":"rolledBack"}}"#])
        bench.answer(204)
        #expect(bench.look().last == .keep(nil))
    }

    @Test(
        "Messages that are none of a hub's change nothing",
        arguments: [
            ("a/b", "{}"), ("$iothub/twin/res/200/?$rid=zzz", "{}"), ("$iothub/twin/PATCH/properties/desired/", "{}"),
            ("$iothub/twin/PATCH/properties/desired/?$version=2", "["), ("$iothub/methods/POST/", ""),
            ("$iothub/methods/POST/x/", ""), ("$iothub/twin/res/", ""),
        ])
    func foreign(_ topic: String, _ text: String) {
        var bench = HubBench()
        bench.open()
        _ = bench.look()
        bench.give(topic, text)
        #expect(bench.look().allSatisfy { $0 == .note(.badMessage) })
    }

    @Test("A twin that cannot be read is told, and asked for again later")
    func badTwin() {
        for body in ["", "[]", "{", #"{"desired":{}}"#, #"{"reported":{}}"#] {
            var bench = HubBench()
            bench.connect()
            bench.answer(body: body)
            #expect(bench.look().last == .note(.badMessage))
            bench.pass(70)
            bench.answer(body: #"{"desired":{"$version":1}}"#)
            #expect(HubBench.documents(bench.look()) == [#"{"$version":1}"#])
        }
    }
}

@Suite("Reports within a hub's limits") struct ReportLimitsTests {
    static let cases: [(name: String, given: String, fits: String, isCut: Bool)] = [
        ("plain", #"{"a":[1,true,null,"x"]}"#, #"{"a":[1,true,null,"x"]}"#, false),
        ("a dot", #"{"a.b":1,"c":2}"#, #"{"c":2}"#, true), ("a dollar", #"{"$a":1}"#, "{}", true),
        ("a space", #"{"a b":1}"#, "{}", true), ("no name", #"{"":1}"#, "{}", true),
        ("2^52", #"{"a":4503599627370496}"#, #"{"a":"4503599627370496"}"#, false),
        ("-2^52", #"{"a":-4503599627370496}"#, #"{"a":-4503599627370496}"#, false),
        (
            "eleven levels", #"{"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":{"9":{"10":{"11":1}}}}}}}}}}}"#,
            #"{"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":{"9":{"10":null}}}}}}}}}}"#, true
        ),
    ]

    @Test("Names, numbers and depths that a hub refuses are changed or left out", arguments: cases)
    func fits(_ name: String, _ given: String, _ wanted: String, _ isCut: Bool) throws {
        let (patch, cut) = ReportLimits.fit(try JSONValue.parse(given, limit: 10_000))
        #expect(patch.compactText == wanted)
        #expect((cut != nil) == isCut)
    }

    @Test("A text of more than 4096 bytes is shortened between two characters")
    func longText() throws {
        for text in [
            String(repeating: "x", count: 5000), String(repeating: "é", count: 2100),
            String(repeating: "€", count: 1366),
        ] {
            let short = try #require(ReportLimits.fit(.string(text)).patch.text)
            #expect(short.utf8.count <= 4096 && short.utf8.count > 4088)
            #expect(short.hasSuffix("...") && !short.contains("\u{fffd}"))
            #expect(text.hasPrefix(short.dropLast(3)))
        }
        let exact = String(repeating: "x", count: 4096)
        #expect(ReportLimits.fit(.string(exact)).patch == .string(exact))
    }

    @Test("A report that would make the section too large is left out and told, and the next one goes")
    func tooLarge() {
        var session = HubSession(HubSession.Settings(hasToken: false), seed: 1)
        let many: [(String, JSONValue)] = (0..<9).map { ("k\($0)", .string(String(repeating: "x", count: 4000))) }
        let effects = session.handle(.report(.members([("ota", .members(many))])), at: 5)
        #expect(effects.contains { if case .note(.reportCut) = $0 { true } else { false } })
        _ = session.handle(.report(.members([("ota", .members([("phase", .string("idle"))]))])), at: 6)
        #expect(session.outstanding == .members([("ota", .members([("phase", .string("idle"))]))]))
    }
}

@Suite("Merge patches") struct MergePatchTests {
    /// RFC 7396, appendix A, as far as it is about objects.
    static let cases: [(document: String, patch: String, result: String)] = [
        (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#),
        (#"{"a":"b"}"#, #"{"a":null}"#, "{}"), (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#),
        (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"c"}"#, #"{"a":["b"]}"#, #"{"a":["b"]}"#),
        (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#),
        (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#), (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#),
        ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
    ]

    @Test("They are applied as RFC 7396 shows", arguments: cases)
    func applied(_ document: String, _ patch: String, _ result: String) throws {
        let old = try JSONValue.parse(document, limit: 1000)
        let new = MergePatch.apply(try JSONValue.parse(patch, limit: 1000), to: old)
        #expect(new == (try JSONValue.parse(result, limit: 1000)))
    }

    @Test("The difference of a wanted state, applied, gives it, and is nothing afterwards", arguments: cases)
    func difference(_ document: String, _ patch: String, _ result: String) throws {
        let old = try JSONValue.parse(document, limit: 1000)
        let wanted = try JSONValue.parse(patch, limit: 1000)
        let change = try #require(MergePatch.difference(wanted, from: old))
        let new = MergePatch.apply(change, to: old)
        #expect(new == (try JSONValue.parse(result, limit: 1000)))
        #expect(MergePatch.difference(wanted, from: new) == nil)
    }
}

@Suite("Tokens and names of a hub") struct HubIdentityTests {
    /// Made with Python's hmac, hashlib and urllib.parse.
    @Test("A token is what an independent program makes of the same key")
    func token() throws {
        let key = try #require(Base64.decode("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="))
        let identity = HubIdentity(hub: "hub.example.test", device: "gw 1", module: "kedged")
        let token = SharedAccessSignature.token(resource: identity.resource, key: key, expiry: 1_800_000_000)
        #expect(
            token
                == "SharedAccessSignature sr=hub.example.test%2Fdevices%2Fgw%201%2Fmodules%2Fkedged&sig=rdthJa8Rxq0LWNcRwYKmLjIKwvJsYnixRdqs93FE46Y%3D&se=1800000000"
        )
    }

    @Test("User names announce the API's version, the agent and the model")
    func users() {
        let device = HubIdentity(hub: "h", device: "d")
        #expect(device.user(agent: "kedged/1", model: nil) == "h/d/?api-version=2021-04-12&DeviceClientType=kedged%2F1")
        #expect(device.clientIdentifier == "d" && device.resource == "h/devices/d")
        let module = HubIdentity(hub: "h", device: "d", module: "m")
        #expect(
            module.user(agent: "k", model: "dtmi:a;1")
                == "h/d/m/?api-version=2021-04-12&DeviceClientType=k&model-id=dtmi%3Aa%3B1")
    }
}
