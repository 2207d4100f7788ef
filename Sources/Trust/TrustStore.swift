internal import BundleFormat
internal import Platform

/// The keys that a device trusts, and the only way from a bundle's bytes to a `VerifiedManifest`.
public struct TrustStore: Sendable {
    /// The root document.
    public let root: TrustRoot

    /// Reads `root.json` (at most 128 KiB). Throws `TrustError.rootMissing` when nothing is there.
    public static func load(path: String) throws(TrustError) -> TrustStore {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try FileSystem.read(path, limit: RootFile.limit)
        } catch {
            if error.number == SystemError.notFound { throw .rootMissing(path: path) }
            throw .system(error)
        }
        return try TrustStore(rootFile: bytes)
    }

    /// From the bytes of a root file, which must be signed by the threshold of its own root role. That proves only
    /// that the holders of its keys agreed to it; that it is the right root comes from who put it on the device.
    public init(rootFile bytes: [UInt8]) throws(TrustError) {
        let file = try RootFile.decode(bytes)
        // A root that vouches for itself has to be read before its signatures can be looked up. It is strict JSON
        // of at most 128 KiB, and nothing of it is used before the signatures hold.
        let root = try TrustRoot.decode(file.payload)
        _ = try root.signers(
            .root, of: file.signedBytes,
            claimed: file.signatures.map {
                ClaimedSignature(algorithm: nil, keyID: $0.keyID, signature: $0.signature)
            })
        try root.checkSupported()
        self.root = root
    }

    /// Only for a root that was verified.
    init(verified root: TrustRoot) { self.root = root }

    /// Verifies a bundle's head: its first bytes, at least header, signature section and manifest (what follows is
    /// not looked at). The order is the point:
    ///
    /// 1. Header and signature section: fixed binary fields with caps, nothing that could grow.
    /// 2. The signatures, over the manifest's bytes in memory. Until they hold, the manifest is only bytes, so no
    ///    parser of any depth runs on what a stranger wrote.
    /// 3. The denied releases, by the digest of the same bytes: a denied manifest is not parsed either.
    /// 4. The manifest, from the same bytes again, so that nothing can change between the check and the use.
    /// 5. The header's lengths, which were hints until now, against the signed ones.
    ///
    /// Product, floor and times are policy and are checked by the engine.
    public func verify(_ head: [UInt8]) throws(TrustError) -> VerifiedManifest {
        let parts: BundleHead
        do throws(FormatError) { parts = try BundleHead(head) } catch { throw .format(error) }
        let signers = try root.signers(
            .release, of: parts.signedBytes,
            claimed: parts.signatures.signatures.map {
                ClaimedSignature(algorithm: $0.algorithm, keyID: $0.keyID, signature: $0.signature)
            })
        let digest = SHA256.digest(of: parts.manifest)
        if root.deniedReleases.contains(digest) { throw .deniedRelease(manifest: digest) }
        let manifest: Manifest
        do throws(FormatError) { manifest = try parts.decodeManifest() } catch { throw .format(error) }
        return VerifiedManifest(manifest: manifest, header: parts.header, digest: digest, signers: signers)
    }
}
