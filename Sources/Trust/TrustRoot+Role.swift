public import BundleFormat

extension TrustRoot {
    /// Keys of which so many must sign.
    public struct KeyGroup: Equatable, Sendable {
        /// For people and errors; nil for the keys of a role that has no groups.
        public let name: Identifier?
        /// Ids of keys of this root, each once.
        public let keys: [Digest]
        /// 1 to the number of keys.
        public let threshold: Int

        public init(name: Identifier?, keys: [Digest], threshold: Int) {
            self.name = name
            self.keys = keys
            self.threshold = threshold
        }
    }

    /// Who may sign for a role, and how many of them must.
    ///
    /// A role has either one list of keys with a threshold, or (policy `all`) several groups of keys, each with a
    /// threshold that must be met by that group's own keys: 1 of the Ed25519 keys *and* 1 of the ML-DSA-65 keys.
    /// A hybrid holds as long as one of its algorithms does, because leaving out a group's signatures refuses.
    public struct Role: Equatable, Sendable {
        public let role: TrustRole
        /// One without a name, or 2 to `mostGroups` with different names; no key is in two of them.
        public let groups: [KeyGroup]

        /// Most groups of a role.
        public static let mostGroups = 8

        /// One list of keys.
        public init(_ role: TrustRole, keys: [Digest], threshold: Int) {
            self.role = role
            groups = [KeyGroup(name: nil, keys: keys, threshold: threshold)]
        }

        /// Several groups, each of which must meet its threshold.
        public init(_ role: TrustRole, all groups: [KeyGroup]) {
            self.role = role
            self.groups = groups
        }

        /// Whether every one of several groups must sign.
        public var isGrouped: Bool { groups.count != 1 || groups[0].name != nil }
        /// The keys of all groups.
        public var keys: [Digest] { groups.flatMap { $0.keys } }
        /// The fewest signatures that meet every threshold.
        public var threshold: Int {
            // Numbers of a document that is not checked yet may be anything.
            groups.reduce(0) { sum, group in
                let (next, overflow) = sum.addingReportingOverflow(group.threshold)
                return overflow ? Int.max : next
            }
        }

        /// Throws `TrustError.rootInvalid` when the groups are not as `groups` says.
        func checkGroups() throws(TrustError) {
            guard isGrouped else { return }
            let place = "the role \(role.rawValue)"
            if groups.count < 2 || groups.count > Self.mostGroups {
                throw .rootInvalid("\(place) has \(groups.count) groups, must have 2 to \(Self.mostGroups)")
            }
            for (index, group) in groups.enumerated() {
                guard let name = group.name else { throw .rootInvalid("\(place) has a group without a name") }
                if groups[0..<index].contains(where: { $0.name == name }) {
                    throw .rootInvalid("\(place) has the group \(name) twice")
                }
            }
        }
    }

    /// Checks that this machine's OpenSSL can verify enough signatures for the roles root and release. A device that
    /// took a root whose releases it cannot verify would refuse every later release, also the one that brings a newer
    /// OpenSSL; so it refuses the root, and stays with the one it has. Throws `TrustError.algorithm`.
    func checkSupported() throws(TrustError) {
        for needed in [TrustRole.root, .release] {
            for group in role(needed)?.groups ?? [] {
                var usable = 0
                var missing: SignatureAlgorithm?
                for id in group.keys where !revoked.contains(id) {
                    guard let algorithm = key(id)?.publicKey.algorithm else { continue }
                    if algorithm.isSupported { usable += 1 } else { missing = algorithm }
                }
                if usable < group.threshold, let missing { throw .algorithm(missing) }
            }
        }
    }
}
