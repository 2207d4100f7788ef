import Platform

/// A fresh directory that goes with its owner, with the files in it.
final class TemporaryDirectory {
    let path: String

    init() throws {
        let above = ProcessInformation.environment("TMPDIR") ?? "/tmp"
        path = "\(above)/kedge-\(Hex.encode(try SystemRandom().bytes(8)))"
        try FileSystem.makeDirectories(path, mode: 0o700)
    }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        for name in (try? FileSystem.list(path)) ?? [] {
            let inner = "\(path)/\(name)"
            if (try? FileSystem.kind(of: inner)) == .directory { remove(inner) } else { try? FileSystem.remove(inner) }
        }
        try? FileSystem.removeDirectory(path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }
    func names() throws -> [String] { try FileSystem.list(path) }
}
