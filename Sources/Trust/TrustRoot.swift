public import BundleFormat

/// What a key may sign for.
public enum TrustRole: String, Sendable, CaseIterable {
    /// The trust root itself.
    case root
    /// Releases: the manifests of bundles.
    case release
    /// What a fleet is offered.
    case channel
    /// Exceptions to policy.
    case override
}

/// Which keys a device trusts for what: the decoded root document. It is plain data; only a `TrustStore` says that
/// it is signed by itself.
public struct TrustRoot: Equatable, Sendable {
    /// Whom the keys are for. Devices in the field have `prod`.
    public enum Environment: String, Sendable, CaseIterable {
        case prod, dev
    }
    /// A key and its name for people.
    public struct Key: Equatable, Sendable {
        public let publicKey: PublicKey
        /// 1 to 64 bytes of text; decides nothing.
        public let name: String

        public init(_ publicKey: PublicKey, name: String) {
            self.publicKey = publicKey
            self.name = name
        }
    }
    /// Rises by one with every new root; 1 is the first.
    public let version: UInt32
    public let environment: Environment
    /// Seconds since 1970.
    public let created: Int64
    public let keys: [Key]
    /// `root` and `release` at least, each role once.
    public let roles: [Role]
    /// Ids of keys that count for nothing any more, whether they are still listed or not.
    public let revoked: [Digest]
    /// SHA-256 of the manifests of releases that must not be installed.
    public let deniedReleases: [Digest]
    /// Lowest `securityVersion` that policy may accept.
    public let floor: UInt32

    /// Most keys, and most entries of each list of digests.
    public static let mostKeys = 64
    public static let mostDigests = 256

    /// Checks the rules between the members; throws `TrustError.rootInvalid`.
    public init(
        version: UInt32, environment: Environment, created: Int64, keys: [Key], roles: [Role],
        revoked: [Digest] = [], deniedReleases: [Digest] = [], floor: UInt32 = 0
    ) throws(TrustError) {
        self.version = version
        self.environment = environment
        self.created = created
        self.keys = keys
        self.roles = roles
        self.revoked = revoked
        self.deniedReleases = deniedReleases
        self.floor = floor
        if version == 0 { throw .rootInvalid("versions start at 1") }
        try checkKeys()
        for role in roles { try check(role) }
        for needed in [TrustRole.root, .release] where self.role(needed) == nil {
            throw .rootInvalid("the role \(needed.rawValue) is missing")
        }
        try Self.checkDistinct(revoked, "revoked")
        try Self.checkDistinct(deniedReleases, "deniedReleases")
    }

    /// The key of that id.
    public func key(_ id: Digest) -> Key? { keys.first { $0.publicKey.id == id } }

    /// The keys and threshold of a role; nil when this root does not give it to anybody.
    public func role(_ role: TrustRole) -> Role? { roles.first { $0.role == role } }

    private func checkKeys() throws(TrustError) {
        if keys.isEmpty || keys.count > Self.mostKeys {
            throw .rootInvalid("it has \(keys.count) keys, must have 1 to \(Self.mostKeys)")
        }
        for (index, key) in keys.enumerated() {
            // By the bytes and not only by the id: a threshold counts holders of different keys.
            if keys[0..<index].contains(where: { $0.publicKey.bytes == key.publicKey.bytes }) {
                throw .rootInvalid("the key \(key.publicKey.id.hex) is listed twice")
            }
        }
    }

    private func check(_ role: Role) throws(TrustError) {
        let name = "the role \(role.role.rawValue)"
        if roles.filter({ $0.role == role.role }).count != 1 { throw .rootInvalid("\(name) is there twice") }
        try role.checkGroups()
        let all = role.keys
        if all.count > Self.mostKeys { throw .rootInvalid("\(name) has too many keys") }
        for (index, id) in all.enumerated() {
            if key(id) == nil { throw .rootInvalid("\(name) names the unknown key \(id.hex)") }
            // Also across groups: one signature must not count for two of them.
            if all[0..<index].contains(id) { throw .rootInvalid("\(name) names the key \(id.hex) twice") }
        }
        for group in role.groups {
            let place = group.name.map { "the group \($0) of \(name)" } ?? name
            if group.threshold < 1 || group.threshold > group.keys.count {
                throw .rootInvalid("\(place) has \(group.keys.count) keys and the threshold \(group.threshold)")
            }
            // Otherwise nobody could ever sign again, and only a visit to the device would help.
            if group.keys.filter({ !revoked.contains($0) }).count < group.threshold {
                throw .rootInvalid("too many keys of \(place) are revoked for its threshold \(group.threshold)")
            }
        }
    }

    private static func checkDistinct(_ digests: [Digest], _ name: String) throws(TrustError) {
        if digests.count > mostDigests { throw .rootInvalid("\(name) has more than \(mostDigests) entries") }
        for (index, digest) in digests.enumerated() where digests[0..<index].contains(digest) {
            throw .rootInvalid("\(name) has \(digest.hex) twice")
        }
    }
}
