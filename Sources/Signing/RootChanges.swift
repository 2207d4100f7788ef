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
        if let old, let new, old.threshold != new.threshold {
            lines.append("\(name): threshold \(old.threshold) becomes \(new.threshold)")
        }
        return lines
    }

    /// `{"from", "to", "changes"}`.
    public var json: JSONValue {
        .members([
            ("from", .integer(Int64(from))), ("to", .integer(Int64(to))),
            ("changes", .array(lines.map { .string($0) })),
        ])
    }
}
