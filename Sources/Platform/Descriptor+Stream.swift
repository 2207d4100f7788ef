internal import CDevice

extension Descriptor {
    /// A copy of an open descriptor that this process was given, such as standard input. Both share one position.
    public init(duplicating raw: Int32, path: String) throws(SystemError) {
        self.init(owning: try checked(kedge_duplicate(raw), "dup", path), path: path)
    }

    /// Whether bytes (or the end) come within `milliseconds`.
    public func waitUntilReadable(milliseconds: Int32) throws(SystemError) -> Bool {
        try checked(kedge_wait_readable(number, milliseconds), "poll", path) > 0
    }

    /// Reads at the file position what is there, at most `bytes.byteCount`; 0 at the end.
    public func readNext(into bytes: inout MutableRawSpan) throws(SystemError) -> Int {
        let wanted = bytes.byteCount
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe kedge_read(number, $0.baseAddress, wanted) }
        if count < 0 { throw SystemError(number: Int32(-count), operation: "read", subject: path) }
        return Int(count)
    }
}
