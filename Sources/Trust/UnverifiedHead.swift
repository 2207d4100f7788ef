public import BundleFormat

/// A bundle's head as it claims to be, for looking at it and for signing it. Nothing in it is verified and nothing
/// can be installed from it: installing takes a `VerifiedManifest`, which cannot be made from this.
public struct UnverifiedHead: Sendable {
    public let header: BundleHeader
    public let signatures: SignatureSection
    public let manifest: Manifest
    /// The manifest's exact bytes.
    public let manifestBytes: [UInt8]
    /// SHA-256 of the manifest's bytes.
    public let manifestDigest: Digest

    /// From the first bytes of a bundle: header, signature section and manifest at least. Only the form is checked.
    public init(inspecting head: [UInt8]) throws(TrustError) {
        do throws(FormatError) {
            let parts = try BundleHead(head)
            header = parts.header
            signatures = parts.signatures
            manifest = try parts.decodeManifest()
            manifestBytes = parts.manifest
            manifestDigest = SHA256.digest(of: parts.manifest)
        } catch {
            throw .format(error)
        }
    }
}
