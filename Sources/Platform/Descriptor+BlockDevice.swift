internal import CDevice

extension Descriptor {
    /// Whether a block device refuses writes (a write-protect switch, an eMMC boot partition's force_ro). The kernel
    /// lets it be opened for writing all the same.
    public func isReadOnlyDevice() throws(SystemError) -> Bool {
        try checked(kedge_is_read_only(raw), "ioctl BLKROGET", path) == 1
    }
}
