internal import Platform
internal import StrictJSON
internal import UpdateEngine

/// A small document in a file of the data directory, 0600.
final class FileDocument: KeptDocument {
    private let path: String
    private static let limit = 256 * 1024

    init(_ path: String) { self.path = path }

    func read() throws(SystemError) -> [UInt8]? {
        if try FileSystem.kind(of: path) == nil { return nil }
        return try FileSystem.read(path, limit: Self.limit)
    }

    func write(_ bytes: [UInt8]) throws(SystemError) { try FileSystem.replace(path, with: bytes, mode: 0o600) }
}

extension JSONValue {
    /// What a file has; nil when nothing is there, or nothing that can be read.
    init?(keptIn path: String, limit: Int) {
        do throws(SystemError) {
            if try FileSystem.kind(of: path) == nil { return nil }
            let bytes = try FileSystem.read(path, limit: limit)
            do throws(JSONError) { self = try JSONValue.parse(bytes, limit: limit) } catch { return nil }
        } catch { return nil }
    }
}
