internal import BundleFormat
internal import StrictJSON
internal import Trust

/// `kedged trust show`.
enum TrustText {
    static func json(_ chain: TrustChain) -> JSONValue {
        let root = chain.trust.root
        return .members([
            ("version", .integer(Int64(root.version))), ("builtIn", .integer(Int64(chain.anchor.version))),
            ("environment", .string(root.environment.rawValue)), ("floor", .integer(Int64(root.floor))),
            (
                "roles",
                .members(
                    root.roles.map { role in
                        (
                            role.role.rawValue,
                            .members([
                                ("threshold", .integer(Int64(role.threshold))),
                                ("keys", .array(role.keys.map { key($0, of: root) })),
                            ])
                        )
                    })
            ),
            ("revoked", .array(root.revoked.map { .string($0.hex) })),
            ("deniedReleases", .array(root.deniedReleases.map { .string($0.hex) })),
            ("keptRootRefused", chain.broken.map { .string($0.code) } ?? .null),
        ])
    }

    static func lines(_ chain: TrustChain) -> [String] {
        let root = chain.trust.root
        var lines = [
            "trust root   \(root.version) (\(root.environment.rawValue)), built in: \(chain.anchor.version)",
            "floor        \(root.floor)",
        ]
        for role in root.roles {
            lines.append("\(role.role.rawValue): \(role.threshold) of \(role.keys.count)")
            for id in role.keys {
                let dead = root.revoked.contains(id) ? ", revoked" : ""
                lines.append("  \(id.hex)  \(root.key(id)?.name ?? "")\(dead)")
            }
        }
        for id in root.revoked { lines.append("revoked key     \(id.hex)") }
        for digest in root.deniedReleases { lines.append("denied release  \(digest.hex)") }
        if let broken = chain.broken { lines.append("a kept root is not used: \(broken.context)") }
        return lines
    }

    private static func key(_ id: Digest, of root: TrustRoot) -> JSONValue {
        .members([
            ("id", .string(id.hex)), ("name", .string(root.key(id)?.name ?? "")),
            ("revoked", .bool(root.revoked.contains(id))),
        ])
    }
}
