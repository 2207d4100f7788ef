extension FileSystem {
    /// Bytes of a file or block device.
    public static func size(of path: String) throws(SystemError) -> UInt64 {
        try Descriptor(open: path, [.read]).size()
    }
}
