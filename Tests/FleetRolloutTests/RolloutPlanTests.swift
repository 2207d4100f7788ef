import BundleFormat
import Platform
import StrictJSON
import Testing

@testable import FleetRollout

extension RolloutPlan {
    /// Two rings and the rest.
    static func sample(
        rings: [Ring] = [
            Ring(name: "canary", selection: .share(5)), Ring(name: "lab", selection: .condition("tags.site = 'lab'")),
            Ring(name: "all", selection: .rest),
        ], module: String? = nil, target: String = "*", attempt: String = "spring-1", soakSeconds: Int64 = 0
    ) throws -> RolloutPlan {
        try RolloutPlan(
            name: "spring", attempt: attempt, url: "https://files.example/r.kedge",
            manifest: SHA256.digest(of: []), release: "r2", version: "2.0", target: target, module: module,
            rings: rings, soakSeconds: soakSeconds)
    }
}

@Suite("The plan of a rollout")
struct RolloutPlanTests {
    @Test("A plan that was written is read back as it was", arguments: [nil, "kedged"])
    func roundTrip(module: String?) throws {
        let plan = try RolloutPlan.sample(module: module, target: "tags.line = 7")
        #expect(try RolloutPlan(Array(plan.json.prettyText.utf8)) == plan)
    }

    @Test(
        "Rings are taken from their short form",
        arguments: [
            ("canary=5%", RolloutPlan.Ring.Selection.share(5)), ("all=rest", .rest),
            ("lab=tags.site = 'lab'", .condition("tags.site = 'lab'")),
        ])
    func ring(text: String, selection: RolloutPlan.Ring.Selection) throws {
        #expect(try RolloutPlan.Ring(argument: text).selection == selection)
    }

    @Test(
        "A plan that cannot be carried out is refused with the reason",
        arguments: [
            ([], "there must be 1 to 20 rings"),
            (["a=rest", "b=5%"], "ring a: rest must be the last ring"),
            (["a=60%", "b=50%"], "the shares of the rings are 110% together"),
            (["a=0%"], "ring a: a share is 1% to 99%; the last is rest"),
            (["a=5%", "a=5%"], "ring a is there twice"),
            (["halt=5%"], "ring halt: a name is 1 to 32 of a-z, 0-9 and -, and not halt, cancel or resume"),
        ])
    func badRings(texts: [String], why: String) throws {
        let rings = try texts.map { try RolloutPlan.Ring(argument: $0) }
        #expect(throws: RolloutError.plan(why: why)) { try RolloutPlan.sample(rings: rings) }
    }

    @Test("An attempt id that would end a text in a query is refused", arguments: ["a'b", "a b", "a\"b", "a\\b", ""])
    func attempt(id: String) {
        #expect(throws: RolloutError.self) { try RolloutPlan.sample(attempt: id) }
    }

    @Test("A member that no plan has is refused, not ignored")
    func unknownMember() throws {
        let text = try RolloutPlan.sample().json.compactText.replacing("\"soak\"", with: "\"soka\"")
        #expect(throws: RolloutError.self) { try RolloutPlan(Array(text.utf8)) }
    }

    @Test("Shares are rounded up, disjoint, and the same whenever they are computed")
    func shares() {
        let devices = (0..<180).map { "gw-\($0)" }
        let shares: [(String, Int64)] = [("canary", 1), ("early", 25)]
        let groups = Rollout.divided(devices, shares: shares, salt: "spring")
        #expect(groups["canary"]?.count == 2)
        #expect(groups["early"]?.count == 45)
        #expect(Set(groups["canary"] ?? []).isDisjoint(with: groups["early"] ?? []))
        #expect(Rollout.divided(devices.reversed(), shares: shares, salt: "spring") == groups)
        #expect(Rollout.divided(devices, shares: shares, salt: "autumn") != groups)
    }
}

@Suite("What comes next in a rollout")
struct RolloutDecisionTests {
    private func decide(_ rings: [RingProgress], accepted: [String: Int64] = [:], soak: Int64 = 0) throws
        -> RolloutDecision
    {
        RolloutDecision(try .sample(soakSeconds: soak), rings: rings, accepted: accepted, now: 1000)
    }

