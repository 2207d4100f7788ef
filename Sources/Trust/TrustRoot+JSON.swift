internal import BundleFormat
internal import Platform
public import StrictJSON

extension TrustRoot {
    /// What signatures of root documents say they sign (DSSE payload type), so that none of them ever counts for a
    /// manifest.
    public static let payloadType = "application/vnd.kedge.root.v1+json"
    static let documentType = "kedge.root"
    static let format: Int64 = 1

    /// The document.
    public var json: JSONValue {
        .members([
            ("type", .string(Self.documentType)),
            ("format", .integer(Self.format)),
            ("version", .integer(Int64(version))),
            ("environment", .string(environment.rawValue)),
            ("created", .integer(created)),
            (
                "keys",
                .array(
                    keys.map { key in
                        .members([
                            ("algorithm", .string(key.publicKey.algorithm.name)),
                            ("public", .string(Hex.encode(key.publicKey.bytes))),
                            ("name", .string(key.name)),
                        ])
                    })
            ),
            (
                "roles",
                .members(
                    roles.map { role in (role.role.rawValue, Self.json(role)) })
            ),
            ("revoked", .array(revoked.map { .string($0.hex) })),
            ("deniedReleases", .array(deniedReleases.map { .string($0.hex) })),
            ("floor", .integer(Int64(floor))),
        ])
    }

    private static func json(_ role: Role) -> JSONValue {
        guard role.isGrouped else { return .members(role.groups.flatMap { json($0) }) }
        return .members([("all", .array(role.groups.map { .members(json($0)) }))])
    }

    private static func json(_ group: KeyGroup) -> [(String, JSONValue)] {
        let members: [(String, JSONValue)] = [
            ("keys", .array(group.keys.map { .string($0.hex) })), ("threshold", .integer(Int64(group.threshold))),
        ]
        guard let name = group.name else { return members }
        return [("name", .string(name.text))] + members
    }

    /// The bytes that are signed.
    public var bytes: [UInt8] { json.bytes }

    /// Decodes a root document strictly and checks its rules. What comes back is not verified: `TrustStore` does
    /// that.
    public static func decode(_ bytes: [UInt8]) throws(TrustError) -> TrustRoot {
        let parts: Parts
        do throws(JSONError) {
            parts = try Parts(JSONObjectReader(try JSONValue.parse(bytes, limit: RootFile.limit), at: "root"))
        } catch {
            throw .root(error)
        }
        return try TrustRoot(
            version: parts.version, environment: parts.environment, created: parts.created, keys: parts.keys,
            roles: parts.roles, revoked: parts.revoked, deniedReleases: parts.deniedReleases, floor: parts.floor)
    }
}

/// The members of a root document, each right by itself.
private struct Parts {
    let version: UInt32
    let environment: TrustRoot.Environment
    let created: Int64
    let keys: [TrustRoot.Key]
    let roles: [TrustRoot.Role]
    let revoked: [Digest]
    let deniedReleases: [Digest]
    let floor: UInt32

    init(_ reader: JSONObjectReader) throws(JSONError) {
        var top = reader
        if try top.string("type", limit: 64) != TrustRoot.documentType {
            throw JSONError(.outOfBounds, at: "root.type", "must be \(TrustRoot.documentType)")
        }
        _ = try top.integer("format", in: TrustRoot.format...TrustRoot.format)
        version = UInt32(try top.integer("version", in: 1...Int64(UInt32.max)))
        guard let environment = TrustRoot.Environment(rawValue: try top.string("environment", limit: 16)) else {
            throw JSONError(.outOfBounds, at: "root.environment", "must be prod or dev")
        }
        self.environment = environment
        created = try top.integer("created", in: 0...253_402_300_799)
        var keys: [TrustRoot.Key] = []
        for (index, value) in try top.array("keys", count: 1...TrustRoot.mostKeys).enumerated() {
            keys.append(try Self.key(try JSONObjectReader(value, at: "root.keys[\(index)]")))
        }
        self.keys = keys
        var list = try top.object("roles")
        var roles: [TrustRoot.Role] = []
        for role in TrustRole.allCases {
            guard let value = try list.optionalObject(role.rawValue) else { continue }
            roles.append(try Self.role(role, value))
        }
        try list.finish()
        self.roles = roles
        revoked = try Self.digests(top.array("revoked", count: 0...TrustRoot.mostDigests), at: "root.revoked")
        deniedReleases = try Self.digests(
            top.array("deniedReleases", count: 0...TrustRoot.mostDigests), at: "root.deniedReleases")
        floor = UInt32(try top.integer("floor", in: 0...Int64(UInt32.max)))
        try top.finish()
    }

    private static func key(_ reader: JSONObjectReader) throws(JSONError) -> TrustRoot.Key {
        var reader = reader
        guard let algorithm = SignatureAlgorithm(name: try reader.string("algorithm", limit: 32)) else {
            throw JSONError(.outOfBounds, at: reader.path("algorithm"), "is not known to this version")
        }
        guard
            let bytes = Hex.decode(try reader.string("public", limit: 2 * SignatureAlgorithm.mlDSA87.publicKeyLength)),
            let key = PublicKey(algorithm: algorithm, bytes: bytes)
        else {
            throw JSONError(.outOfBounds, at: reader.path("public"), "is not a usable \(algorithm.name) key")
        }
        let name = try reader.string("name", limit: 64)
        try reader.finish()
        return TrustRoot.Key(key, name: name)
    }

    /// Either `keys` and `threshold`, or `all`. What is neither has members too many or too few.
    private static func role(_ role: TrustRole, _ reader: JSONObjectReader) throws(JSONError) -> TrustRoot.Role {
        var reader = reader
        guard let all = reader.optional("all") else {
            return TrustRoot.Role(role, all: [try group(nil, &reader)])
        }
        guard case .array(let values) = all, (2...TrustRoot.Role.mostGroups).contains(values.count) else {
            throw JSONError(
                .outOfBounds, at: reader.path("all"), "must be a list of 2 to \(TrustRoot.Role.mostGroups) groups")
        }
        try reader.finish()
        var groups: [TrustRoot.KeyGroup] = []
        for (index, value) in values.enumerated() {
            var entry = try JSONObjectReader(value, at: "\(reader.path("all"))[\(index)]")
            guard let name = Identifier(try entry.string("name", limit: 32)) else {
                throw JSONError(.outOfBounds, at: entry.path("name"), "must be 1 to 32 of a-z, 0-9 and -")
            }
            groups.append(try group(name, &entry))
        }
        return TrustRoot.Role(role, all: groups)
    }

    private static func group(
        _ name: Identifier?, _ reader: inout JSONObjectReader
    ) throws(JSONError) -> TrustRoot.KeyGroup {
        let keys = try digests(
            reader.array("keys", count: 0...TrustRoot.mostKeys), at: reader.path("keys"))
        // Any number here; the rules of TrustRoot say why a wrong one is wrong.
        let threshold = Int(clamping: try reader.integer("threshold", in: Int64.min...Int64.max))
        try reader.finish()
        return TrustRoot.KeyGroup(name: name, keys: keys, threshold: threshold)
    }

    private static func digests(_ values: [JSONValue], at place: String) throws(JSONError) -> [Digest] {
        var out: [Digest] = []
        for (index, value) in values.enumerated() {
            guard let text = value.text, let digest = Digest(hex: text) else {
                throw JSONError(
                    .outOfBounds, at: "\(place)[\(index)]", "must be 64 lower-case hexadecimal digits")
            }
            out.append(digest)
        }
        return out
    }
}
