internal import CDevice

/// Whole-path operations.
public enum FileSystem {
    /// What is at the path, or nil when nothing is.
    public static func kind(of path: String) throws(SystemError) -> FileKind? {
        let result = unsafe kedge_path_kind(path)
        if result == -SystemError.notFound || result == -SystemError.notDirectory { return nil }
        return FileKind(raw: try checked(result, "stat", path))
    }

    /// Permission bits.
    public static func mode(of path: String) throws(SystemError) -> UInt32 {
        UInt32(try checked(unsafe kedge_path_mode(path), "stat", path))
    }

    /// Makes the directory and those above it; what exists is left as it is.
    public static func makeDirectories(_ path: String, mode: UInt32 = 0o755) throws(SystemError) {
        if let kind = try kind(of: path) {
            guard case .directory = kind else {
                throw SystemError(number: SystemError.notDirectory, operation: "mkdir", subject: path)
            }
            return
        }
        let above = parent(of: path)
        if above != path { try makeDirectories(above, mode: mode) }
        let result = unsafe kedge_mkdir(path, mode)
        if result != -SystemError.exists { try checked(result, "mkdir", path) }
    }

    /// The names in a directory, sorted by their bytes.
    public static func list(_ path: String) throws(SystemError) -> [String] {
        var error: Int32 = 0
        guard let directory = unsafe kedge_directory_open(path, &error) else {
            throw SystemError(number: -error, operation: "opendir", subject: path)
        }
        defer { unsafe kedge_directory_close(directory) }
        var names: [String] = []
        while let name = unsafe kedge_directory_next(directory) { names.append(unsafe String(cString: name)) }
        return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
    }

    /// Removes a file; nothing there is no error.
    public static func remove(_ path: String) throws(SystemError) {
        let result = unsafe kedge_unlink(path)
        if result != -SystemError.notFound { try checked(result, "unlink", path) }
    }

    /// Removes an empty directory.
    public static func removeDirectory(_ path: String) throws(SystemError) {
        try checked(unsafe kedge_rmdir(path), "rmdir", path)
    }

    /// rename(2); the caller makes it durable with `flushDirectory`.
    public static func rename(_ from: String, to: String) throws(SystemError) {
        try checked(unsafe kedge_rename(from, to), "rename", "\(from) to \(to)")
    }

    /// Makes names in a directory durable.
    public static func flushDirectory(_ path: String) throws(SystemError) {
        let directory = try Descriptor(open: path, [.read, .directory])
        try directory.flushAll()
    }

    /// Bytes an unprivileged writer can still use on the file system of `path`.
    public static func freeSpace(at path: String) throws(SystemError) -> UInt64 {
        var bytes: UInt64 = 0
        try checked(unsafe kedge_free_space(path, &bytes), "statvfs", path)
        return bytes
    }

    /// The whole file, refused when it is longer than `limit` bytes. Reads to the end, so /proc files work too.
    public static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
        let file = try Descriptor(open: path, [.read])
        var out: [UInt8] = []
        let buffer = try AlignedBuffer(capacity: 65536)
        while true {
            let offset = UInt64(out.count)
            let count = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
                try file.read(into: &bytes, at: offset)
            }
            if count == 0 { return out }
            if out.count + count > limit {
                throw SystemError(number: 27, operation: "read", subject: "\(path) (over \(limit) bytes)")
            }
            appendBytes(of: buffer.bytes, count: count, to: &out)
        }
    }

    /// Replaces a file as a whole: temporary file, fsync, rename, fsync of the directory. After a power cut the
    /// path holds the old or the new bytes, never a mixture. An error leaves the old ones and no temporary file.
    public static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o644) throws(SystemError) {
        let temporary = path + ".new"
        try remove(temporary)
        do throws(SystemError) {
            try writeDurably(temporary, bytes, mode: mode)
            try rename(temporary, to: path)
        } catch {
            // A full disk must not stay full of what could not be finished. The first error is the one that tells.
            _ = unsafe kedge_unlink(temporary)
            throw error
        }
        try flushDirectory(parent(of: path))
    }

    private static func writeDurably(_ path: String, _ bytes: [UInt8], mode: UInt32) throws(SystemError) {
        let file = try Descriptor(open: path, [.write, .create, .exclusive, .noFollow], mode: mode)
        try file.write(bytes.rawBytes, at: 0)
        try file.flushAll()
    }

    /// The directory part: `/a/b` gives `/a`, `b` gives `.`.
    public static func parent(of path: String) -> String {
        let bytes = Array(path.utf8)
        var end = bytes.count
        while end > 1 && bytes[end - 1] == 0x2f { end -= 1 }
        while end > 0 && bytes[end - 1] != 0x2f { end -= 1 }
        if end == 0 { return "." }
        while end > 1 && bytes[end - 1] == 0x2f { end -= 1 }
        return String(decoding: bytes[0..<end], as: UTF8.self)
    }
}

/// Copies the first `count` bytes of a span to the end of an array.
func appendBytes(of span: RawSpan, count: Int, to out: inout [UInt8]) {
    unsafe span.extracting(0..<count).withUnsafeBytes { unsafe out.append(contentsOf: $0) }
}

extension Array where Element == UInt8 {
    /// The bytes as a raw span. `Span.bytes` is marked unsafe because elements may have padding; bytes have none.
    public var rawBytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let bytes = unsafe span.bytes
            return unsafe _overrideLifetime(bytes, borrowing: self)
        }
    }

    /// The bytes of a span.
    public init(copying span: RawSpan) {
        self = []
        reserveCapacity(span.byteCount)
        appendBytes(of: span, count: span.byteCount, to: &self)
    }
}