    @Test("The first ring opens at once")
    func first() throws { #expect(try decide([]) == .open(0)) }

    @Test("The next ring waits for the share of confirmed devices")
    func share() throws {
        let open = RingProgress(opened: 0, targeted: 20, working: 2, confirmed: 18)
        #expect(try decide([open]) == .wait("ring canary: 18 of 19 confirmed devices needed"))
        #expect(try decide([RingProgress(opened: 0, targeted: 20, confirmed: 19)]) == .open(1))
    }

    @Test("A ring soaks before the next one opens")
    func soak() throws {
        let done = RingProgress(opened: 900, targeted: 20, confirmed: 20)
        #expect(try decide([done], soak: 300) == .wait("ring canary soaks for another 200 s"))
        #expect(try decide([done], soak: 100) == .open(1))
    }

    @Test("More failures than allowed halt, in any ring that is open; exactly as many do not")
    func failures() throws {
        let early = RingProgress(opened: 0, targeted: 20, confirmed: 18, failed: 2)
        let reason = "ring canary: 2 of 20 devices failed, more than 5%"
        #expect(try decide([early, RingProgress(opened: 0, targeted: 100)]) == .halt(reason))
        #expect(try decide([RingProgress(opened: 0, targeted: 20, confirmed: 19, failed: 1)]) == .open(1))
    }

    @Test("Failures that a person accepted no longer halt, and nobody waits for those devices")
    func accepted() throws {
        let ring = RingProgress(opened: 0, targeted: 20, confirmed: 16, failed: 4)
        #expect(try decide([ring], accepted: ["canary": 4]) == .open(1))
        let worse = RingProgress(opened: 0, targeted: 20, confirmed: 14, failed: 6)
        #expect(
            try decide([worse], accepted: ["canary": 4])
                == .halt("ring canary: 6 of 20 devices failed, more than 5%"))
    }

    @Test("It is complete when the last ring has its share")
    func complete() throws {
        let done = RingProgress(opened: 0, targeted: 20, confirmed: 20)
        #expect(try decide([done, done, done]) == .complete)
    }
}

@Suite("What a rollout writes into the hub")
struct RolloutDocumentsTests {
    @Test("A ring of modules is written for modules, with queries on modules")
    func modules() throws {
        let plan = try RolloutPlan.sample(module: "kedged", target: "tags.line = 7 OR tags.line = 8")
        let document = RolloutDocuments(plan: plan).ring(1, opened: 5)
        #expect(
            document["targetCondition"]?.text
                == "FROM devices.modules WHERE moduleId = 'kedged' AND (tags.line = 7 OR tags.line = 8) AND "
                + "(tags.site = 'lab')")
        #expect(document["content"]?["moduleContent"]?["properties.desired.ota"]?["attempt"]?.text == "spring-1")
        #expect(
            document["metrics"]?["queries"]?["confirmed"]?.text
                == "SELECT deviceId, moduleId FROM devices.modules WHERE moduleId = 'kedged' AND "
                + "(tags.line = 7 OR tags.line = 8) AND (tags.site = 'lab') AND "
                + "properties.reported.ota.result.attempt = 'spring-1' AND "
                + "(properties.reported.ota.result.phase = 'confirmed')")
    }

    @Test("A ring of everybody has the plan's own target")
    func everybody() throws {
        #expect(RolloutDocuments(plan: try .sample()).ring(2, opened: 5)["targetCondition"]?.text == "*")
    }

    @Test("A halt is for those in the open rings who have not finished")
    func halt() throws {
        let document = RolloutDocuments(plan: try .sample()).halt(openRings: 2, cancels: false, reason: "r", at: 9)
        #expect(
            document["targetCondition"]?.text
                == "((tags.kedge.rollout = 'spring' AND tags.kedge.ring = 'canary') OR ((tags.site = 'lab'))) AND "
                + "(NOT IS_DEFINED(properties.reported.ota.result.attempt) OR "
                + "properties.reported.ota.result.attempt != 'spring-1')")
        #expect(document["content"]?["deviceContent"]?["properties.desired.ota"]?["action"]?.text == "pause")
    }
}

@Suite("A hub's connection string")
struct HubConnectionStringTests {
    @Test(
        "One that cannot be used is refused without its text",
        arguments: [
            "", "HostName=h", "HostName=h;DeviceId=d;SharedAccessKey=c2VjcmV0",
            "HostName=h;SharedAccessKeyName=p;SharedAccessKey=sec*ret",
            "HostName=h/x;SharedAccessKeyName=p;"
                + "SharedAccessKey=c2VjcmV0", "HostName=h;HostName=h;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0",
        ])
    func refused(text: String) throws {
        let error = try #require(throws: RolloutError.self) { _ = try HubConnectionString(text) }
        #expect(error.code == "rollout.connection-string")
        #expect(!error.context.contains("sec") && !error.context.contains("c2V"))
    }

    @Test("A token is the one that Microsoft's rule gives for this key and time")
    func token() throws {
        // Computed with Python's hmac by the rule in Microsoft's documents on shared access signatures.
        let opening = try HubConnectionString(
            "HostName=h.example:8443;SharedAccessKeyName=owner;SharedAccessKey=c2VjcmV0")
        #expect(
            opening.token(expiry: 1_700_000_000)
                == "SharedAccessSignature sr=h.example%3A8443&sig=CZLo79Jp8fQGg57Qpk%2FVM5WtBACbmnH1CrbOMTw0AMk%3D&se=1700000000&skn=owner"
        )
        #expect("\(opening)" == "owner at h.example:8443")
    }
}
