internal import CDevice

extension FileSystem {
    /// Makes a symbolic link that names `target`; what stands at `path`, unless it is a directory, is replaced.
    public static func replaceLink(_ path: String, target: String) throws(SystemError) {
        try remove(path)
        try checked(unsafe kedge_symlink(target, path), "symlink", path)
    }

    /// What a symbolic link names, or nil when the path is not there or is no link.
    public static func linkTarget(of path: String) throws(SystemError) -> String? {
        // Linux resolves no path longer than PATH_MAX, 4096 bytes (limits.h).
        var target = [UInt8](repeating: 0, count: 4096)
        let count = unsafe target.withUnsafeMutableBytes { memory in
            unsafe kedge_readlink(path, memory.baseAddress?.assumingMemoryBound(to: CChar.self), memory.count)
        }
        if count == -Int64(SystemError.notFound) || count == -Int64(SystemError.invalid) { return nil }
        if count < 0 { throw SystemError(number: Int32(-count), operation: "readlink", subject: path) }
        return String(decoding: target[0..<Int(count)], as: UTF8.self)
    }

    /// The path from the root on, with `.` and `..` taken out as text; symbolic links on the way are kept.
    public static func absolute(_ path: String) throws(SystemError) -> String {
        var whole = path
        if !path.utf8.starts(with: "/".utf8) {
            // The kernel keeps the working directory's name here (proc(5)).
            guard let current = try linkTarget(of: "/proc/self/cwd") else {
                throw SystemError(number: SystemError.notFound, operation: "readlink", subject: "/proc/self/cwd")
            }
            whole = current + "/" + path
        }
        var parts: [String] = []
        for part in whole.utf8.split(separator: 0x2f) {
            let name = String(decoding: part, as: UTF8.self)
            if name == ".." {
                if !parts.isEmpty { parts.removeLast() }
            } else if name != "." {
                parts.append(name)
            }
        }
        var out = ""
        for part in parts { out += "/" + part }
        return out.isEmpty ? "/" : out
    }

    /// Removes a path with all that is below it. Symbolic links are removed, never followed. Nothing there is no
    /// error.
    public static func removeTree(_ path: String) throws(SystemError) {
        do {
            try remove(path)
        } catch {
            // unlink(2) on a directory: EISDIR on Linux, EPERM in POSIX and on some file systems.
            guard error.number == SystemError.isDirectory || error.number == 1 else { throw error }
            for name in try list(path) { try removeTree(path + "/" + name) }
            try removeDirectory(path)
        }
    }
}
