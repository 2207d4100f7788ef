/// Caps that hold before anything is authenticated, and bounds of signed values.
public enum BundleLimits {
    /// Signature section, bytes.
    public static let envelope = 64 * 1024
    /// Manifest, bytes.
    public static let manifest = 1024 * 1024
    /// All chunk tables together, bytes (about 215 GiB of image at 1 MiB windows).
    public static let tables = 16 * 1024 * 1024
    /// Signatures in one envelope.
    public static let signatures = 16
    /// Components of one release.
    public static let components = 64
    /// Largest window, bytes.
    public static let window = 1024 * 1024
    /// Smallest window, bytes: the alignment of direct I/O.
    public static let smallestWindow = 4096
    /// Largest image, bytes (16 TiB).
    public static let image: UInt64 = 1 << 44
    /// Largest bundle, bytes.
    public static let bundle: UInt64 = 1 << 46
}
