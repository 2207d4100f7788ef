internal import BundleFormat

/// A signature as a bundle or root file claims it.
struct ClaimedSignature {
    /// The algorithm's number; nil when the document leaves it to the key.
    let algorithm: UInt8?
    let keyID: Digest
    let signature: [UInt8]
}

extension TrustRoot {
    /// Ids of the distinct, unrevoked keys of the role whose signatures over `message` were verified: at least as
    /// many as its threshold in each of its groups, or an error. The one place where signatures are counted.
    ///
    /// - A signature by another key or with an unknown algorithm is left out: a bundle may serve several fleets,
    ///   and older devices.
    /// - A signature by a revoked key is left out, good or not.
    /// - A signature that names a key of the role and is wrong refuses everything, even when others would suffice:
    ///   the bytes are not what that key's holder signed.
    /// - One whose algorithm this machine's OpenSSL does not know is left out: it counts for nothing. When a
    ///   threshold is missed, the error says that this may be why.
    func signers(
        _ wanted: TrustRole, of message: [UInt8], claimed: [ClaimedSignature]
    ) throws(TrustError) -> [Digest] {
        if claimed.isEmpty { throw .unsigned }
        guard let role = role(wanted) else { throw .unknownKey(role: wanted) }
        var signers: [PublicKey] = []
        var revokedSigner: Digest?
        var unsupported: [PublicKey] = []
        for claim in claimed {
            if revoked.contains(claim.keyID) {
                revokedSigner = claim.keyID
                continue
            }
            guard role.keys.contains(claim.keyID), let key = key(claim.keyID)?.publicKey else { continue }
            if let algorithm = claim.algorithm, algorithm != key.algorithm.rawValue { continue }
            if !key.algorithm.isSupported {
                unsupported.append(key)
                continue
            }
            try key.verify(claim.signature, over: message)
            // Signatures are cheap to copy; holders are what is counted, and a holder is its key's bytes.
            if !signers.contains(where: { $0.bytes == key.bytes }) { signers.append(key) }
        }
        if signers.isEmpty, unsupported.isEmpty {
            if let revokedSigner { throw .revokedKey(key: revokedSigner) }
            throw .unknownKey(role: wanted)
        }
        for group in role.groups {
            let present = signers.reduce(0) { $0 + (group.keys.contains($1.id) ? 1 : 0) }
            if present >= group.threshold { continue }
            if let key = unsupported.first(where: { group.keys.contains($0.id) }) { throw .algorithm(key.algorithm) }
            guard let name = group.name else {
                throw .threshold(role: wanted, present: present, needed: group.threshold)
            }
            throw .groupThreshold(role: wanted, group: name, present: present, needed: group.threshold)
        }
        return signers.map { $0.id }
    }
}
