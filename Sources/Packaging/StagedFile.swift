internal import Platform

/// An output that appears at its path whole and durable, or not at all.
///
/// The bytes go to a file without a name in the same directory, which the kernel removes when the process ends in
/// any way. Only `publish` names it: as `PATH.new`, which is then renamed to `PATH`. File systems without unnamed
/// files (NFS, FAT) get `PATH.new` from the start; a killed process leaves that one behind, and the next run
/// replaces it.
final class StagedFile {
    let file: Descriptor
    private let path: String
    private var leftover: Bool

    /// `path` may exist as a regular file, which `publish` replaces.
    init(at path: String) throws {
        switch try FileSystem.kind(of: path) {
        case nil, .file: break
        case .directory: throw PackagingError.output(path: path, why: "is a directory")
        default: throw PackagingError.output(path: path, why: "is not a regular file")
        }
        self.path = path
        if let unnamed = try Self.unnamed(beside: path) {
            file = unnamed
            leftover = false
        } else {
            file = try Self.named(Self.staging(path))
            leftover = true
        }
    }

    deinit {
        // Best effort on the way out of another error, which is the one to report.
        if leftover { try? FileSystem.remove(Self.staging(path)) }
    }

    /// Makes the bytes durable, then the name.
    func publish() throws {
        try file.flushAll()
        let staging = Self.staging(path)
        if !leftover {
            try FileSystem.remove(staging)
            try file.link(to: staging)
            leftover = true
        }
        try FileSystem.rename(staging, to: path)
        leftover = false
        try FileSystem.flushDirectory(FileSystem.parent(of: path))
    }

    /// A second unnamed file beside `path`, for bytes on their way.
    static func scratch(beside path: String) throws -> Descriptor {
        if let unnamed = try unnamed(beside: path) { return unnamed }
        let name = path + ".payload"
        let file = try named(name)
        try FileSystem.remove(name)
        return file
    }

    private static func staging(_ path: String) -> String { path + ".new" }

    /// Nil where the file system has no unnamed files (EISDIR and EOPNOTSUPP, open(2)).
    private static func unnamed(beside path: String) throws(SystemError) -> Descriptor? {
        do throws(SystemError) {
            return try Descriptor(unnamedIn: FileSystem.parent(of: path))
        } catch {
            if error.number == SystemError.isDirectory || error.number == 95 { return nil }
            throw error
        }
    }

    private static func named(_ path: String) throws(SystemError) -> Descriptor {
        try FileSystem.remove(path)
        return try Descriptor(open: path, [.read, .write, .create, .exclusive, .noFollow])
    }
}
