internal import StrictJSON

/// The texts in IoT Hub's query language that a rollout needs. They use only operators that a twin without the property
/// answers the same way everywhere: a comparison with what is not there is never relied on.
struct RolloutConditions: Sendable {
    let plan: RolloutPlan

    /// The mark that a share's devices get.
    func tag(of ring: RolloutPlan.Ring) -> JSONValue {
        .members([
            ("kedge", .members([("rollout", .string(plan.name)), ("ring", .string(ring.name))]))
        ])
    }

    /// Who is in a ring, or whom the plan targets (`nil`), without the part that names the module.
    private func members(of ring: RolloutPlan.Ring?) -> [String] {
        var parts = plan.target == "*" ? [] : ["(\(plan.target))"]
        switch ring?.selection {
        case nil, .rest: break
        case .condition(let text): parts.append("(\(text))")
        case .share: parts.append("tags.kedge.rollout = '\(plan.name)' AND tags.kedge.ring = '\(ring?.name ?? "")'")
        }
        return parts
    }

    /// The target condition of a configuration for the devices of any of the rings that also meet `more`.
    func target(_ rings: [RolloutPlan.Ring], and more: String? = nil) -> String {
        let each = rings.map { members(of: $0) }
        var parts: [String] = []
        // A ring of everybody makes the others needless.
        if !each.contains(where: { $0.isEmpty }) {
            let texts = each.map { $0.joined(separator: " AND ") }
            parts.append(texts.count == 1 ? texts[0] : "(" + texts.map { "(\($0))" }.joined(separator: " OR ") + ")")
        }
        if let more { parts.append(more) }
        guard let module = plan.module else { return parts.isEmpty ? "*" : parts.joined(separator: " AND ") }
        return "FROM devices.modules WHERE " + (["moduleId = '\(module)'"] + parts).joined(separator: " AND ")
    }

    /// A query for twins of a ring (nil: of all whom the plan targets) that also meet `more`.
    func query(_ columns: String, of ring: RolloutPlan.Ring?, and more: String? = nil, groupedBy group: String? = nil)
        -> String
    {
        var parts = members(of: ring)
        if let module = plan.module { parts.insert("moduleId = '\(module)'", at: 0) }
        if let more { parts.append(more) }
        var text = "SELECT \(columns) FROM " + (plan.module == nil ? "devices" : "devices.modules")
        if !parts.isEmpty { text += " WHERE " + parts.joined(separator: " AND ") }
        if let group { text += " GROUP BY \(group)" }
        return text
    }

    /// The attempt works on the device, or was its last one.
    var hasAttempt: String { "properties.reported.ota.attempt = '\(plan.attempt)'" }
    /// The attempt ended on the device.
    var hasResult: String { "properties.reported.ota.result.attempt = '\(plan.attempt)'" }
    func ended(_ phases: [String]) -> String {
        let any = phases.map { "properties.reported.ota.result.phase = '\($0)'" }.joined(separator: " OR ")
        return "\(hasResult) AND (\(any))"
    }
    var isUnfinished: String {
        "(NOT IS_DEFINED(properties.reported.ota.result.attempt) OR "
            + "properties.reported.ota.result.attempt != '\(plan.attempt)')"
    }
    /// The attempt was paused on request and waits for word.
    var isPaused: String { "\(hasAttempt) AND properties.reported.ota.pause.code = 'engine.paused'" }

    static let failures = ["failed", "rolledBack"]
}
