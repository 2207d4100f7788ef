public import BundleFormat
public import Trust

/// A trust root in the making: the members of a `TrustRoot` that may change, checked when `root` is asked for.
public struct RootDraft: Sendable {
    public let version: UInt32
    public let environment: TrustRoot.Environment
    public let created: Int64
    private var keys: [TrustRoot.Key]
    private var roles: [TrustRoot.Role]
    private var revoked: [Digest]
    private var deniedReleases: [Digest]
    private var floor: UInt32

    /// The first root: a key may have several roles.
    public init(
        environment: TrustRoot.Environment, created: Int64, rootThreshold: Int, releaseThreshold: Int
    ) {
        version = 1
        self.environment = environment
        self.created = created
        keys = []
        roles = [
            TrustRoot.Role(.root, keys: [], threshold: rootThreshold),
            TrustRoot.Role(.release, keys: [], threshold: releaseThreshold),
        ]
        revoked = []
        deniedReleases = []
        floor = 0
    }

    /// The same root again, to go on with a draft (`version` nil), or the one that follows it.
    public init(from root: TrustRoot, version: UInt32? = nil, created: Int64) {
        self.version = version ?? root.version
        environment = root.environment
        self.created = created
        keys = root.keys
        roles = root.roles
        revoked = root.revoked
        deniedReleases = root.deniedReleases
        floor = root.floor
    }

    /// Gives a key to a role; a role that nobody had starts with the threshold 1. Once is enough.
    public mutating func add(_ key: PublicKey, name: String, to role: TrustRole) {
        if !keys.contains(where: { $0.publicKey == key }) { keys.append(TrustRoot.Key(key, name: name)) }
        guard let index = roles.firstIndex(where: { $0.role == role }) else {
            roles.append(TrustRoot.Role(role, keys: [key.id], threshold: 1))
            return
        }
        if !roles[index].keys.contains(key.id) { change(index) { $0.append(key.id) } }
    }

    /// Takes a key from a role, or from all. A key without any role is not listed any more; an optional role without
    /// keys is nobody's.
    public mutating func remove(_ key: Digest, from role: TrustRole? = nil) throws(SigningError) {
        let places = roles.indices.filter { (role == nil || roles[$0].role == role) && roles[$0].keys.contains(key) }
        if places.isEmpty { throw .trust(.rootInvalid("the key \(key.hex) is not there to be removed")) }
        for index in places { change(index) { $0.removeAll { $0 == key } } }
        roles.removeAll { $0.keys.isEmpty && $0.role != .root && $0.role != .release }
        if !roles.contains(where: { $0.keys.contains(key) }) { keys.removeAll { $0.publicKey.id == key } }
    }

    /// Puts another key in every place of a key; thresholds stay.
    public mutating func replace(_ former: Digest, by key: PublicKey, name: String) throws(SigningError) {
        let places = roles.filter { $0.keys.contains(former) }.map(\.role)
        for role in places { add(key, name: name, to: role) }
        try remove(former)
    }

    /// Takes the key from all roles and lists it as revoked for ever; it need not be listed.
    public mutating func revoke(_ key: Digest) throws(SigningError) {
        if roles.contains(where: { $0.keys.contains(key) }) { try remove(key) }
        if !revoked.contains(key) { revoked.append(key) }
    }

    /// Denies the release with this manifest for ever.
    public mutating func deny(_ manifest: Digest) {
        if !deniedReleases.contains(manifest) { deniedReleases.append(manifest) }
    }

    /// Raises the lowest security version that devices accept. It never falls.
    public mutating func setFloor(_ value: UInt32) throws(SigningError) {
        if value < floor { throw .trust(.rootLoosens("lowers the floor from \(floor) to \(value)")) }
        floor = value
    }

    /// How many keys of the role must sign.
    public mutating func setThreshold(_ threshold: Int, of role: TrustRole) throws(SigningError) {
        guard let index = roles.firstIndex(where: { $0.role == role }) else {
            throw .trust(.rootInvalid("nobody has the role \(role.rawValue)"))
        }
        roles[index] = TrustRoot.Role(role, keys: roles[index].keys, threshold: threshold)
    }

    private mutating func change(_ index: Int, _ body: (inout [Digest]) -> Void) {
        var keys = roles[index].keys
        body(&keys)
        roles[index] = TrustRoot.Role(roles[index].role, keys: keys, threshold: roles[index].threshold)
    }

    /// The root, if it keeps the rules between its members.
    public func root() throws(SigningError) -> TrustRoot {
        do throws(TrustError) {
            return try TrustRoot(
                version: version, environment: environment, created: created, keys: keys, roles: roles,
                revoked: revoked, deniedReleases: deniedReleases, floor: floor)
        } catch {
            throw .trust(error)
        }
    }
}
