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
    /// Deltas of one component.
    public static let deltas = 16
    /// Largest piece of the payload that holds a table, stored bytes.
    public static let piece = 16 * 1024 * 1024
    /// Largest table of a form after decompression, bytes.
    public static let plainPiece = 64 * 1024 * 1024
    /// Residual bytes of one delta group: a device holds them in memory.
    public static let residual = 1024 * 1024
    /// Reference bytes of one delta group: a device gathers them in memory.
    public static let references = 4 * 1024 * 1024
    /// Ranges that the references of one group are gathered from.
    public static let referenceRanges = 1024
    /// Windows of one delta group.
    public static let groupWindows = 256
    /// Bytes of a block of the blocks form.
    public static let block = 4096
}
