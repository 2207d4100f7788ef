internal import BundleFormat
internal import Platform

/// Spreads the starts of a fleet over a window: a device's place in it depends on the device and the rollout alone, so
/// that a restart changes nothing, and so that it is not always the same devices that go first.
public enum StartSpread {
    /// Nanoseconds into the window: SHA-256 of device, NUL and rollout; its first eight bytes, big endian, modulo the
    /// window.
    public static func nanoseconds(device: String, rollout: String, windowSeconds: UInt64) -> UInt64 {
        if windowSeconds == 0 { return 0 }
        let digest = SHA256.digest(of: Array(device.utf8) + [0] + Array(rollout.utf8))
        var value: UInt64 = 0
        for byte in digest.bytes.prefix(8) { value = value << 8 | UInt64(byte) }
        return value % (windowSeconds * 1_000_000_000)
    }
}
