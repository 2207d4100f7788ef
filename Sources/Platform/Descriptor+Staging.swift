internal import CDevice

extension Descriptor {
    /// A new file without a name on the file system of `directory` (O_TMPFILE): the kernel removes it when the
    /// process ends in any way. Error 95 (EOPNOTSUPP) or 21 (EISDIR) where the file system has no such files.
    public init(unnamedIn directory: String, mode: UInt32 = 0o644) throws(SystemError) {
        let raw = try checked(unsafe kedge_open_unnamed(directory, mode), "open unnamed file", directory)
        self.init(owning: raw, path: "a temporary file in \(directory)")
    }

    /// Gives an unnamed file the name `path`, which must not exist.
    public func link(to path: String) throws(SystemError) {
        try checked(unsafe kedge_link_unnamed(raw, path), "linkat", path)
    }

    /// Copies `count` bytes from the start of `source` to `offset` here, inside the kernel where it can.
    public func copy(from source: borrowing Descriptor, count: UInt64, to offset: UInt64) throws(SystemError) {
        var done: UInt64 = 0
        while done < count {
            let part = Int(min(count - done, 64 << 20))
            let n = kedge_copy_range(source.raw, done, raw, offset + done, part)
            if n <= 0 { break }
            done += UInt64(n)
        }
        // What copy_file_range(2) refuses (another file system, an old kernel) is copied by hand; if the medium is at
        // fault, reading or writing says so.
        if done < count { try copyByHand(from: source, done: done, count: count, to: offset) }
    }

    private func copyByHand(
        from source: borrowing Descriptor, done: UInt64, count: UInt64, to offset: UInt64
    ) throws(SystemError) {
        let buffer = try AlignedBuffer(capacity: 1 << 20)
        var done = done
        while done < count {
            let position = done
            let got = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
                try source.read(into: &bytes, at: position)
            }
            let part = Int(min(count - done, UInt64(got)))
            if part == 0 {
                throw SystemError(number: SystemError.inputOutput, operation: "read", subject: source.path)
            }
            try write(buffer.bytes.extracting(0..<part), at: offset + position)
            done += UInt64(part)
        }
    }

    /// When the content last changed, nanoseconds since 1970.
    public func modified() throws(SystemError) -> Int64 {
        var seconds: Int64 = 0
        var nanoseconds: UInt32 = 0
        try checked(unsafe kedge_modified(raw, &seconds, &nanoseconds), "fstat", path)
        return seconds * 1_000_000_000 + Int64(nanoseconds)
    }
}
