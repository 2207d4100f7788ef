import Foundation
import Platform
import StrictJSON
import Testing

/// A directory with keys, an image and a recipe, and the built `kedge` that works in it.
struct KedgeWorkspace {
    let directory: CommandDirectory
    private let kedge: BuiltCommand

    /// With keys in `keys` and a recipe for `rootfs.img` of `imageBytes` bytes.
    init(imageBytes: Int = 3_000_000, startedBy prefix: [String] = []) throws {
        directory = try CommandDirectory()
        kedge = try BuiltCommand("kedge", startedBy: prefix)
        try #require(try run(["keys", "new", "keys", "--environment", "dev"]).status == 0)
        try FileSystem.replace(directory("rootfs.img"), with: Self.image(imageBytes))
        try FileSystem.replace(directory("recipe.toml"), with: Array(Self.recipe.utf8))
    }

    /// Numbers as text, and zeros behind them.
    private static func image(_ count: Int) -> [UInt8] {
        var state: UInt32 = 7
        var out: [UInt8] = []
        out.reserveCapacity(count + 16)
        let zeros = min(count / 2, 3 << 20)
        while out.count < count - zeros {
            state = state &* 1_664_525 &+ 1_013_904_223
            out.append(contentsOf: "\(state >> 12) ".utf8)
        }
        return Array(out.prefix(count - zeros)) + [UInt8](repeating: 0, count: zeros)
    }

    static let recipe = """
        [release]
        id = "acme-edge-2.1.0"
        version = "2.1.0"
        sequence = 12
        security-version = 3
        update = "security"
        [product]
        vendor = "acme"
        class = "edge-gateway"
        hardware = [1, 3]
        [[component]]
        id = "rootfs"
        kind = "rootfs"
        path = "rootfs.img"
        [compression]
        level = 3

        """

    @discardableResult
    func run(
        _ arguments: [String], environment: [String: String] = [:],
        meanwhile: (Process, String) throws -> Bool = { _, _ in true }
    ) throws -> BuiltCommand.Outcome {
        try kedge.run(arguments, in: directory.path, environment: environment, meanwhile: meanwhile)
    }

    /// Builds `out.kedge`, signed with the release key unless told otherwise.
    func build(_ more: [String] = ["--key", "keys/release.key"], environment: [String: String] = [:]) throws {
        let outcome = try run(["build", "recipe.toml", "-o", "out.kedge"] + more, environment: environment)
        try #require(outcome.status == 0, "\(outcome.errors)")
    }

    /// The one JSON object that a command printed.
    func json(_ outcome: BuiltCommand.Outcome) throws -> JSONValue {
        try JSONValue.parse(outcome.output, limit: 1 << 20)
    }
}
