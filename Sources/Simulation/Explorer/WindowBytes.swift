internal import BundleFormat
internal import Platform

/// The bytes that a slot has where one window of a release belongs: the window, and zeros to its full size.
struct WindowBytes: Sendable {
    /// Where they are kept.
    enum Place: Sendable {
        case memory([UInt8])
        case file(WindowFile, offset: UInt64, count: Int)
        case zeros(Int)

        var bytes: [UInt8] {
            switch self {
            case .memory(let bytes): bytes
            case .file(let file, let offset, let count): file.bytes(at: offset, count: count)
            case .zeros(let count): [UInt8](repeating: 0, count: count)
            }
        }
    }
    let place: Place
    let digest: Digest

    var bytes: [UInt8] { place.bytes }
    var isZero: Bool { if case .zeros = place { true } else { false } }

    init(_ bytes: [UInt8]) {
        place = .memory(bytes)
        digest = SHA256.digest(of: bytes)
    }

    /// `digest` is that of the bytes.
    init(_ place: Place, digest: Digest) {
        self.place = place
        self.digest = digest
    }
}

/// Windows of releases that are too large to keep in memory: a file without a name, which goes with the process.
final class WindowFile: @unchecked Sendable {
    private let file: Descriptor
    private let monitor = Monitor()
    private var end: UInt64 = 0
    private var known: [Digest: UInt64] = [:]
    private var failed: SystemError?

    /// In TMPDIR, or /var/tmp.
    init() throws(SystemError) {
        file = try Descriptor(unnamedIn: ProcessInformation.environment("TMPDIR") ?? "/var/tmp", mode: 0o600)
    }

    /// Keeps the window; the same bytes once.
    func add(_ bytes: RawSpan, digest: Digest) throws(SystemError) -> WindowBytes {
        let count = bytes.byteCount
        if let offset = known[digest] { return WindowBytes(.file(self, offset: offset, count: count), digest: digest) }
        try file.write(bytes, at: end)
        known[digest] = end
        defer { end += UInt64(count) }
        return WindowBytes(.file(self, offset: end, count: count), digest: digest)
    }

    /// What was kept; nothing when the file cannot be read, which `check` then says.
    func bytes(at offset: UInt64, count: Int) -> [UInt8] {
        do throws(SystemError) { return try file.readBytes(at: offset, count: count) } catch {
            monitor.locked { failed = error }
            return []
        }
    }

    /// Throws what reading met.
    func check() throws(SystemError) {
        if let failed = monitor.locked({ failed }) { throw failed }
    }
}

/// A bundle's bytes, wherever they are.
struct BundleBytes: Sendable {
    private enum Place: Sendable {
        case memory([UInt8])
        case file(BundleFile)
    }
    private let place: Place
    let count: Int

    init(_ bytes: [UInt8]) {
        place = .memory(bytes)
        count = bytes.count
    }
    init(_ file: BundleFile) {
        place = .file(file)
        count = file.count
    }

    /// Bytes of the range, which must lie within the bundle.
    func read(_ range: Range<Int>) throws(SystemError) -> [UInt8] {
        switch place {
        case .memory(let bytes): Array(bytes[range])
        case .file(let file): try file.read(range)
        }
    }
}

/// A bundle in a file that stays as it is while it is simulated.
final class BundleFile: Sendable {
    private let file: Descriptor
    let count: Int

    init(_ path: String) throws(SystemError) {
        file = try Descriptor(open: path, [.read])
        count = Int(clamping: try file.size())
    }

    func read(_ range: Range<Int>) throws(SystemError) -> [UInt8] {
        try file.readBytes(at: UInt64(range.lowerBound), count: range.count)
    }
}
