internal import BundleFormat
public import StrictJSON
public import Trust

/// What a newer trust root changes, for the people who are asked to sign it.
public struct RootChanges: Equatable, Sendable {
    /// One sentence for each change, in the order of the document; empty when only the version differs.
    public let lines: [String]
    public let from: UInt32
    public let to: UInt32

    public init(from former: TrustRoot, to next: TrustRoot) {
        from = former.version
        to = next.version
        var lines: [String] = []
        if former.environment != next.environment {
            lines.append("environment \(former.environment.rawValue) becomes \(next.environment.rawValue)")
        }
        for role in TrustRole.allCases { lines += Self.role(role, former, next) }
        lines += next.revoked.filter { !former.revoked.contains($0) }.map { "revokes key \($0.hex)" }
        lines += former.revoked.filter { !next.revoked.contains($0) }.map { "forgets that key \($0.hex) is revoked" }
        lines += next.deniedReleases.filter { !former.deniedReleases.contains($0) }.map { "denies release \($0.hex)" }
        lines += former.deniedReleases.filter { !next.deniedReleases.contains($0) }.map {
            "forgets that release \($0.hex) is denied"
        }
        if former.floor != next.floor { lines.append("floor \(former.floor) becomes \(next.floor)") }
        self.lines = lines
    }

    private static func role(_ role: TrustRole, _ former: TrustRoot, _ next: TrustRoot) -> [String] {
        let (old, new) = (former.role(role), next.role(role))
        let name = role.rawValue
        var lines: [String] = []
        for key in new?.keys ?? [] where !(old?.keys ?? []).contains(key) {
            lines.append("\(name): adds key \(key.hex) (\(next.key(key)?.name ?? ""))")
        }
        for key in old?.keys ?? [] where !(new?.keys ?? []).contains(key) {
            lines.append("\(name): removes key \(key.hex) (\(former.key(key)?.name ?? ""))")
        }
        guard let old, let new else { return lines }
        if old.isGrouped != new.isGrouped || old.isGrouped && old.groups.map(\.name) != new.groups.map(\.name) {
            lines.append("\(name): \(policy(old)) becomes \(policy(new))")
            return lines
        }
        for (one, other) in zip(old.groups, new.groups) {
            let group = one.name.map { " of the group \($0)" } ?? ""
            if one.threshold != other.threshold {
                lines.append("\(name): threshold\(group) \(one.threshold) becomes \(other.threshold)")
            }
            for key in other.keys where old.keys.contains(key) && !one.keys.contains(key) {
                lines.append("\(name): moves key \(key.hex) to the group \(other.name?.text ?? "")")
            }
        }
        return lines
    }

    /// `1 of 2`, or `1 of 2 ed25519 and 1 of 1 ml-dsa-65`.
    private static func policy(_ role: TrustRoot.Role) -> String {
        role.groups.map { group in
            "\(group.threshold) of \(group.keys.count)" + (group.name.map { " \($0)" } ?? "")
        }.joined(separator: " and ")
    }

    /// `{"from", "to", "changes"}`.
    public var json: JSONValue {
        .members([
            ("from", .integer(Int64(from))), ("to", .integer(Int64(to))),
            ("changes", .array(lines.map { .string($0) })),
        ])
    }
}
