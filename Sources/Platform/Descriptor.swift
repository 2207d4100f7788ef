internal import CDevice

/// Closes a descriptor; out of line so that no C type crosses the module border.
@usableFromInline func closeDescriptor(_ raw: Int32) { kedge_close(raw) }

/// An owned file descriptor: closed exactly once, when its owner goes.
///
/// Reads and writes are positional and whole: they go on after short results, so a caller never sees one.
@frozen public struct Descriptor: ~Copyable, Sendable {
    @usableFromInline let raw: Int32
    /// The path it was opened with, for messages.
    public let path: String

    @inlinable deinit { closeDescriptor(raw) }

    /// How to open (open(2)).
    public struct Options: OptionSet, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        public static let read = Options(rawValue: 1)
        public static let write = Options(rawValue: 2)
        public static let create = Options(rawValue: 4)
        /// With `create`: the file must not exist. On a block device: it must not be mounted or held.
        public static let exclusive = Options(rawValue: 8)
        public static let truncate = Options(rawValue: 16)
        /// Past the page cache; offsets, counts and memory must be aligned to 4096.
        public static let direct = Options(rawValue: 32)
        public static let directory = Options(rawValue: 64)
        public static let noFollow = Options(rawValue: 128)
        public static let append = Options(rawValue: 256)
    }

    /// Takes ownership of an open descriptor.
    init(owning raw: Int32, path: String) {
        self.raw = raw
        self.path = path
    }

    /// Opens a path. `mode` counts only with `create`.
    public init(open path: String, _ options: Options, mode: UInt32 = 0o644) throws(SystemError) {
        let raw = unsafe kedge_open(path, options.rawValue, mode)
        if raw < 0 { throw SystemError(number: -raw, operation: "open", subject: path) }
        self.init(owning: raw, path: path)
    }

    /// The number, for poll loops; it stays owned here.
    public var number: Int32 { raw }

    /// Bytes of the file or block device.
    public func size() throws(SystemError) -> UInt64 {
        var bytes: UInt64 = 0
        try checked(unsafe kedge_size(raw, &bytes), "size", path)
        return bytes
    }

    /// What kind of object this is.
    public func kind() throws(SystemError) -> FileKind {
        FileKind(raw: try checked(kedge_kind(raw), "fstat", path))
    }

    /// Permission bits of the open file itself, whatever its path names by now.
    public func mode() throws(SystemError) -> UInt32 { UInt32(try checked(kedge_mode(raw), "fstat", path)) }

    /// Reads up to `bytes.byteCount` bytes at `offset`; fewer only at the end of the file.
    public func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(SystemError) -> Int {
        let wanted = bytes.byteCount
        let (done, failed) = unsafe bytes.withUnsafeMutableBytes { memory -> (Int, Int32) in
            var done = 0
            guard let base = memory.baseAddress else { return (0, 0) }
            while done < wanted {
                let n = unsafe kedge_pread(raw, base + done, wanted - done, offset + UInt64(done))
                if n < 0 { return (done, Int32(-n)) }
                if n == 0 { break }
                done += Int(n)
            }
            return (done, 0)
        }
        if failed != 0 { throw SystemError(number: failed, operation: "read", subject: path) }
        return done
    }

    /// Writes all of `bytes` at `offset`.
    public func write(_ bytes: RawSpan, at offset: UInt64) throws(SystemError) {
        let wanted = bytes.byteCount
        let failed = unsafe bytes.withUnsafeBytes { memory -> Int32 in
            var done = 0
            guard let base = memory.baseAddress else { return 0 }
            while done < wanted {
                let n = unsafe kedge_pwrite(raw, base + done, wanted - done, offset + UInt64(done))
                if n < 0 { return Int32(-n) }
                if n == 0 { return SystemError.inputOutput }
                done += Int(n)
            }
            return 0
        }
        if failed != 0 { throw SystemError(number: failed, operation: "write", subject: path) }
    }

    /// Writes all of `bytes` at the file position (pipes, terminals, append-only logs).
    public func append(_ bytes: RawSpan) throws(SystemError) {
        let failed = appendAll(bytes, to: raw)
        if failed != 0 { throw SystemError(number: failed, operation: "write", subject: path) }
    }

    /// fdatasync(2). An error is final: the written pages may be lost although a second call would succeed.
    public func flush() throws(SystemError) { try checked(kedge_datasync(raw), "fdatasync", path) }

    /// fsync(2), also for directories.
    public func flushAll() throws(SystemError) { try checked(kedge_sync(raw), "fsync", path) }

    /// Sets the length of a regular file.
    public func truncate(to size: UInt64) throws(SystemError) {
        try checked(kedge_truncate(raw, size), "truncate", path)
    }

    /// Reserves real space, so that a later write cannot meet a full disk.
    public func reserve(_ size: UInt64) throws(SystemError) {
        try checked(kedge_allocate(raw, 0, size), "fallocate", path)
    }

    /// Makes the next reads come from the medium and not from the page cache.
    public func dropCache(at offset: UInt64 = 0, size: UInt64 = 0) throws(SystemError) {
        try checked(kedge_drop_cache(raw, offset, size), "drop cache", path)
    }

    /// Starts reading bytes into the page cache without waiting. Only a hint: its failure means nothing.
    public func willNeed(at offset: UInt64, size: UInt64) { _ = kedge_will_need(raw, offset, size) }

    /// Takes the advisory exclusive lock; false when another process holds it.
    public func tryLock() throws(SystemError) -> Bool {
        let result = kedge_lock_exclusive(raw)
        if result == -SystemError.wouldBlock { return false }
        try checked(result, "flock", path)
        return true
    }
}

/// What a path names.
public enum FileKind: Sendable {
    case file, directory, blockDevice, characterDevice, other

    init(raw: Int32) {
        switch raw {
        case 1: self = .file
        case 2: self = .directory
        case 3: self = .blockDevice
        case 4: self = .characterDevice
        default: self = .other
        }
    }
}

/// Writes everything to a descriptor; the error number, or 0.
func appendAll(_ bytes: RawSpan, to raw: Int32) -> Int32 {
    let wanted = bytes.byteCount
    return unsafe bytes.withUnsafeBytes { memory -> Int32 in
        var done = 0
        guard let base = memory.baseAddress else { return 0 }
        while done < wanted {
            let n = unsafe kedge_write(raw, base + done, wanted - done)
            if n < 0 { return Int32(-n) }
            done += Int(n)
        }
        return 0
    }
}
