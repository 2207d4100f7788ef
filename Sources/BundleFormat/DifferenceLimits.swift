/// Bounds and marks of a group that is coded as differences: what packager and device agree on (`DifferenceStream`).
public enum DifferenceLimits {
    /// The most control bytes of a group.
    public static let control = 512 * 1024
    /// The bit of the coder byte for an extra frame with the references as its prefix.
    public static let extraPrefix: UInt8 = 0x10
    /// The bit of the coder byte for differences that a `DifferenceCoder` coded, and no zstd frame.
    public static let modelled: UInt8 = 0x01
    /// The most extra bytes of a group with that bit: the coder works in the memory that they leave.
    public static let modelledExtra = 256 * 1024
}
