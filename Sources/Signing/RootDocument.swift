public import BundleFormat
public import Trust

/// Makes and signs trust roots.
public enum RootDocument {
    /// A new trust root, signed, as the bytes of `root.json`. A key may have several roles.
    ///
    /// The result is loaded as a device would, so that a root which its own keys do not sign by their threshold is
    /// an error here and not in the field.
    public static func make(
        version: UInt32 = 1, environment: TrustRoot.Environment, created: Int64,
        rootKeys: [(key: PublicKey, name: String)], rootThreshold: Int,
        releaseKeys: [(key: PublicKey, name: String)], releaseThreshold: Int,
        revoked: [Digest] = [], deniedReleases: [Digest] = [], floor: UInt32 = 0, signedBy signers: [SigningKey]
    ) throws(SigningError) -> [UInt8] {
        var keys: [TrustRoot.Key] = []
        for (key, name) in rootKeys + releaseKeys where !keys.contains(where: { $0.publicKey == key }) {
            keys.append(TrustRoot.Key(key, name: name))
        }
        let root: TrustRoot
        do throws(TrustError) {
            root = try TrustRoot(
                version: version, environment: environment, created: created, keys: keys,
                roles: [
                    TrustRoot.Role(.root, keys: rootKeys.map { $0.key.id }, threshold: rootThreshold),
                    TrustRoot.Role(.release, keys: releaseKeys.map { $0.key.id }, threshold: releaseThreshold),
                ],
                revoked: revoked, deniedReleases: deniedReleases, floor: floor)
        } catch {
            throw .trust(error)
        }
        return try sign(root, by: signers)
    }

    /// A trust root of any form, signed, as the bytes of `root.json`.
    public static func sign(_ root: TrustRoot, by signers: [SigningKey]) throws(SigningError) -> [UInt8] {
        let payload = root.bytes
        let message = RootFile(payload: payload, signatures: []).signedBytes
        var signatures: [RootFile.Signature] = []
        for signer in signers {
            signatures.append(
                RootFile.Signature(keyID: signer.publicKey.id, signature: try signer.sign(message)))
        }
        let bytes = RootFile(payload: payload, signatures: signatures).bytes
        do throws(TrustError) { _ = try TrustStore(rootFile: bytes) } catch { throw .trust(error) }
        return bytes
    }
}
