internal import BundleFormat

/// The trust store of a device together with its proof: the root that the running system ships (the anchor), and the
/// root files that lead from it to the newest one, each signed by the former and by itself.
///
/// The kept root files are not trusted for having been kept: every start walks them again from the anchor, so whoever
/// can write the data directory can withhold a root but not make one. When a newer system ships a newer anchor, the
/// walk starts there. When a system with an older anchor comes back (a rollback), its walk goes through the older
/// root files, which are kept for that.
public struct TrustChain: Sendable {
    /// Most steps of one walk, from the anchor to the newest root.
    public static let mostSteps = 1024

    /// A root file and the version that it is said to have.
    struct Link: Equatable, Sendable {
        let version: UInt32
        let bytes: [UInt8]
    }

    /// The root that the running system ships.
    public let anchor: TrustRoot
    /// The newest root that the walk reached.
    public private(set) var trust: TrustStore
    /// Everything worth keeping, by rising version: root files below the anchor, which only an older system needs,
    /// the anchor's own, and those that were walked.
    private(set) var links: [Link]
    /// Why the walk over kept roots ended before the last one; nil when it did not.
    public private(set) var broken: TrustError?

    /// Only the anchor, from the bytes of the built-in root file.
    public init(anchor bytes: [UInt8]) throws(TrustError) { try self.init(anchor: bytes, kept: []) }

    /// The anchor, and the walk over what is kept as far as it leads. Kept bytes that do not verify end the walk and
    /// are dropped: a damaged data directory must not stop a device from updating itself. Only the anchor can make
    /// this throw.
    init(anchor bytes: [UInt8], kept: [Link]) throws(TrustError) {
        let store = try TrustStore(rootFile: bytes)
        let anchor = store.root
        self.anchor = anchor
        trust = store
        links = Self.below(anchor.version, in: kept) + [Link(version: anchor.version, bytes: bytes)]
        for link in kept where link.version > anchor.version {
            do throws(TrustError) { try extend(with: link.bytes) } catch {
                broken = error
                return
            }
        }
    }

    /// Steps from the anchor to the newest root.
    public var steps: Int { Int(trust.root.version - anchor.version) }

    /// Takes the next root, or throws and stays as it is.
    public mutating func extend(with rootFile: [UInt8]) throws(TrustError) {
        if steps >= Self.mostSteps {
            throw .rootInvalid("it is more than \(Self.mostSteps) steps away from the built-in one")
        }
        let next = try trust.succeeded(by: rootFile)
        links.append(Link(version: next.root.version, bytes: rootFile))
        trust = next
    }

    /// Forgets the oldest root file that only an older system would need; false when there is none.
    mutating func dropOldest() -> Bool {
        guard let first = links.first, first.version < anchor.version else { return false }
        links.removeFirst()
        return true
    }

    private static func below(_ version: UInt32, in kept: [Link]) -> [Link] {
        var out: [Link] = []
        for link in kept where link.version < version && link.version > out.last?.version ?? 0 { out.append(link) }
        return out
    }
}
