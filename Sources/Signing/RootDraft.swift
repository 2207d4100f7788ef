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
    ///
    /// In a role with groups the key goes to the named one, which starts with the threshold 1 when it is new; without a
    /// name to the one that is called like the key's algorithm.
    public mutating func add(
        _ key: PublicKey, name: String, to role: TrustRole, group: Identifier? = nil
    ) throws(SigningError) {
        guard let index = roles.firstIndex(where: { $0.role == role }) else {
            if let group { throw Self.noGroup(group, role) }
            list(key, name)
            roles.append(TrustRoot.Role(role, keys: [key.id], threshold: 1))
            return
        }
        if roles[index].keys.contains(key.id) { return }
        var groups = roles[index].groups
        if let place = try Self.place(of: key, group, in: roles[index]) {
            groups[place] = groups[place].with(keys: groups[place].keys + [key.id])
        } else {
            groups.append(TrustRoot.KeyGroup(name: group, keys: [key.id], threshold: 1))
        }
        list(key, name)
        roles[index] = TrustRoot.Role(role, all: groups)
    }

    /// The index of the group for a new key; nil for a group that is not there yet.
    private static func place(
        of key: PublicKey, _ group: Identifier?, in role: TrustRoot.Role
    ) throws(SigningError) -> Int? {
        guard role.isGrouped else {
            if let group { throw noGroup(group, role.role) }
            return 0
        }
        if let group { return role.groups.firstIndex { $0.name == group } }
        guard let place = role.groups.firstIndex(where: { $0.name?.text == key.algorithm.name }) else {
            throw .trust(
                .rootInvalid("the role \(role.role.rawValue) has groups and none is called \(key.algorithm.name)"))
        }
        return place
    }

    private static func noGroup(_ group: Identifier, _ role: TrustRole) -> SigningError {
        .trust(.rootInvalid("the role \(role.rawValue) has no groups, and so no \(group)"))
    }

    private mutating func list(_ key: PublicKey, _ name: String) {
        if !keys.contains(where: { $0.publicKey == key }) { keys.append(TrustRoot.Key(key, name: name)) }
    }

    /// Takes a key from a role, or from all. A key without any role is not listed any more; an optional role without
    /// keys is nobody's.
    public mutating func remove(_ key: Digest, from role: TrustRole? = nil) throws(SigningError) {
        let places = roles.indices.filter { (role == nil || roles[$0].role == role) && roles[$0].keys.contains(key) }
        if places.isEmpty { throw .trust(.rootInvalid("the key \(key.hex) is not there to be removed")) }
        for index in places { change(index) { $0.filter { $0 != key } } }
        roles.removeAll { $0.keys.isEmpty && $0.role != .root && $0.role != .release }
        if !roles.contains(where: { $0.keys.contains(key) }) { keys.removeAll { $0.publicKey.id == key } }
    }

    /// Puts another key in every place of a key; groups and thresholds stay.
    public mutating func replace(_ former: Digest, by key: PublicKey, name: String) throws(SigningError) {
        let places = roles.indices.filter { roles[$0].keys.contains(former) }
        if places.isEmpty { throw .trust(.rootInvalid("the key \(former.hex) is not there to be replaced")) }
        list(key, name)
        for index in places {
            let isThere = roles[index].keys.contains(key.id)
            change(index) { $0.flatMap { $0 == former ? (isThere ? [] : [key.id]) : [$0] } }
        }
        keys.removeAll { $0.publicKey.id == former }
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

    /// How many keys of the role, or of one of its groups, must sign.
    public mutating func setThreshold(
        _ threshold: Int, of role: TrustRole, group: Identifier? = nil
    ) throws(SigningError) {
        guard let index = roles.firstIndex(where: { $0.role == role }) else {
            throw .trust(.rootInvalid("nobody has the role \(role.rawValue)"))
        }
        var groups = roles[index].groups
        guard let place = groups.firstIndex(where: { $0.name == group }) else {
            throw .trust(
                .rootInvalid(
                    "the role \(role.rawValue) has "
                        + (roles[index].isGrouped
                            ? "the groups " + groups.compactMap { $0.name?.text }.joined(separator: ", ")
                            : "no groups")))
        }
        groups[place] = TrustRoot.KeyGroup(name: group, keys: groups[place].keys, threshold: threshold)
        roles[index] = TrustRoot.Role(role, all: groups)
    }

    /// Parts a role's keys into one group for each algorithm, named after it, each of which must meet the role's
    /// threshold by itself. That is what makes a hybrid.
    public mutating func requireEachAlgorithm(of role: TrustRole) throws(SigningError) {
        guard let index = roles.firstIndex(where: { $0.role == role }) else {
            throw .trust(.rootInvalid("nobody has the role \(role.rawValue)"))
        }
        let former = roles[index]
        if former.isGrouped { throw .trust(.rootInvalid("the role \(role.rawValue) has groups already")) }
        var groups: [TrustRoot.KeyGroup] = []
        for algorithm in SignatureAlgorithm.allCases {
            let own = former.keys.filter { id in
                keys.contains { $0.publicKey.id == id && $0.publicKey.algorithm == algorithm }
            }
            if own.isEmpty { continue }
            groups.append(
                TrustRoot.KeyGroup(name: Identifier(algorithm.name), keys: own, threshold: former.threshold))
        }
        if groups.count < 2 {
            throw .trust(.rootInvalid("the role \(role.rawValue) has keys of one algorithm only"))
        }
        roles[index] = TrustRoot.Role(role, all: groups)
    }

    /// Makes one list of a role's groups again. As many signatures are needed as before, by any of the keys.
    public mutating func requireAny(of role: TrustRole) throws(SigningError) {
        guard let index = roles.firstIndex(where: { $0.role == role }), roles[index].isGrouped else {
            throw .trust(.rootInvalid("the role \(role.rawValue) has no groups"))
        }
        roles[index] = TrustRoot.Role(role, keys: roles[index].keys, threshold: roles[index].threshold)
    }

    private mutating func change(_ index: Int, _ body: ([Digest]) -> [Digest]) {
        roles[index] = TrustRoot.Role(
            roles[index].role, all: roles[index].groups.map { $0.with(keys: body($0.keys)) })
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

extension TrustRoot.KeyGroup {
    /// The same group with other keys.
    fileprivate func with(keys: [Digest]) -> TrustRoot.KeyGroup {
        TrustRoot.KeyGroup(name: name, keys: keys, threshold: threshold)
    }
}
