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
                            .members(
                                [
                                    ("threshold", .integer(Int64(role.threshold))),
                                    ("keys", .array(role.keys.map { key($0, of: root) })),
                                ] + (role.isGrouped ? [("all", .array(role.groups.map { json($0) }))] : []))
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
            for (index, group) in role.groups.enumerated() {
                let name = group.name.map { ", group \($0)" } ?? ""
                let also = index == 0 ? "" : "and "
                lines.append("\(also)\(role.role.rawValue)\(name): \(group.threshold) of \(group.keys.count)")
                for id in group.keys {
                    let dead = root.revoked.contains(id) ? ", revoked" : ""
                    lines.append("  \(id.hex)  \(root.key(id)?.name ?? "")\(dead)")
                }
            }
        }
        for id in root.revoked { lines.append("revoked key     \(id.hex)") }
        for digest in root.deniedReleases { lines.append("denied release  \(digest.hex)") }
        if let broken = chain.broken { lines.append("a kept root is not used: \(broken.context)") }
        return lines
    }

    private static func json(_ group: TrustRoot.KeyGroup) -> JSONValue {
        .members([
            ("name", .string(group.name?.text ?? "")), ("threshold", .integer(Int64(group.threshold))),
            ("keys", .array(group.keys.map { .string($0.hex) })),
        ])
    }

    private static func key(_ id: Digest, of root: TrustRoot) -> JSONValue {
        .members([
            ("id", .string(id.hex)), ("name", .string(root.key(id)?.name ?? "")),
            ("revoked", .bool(root.revoked.contains(id))),
        ])
    }
}
