public import Platform

/// The files `trust.0` and `trust.1` of the data directory, 0600, at most 4 MiB each.
public final class TrustDirectory: TrustMedium {
    private let directory: String

    /// Nothing is opened yet; the directory must exist before the first write.
    public init(_ directory: String) { self.directory = directory }

    private func path(_ slot: Int) -> String { "\(directory)/trust.\(slot)" }

    public func read(slot: Int) throws(SystemError) -> [UInt8]? {
        if try FileSystem.kind(of: path(slot)) == nil { return nil }
        return try FileSystem.read(path(slot), limit: TrustChain.slotLimit)
    }

    public func write(slot: Int, _ bytes: [UInt8]) throws(SystemError) -> [UInt8] {
        let isNew = try FileSystem.kind(of: path(slot)) == nil
        let file = try Descriptor(open: path(slot), [.read, .write, .create, .noFollow], mode: 0o600)
        let back = try file.writeThrough(bytes, at: 0)
        if isNew {
            try file.flushAll()
            try FileSystem.flushDirectory(directory)
        }
        return back
    }
}
