public import Platform

/// Two places of the data directory that keep the same roots twice.
public protocol TrustMedium: AnyObject, Sendable {
    /// The bytes of a place, 0 or 1; nil where nothing was ever written.
    func read(slot: Int) throws(SystemError) -> [UInt8]?
    /// Overwrites a place, makes it durable, and gives back what the medium holds there then.
    func write(slot: Int, _ bytes: [UInt8]) throws(SystemError) -> [UInt8]
}

/// Where a device keeps the roots that follow its built-in one.
///
/// Two copies. A write overwrites the copy that leads less far, flushes and reads it back before it touches the other:
/// power may go at any byte, and one copy is whole. Both are written, so that a single bad sector costs nothing.
/// Only a chain that was verified can be given to `store`: bytes are never kept first and checked later (tough
/// CVE-2025-2888).
public final class TrustHome: Sendable {
    private let medium: any TrustMedium

    /// Nothing is read yet.
    public init(_ medium: any TrustMedium) { self.medium = medium }

    /// Walks from the built-in root (its file's bytes) over the copy that leads further. Throws only for the built-in
    /// root; a copy that is missing, damaged or cannot be read counts as empty.
    public func load(anchor: [UInt8]) throws(TrustError) -> TrustChain {
        let chains = try candidates(anchor)
        return chains[Self.best(chains)]
    }

    /// Keeps the chain. Throws `TrustError.system` when the medium does not hold it; then one copy, the former or the
    /// new one, is whole.
    public func store(_ chain: TrustChain, anchor: [UInt8]) throws(TrustError) {
        let bytes = try chain.encoded()
        let newest = Self.best(try candidates(anchor))
        for slot in [1 - newest, newest] {
            do throws(SystemError) {
                if try medium.write(slot: slot, bytes) != bytes {
                    throw SystemError(
                        number: SystemError.inputOutput, operation: "read back", subject: "trust.\(slot)")
                }
            } catch {
                throw .system(error)
            }
        }
    }

    private func candidates(_ anchor: [UInt8]) throws(TrustError) -> [TrustChain] {
        var chains: [TrustChain] = []
        for slot in 0..<2 { chains.append(try TrustChain(anchor: anchor, kept: kept(slot))) }
        return chains
    }

    private func kept(_ slot: Int) -> [TrustChain.Link] {
        do throws(SystemError) {
            guard let bytes = try medium.read(slot: slot) else { return [] }
            return TrustChain.decode(bytes) ?? []
        } catch {
            return []
        }
    }

    /// The further one; between equals the one that an older system could use more of.
    private static func best(_ chains: [TrustChain]) -> Int {
        let (first, second) = (chains[0], chains[1])
        if first.steps != second.steps { return first.steps > second.steps ? 0 : 1 }
        return first.links.count >= second.links.count ? 0 : 1
    }
}
