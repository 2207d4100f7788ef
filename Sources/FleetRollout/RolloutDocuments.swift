internal import BundleFormat
internal import StrictJSON

/// The automatic device configurations that a rollout writes into the hub: one for each open ring, and one that holds
/// devices back or sends them on.
struct RolloutDocuments: Sendable {
    let plan: RolloutPlan
    var conditions: RolloutConditions { RolloutConditions(plan: plan) }

    /// Ids of configurations are lower case, up to 128 characters.
    func id(_ part: String) -> String { "kedge-\(plan.name)-\(part)" }
    var haltID: String { id("halt") }
    var cancelID: String { id("cancel") }
    var resumeID: String { id("resume") }

    /// The desired `ota` section.
    private func desired(_ action: String) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("attempt", .string(plan.attempt)), ("action", .string(action)), ("url", .string(plan.url)),
            ("manifest", .string(plan.manifest.hex)),
        ]
        if !plan.sources.isEmpty { members.append(("sources", .array(plan.sources.map { .string($0) }))) }
        return .members(members)
    }

    private func document(
        _ id: String, target: String, action: String, priority: Int64, labels: [(String, String)],
        queries: [(String, String)] = []
    ) -> JSONValue {
        let content = JSONValue.members([("properties.desired.ota", desired(action))])
        let all = [("rollout", plan.name), ("plan", plan.fingerprint)] + labels
        return .members([
            ("id", .string(id)), ("schemaVersion", .string("2.0")),
            ("labels", .members(all.map { ($0.0, .string($0.1)) })),
            ("content", .members([(plan.module == nil ? "deviceContent" : "moduleContent", content)])),
            ("targetCondition", .string(target)), ("priority", .integer(priority)),
            ("metrics", .members([("queries", .members(queries.map { ($0.0, .string($0.1)) }))])),
        ])
    }

    /// A ring's configuration; `opened` in seconds since 1970.
    func ring(_ index: Int, opened: Int64) -> JSONValue {
        let ring = plan.rings[index]
        let texts = conditions
        let column = plan.module == nil ? "deviceId" : "deviceId, moduleId"
        return document(
            id(ring.name), target: texts.target([ring]), action: "install", priority: plan.priority,
            labels: [("ring", ring.name), ("opened", "\(opened)"), ("release", plan.release)],
            queries: [
                ("working", texts.query(column, of: ring, and: "\(texts.hasAttempt) AND \(texts.isUnfinished)")),
                ("confirmed", texts.query(column, of: ring, and: texts.ended(["confirmed"]))),
                ("failed", texts.query(column, of: ring, and: texts.ended(RolloutConditions.failures))),
                ("canceled", texts.query(column, of: ring, and: texts.ended(["canceled"]))),
            ])
    }

    /// Holds back who has not finished, in all rings opened so far.
    func halt(openRings: Int, cancels: Bool, reason: String, at now: Int64) -> JSONValue {
        let texts = conditions
        return document(
            cancels ? cancelID : haltID,
            target: texts.target(Array(plan.rings[..<openRings]), and: texts.isUnfinished),
            action: cancels ? "cancel" : "pause", priority: plan.priority + (cancels ? 200 : 100),
            labels: [("state", "halted"), ("reason", reason), ("since", "\(now)")])
    }

    /// Sends those on that were paused, and remembers which failures were seen.
    func resume(openRings: Int, accepted: [(String, Int64)], at now: Int64) -> JSONValue {
        let texts = conditions
        return document(
            resumeID, target: texts.target(Array(plan.rings[..<openRings]), and: texts.isPaused), action: "resume",
            priority: plan.priority + 100,
            labels: [("state", "resumed"), ("since", "\(now)")] + accepted.map { ("accepted-\($0.0)", "\($0.1)") })
    }
}
