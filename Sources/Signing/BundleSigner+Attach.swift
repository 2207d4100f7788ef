public import BundleFormat
public import Trust

extension BundleSigner {
    /// Adds signatures that were made elsewhere to the bundle at `path`, as `sign` does, and gives the ids of their
    /// keys. Each must be right for one of `keys`; if one is not, nothing is written.
    @discardableResult public static func attach(
        _ files: [String], to path: String, keys: [PublicKey], output: String? = nil
    ) throws(SigningError) -> [Digest] {
        if keys.isEmpty { throw .noKey }
        let original = try BundleFile(opening: path)
        let payload = SigningPayload(of: original.head)
        var signatures = original.head.signatures.signatures
        var signers: [Digest] = []
        for file in files {
            let added = try DetachedSignature.verified(reading: file, over: payload, by: keys)
            signatures = added.joined(to: signatures)
            signers.append(added.keyID)
        }
        try original.write(to: output ?? path, signatures: signatures)
        return signers
    }
}

extension TrustRoot {
    /// The release keys that are not revoked.
    public var releaseKeys: [PublicKey] {
        (role(.release)?.keys ?? []).filter { !revoked.contains($0) }.compactMap { key($0)?.publicKey }
    }
}
