internal import BundleFormat
internal import Trust

/// Adds signatures to bundles. Manifest, chunk tables and payload stay as they are, so several people can sign one
/// bundle after each other.
public enum BundleSigner {
    /// Signs the bundle at `path` with every key and writes the result to `output`, or back to `path`.
    ///
    /// A signature that one of the keys made before is replaced; others stay. The file must be a whole bundle. The
    /// new one is written beside the output, made durable and renamed, so that at every moment the output is either
    /// the old or the new file, and any error leaves the old one.
    public static func sign(
        bundle path: String, with keys: [SigningKey], output: String? = nil
    ) throws(SigningError) {
        if keys.isEmpty { throw .noKey }
        let original = try BundleFile(opening: path)
        var signatures = original.head.signatures.signatures
        for key in keys {
            let signature = try key.sign(manifest: original.head.manifestBytes)
            signatures.removeAll { $0.keyID == signature.keyID }
            signatures.append(signature)
        }
        try original.write(to: output ?? path, signatures: signatures)
    }
}
