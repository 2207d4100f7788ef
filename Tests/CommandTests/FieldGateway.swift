import BootControl
import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

/// A gateway in the field, made by the built `kedge`, with the built `kedged` on it and a factory of signed releases.
final class FieldGateway {
    /// A release to build.
    struct Release {
        var id = "acme-edge-2.1.0"
        var sequence = 12
        var vendor = "acme"
        var hardware = "[1, 3]"
        /// Lines for `[release]`.
        var more = ""
        /// Component and target slot, image.
        var images: [(name: String, bytes: [UInt8])] = [("rootfs", FieldGateway.image(megabytes: 3))]
        var key: String? = "keys/release.key"
        /// More words for `kedge build`.
        var arguments: [String] = []
    }

    /// A slot's bytes.
    struct Place {
        let path: String
        let offset: UInt64
        let size: UInt64
    }

    let directory: CommandDirectory
    let kedge: BuiltCommand
    let kedged: BuiltCommand
    let path: String
    /// Settings under `[network]` that make failures quick.
    private static let network = "\n[network]\nretries = 1\nback-off-ms = 1\nconnect-timeout = 5\n"

    init(boot: String = "simulated", media: String = "file", rootfs: String = "16M") throws {
        directory = try CommandDirectory()
        kedge = try BuiltCommand("kedge")
        kedged = try BuiltCommand("kedged")
        path = directory("gateway")
        try run(["keys", "new", "keys", "--environment", "dev"])
        try run([
            "gateway", "create", path, "--boot", boot, "--media", media, "--rootfs-size", rootfs, "--kernel-size",
            "1M", "--bios-size", "128K", "--trust", "keys/root.json", "--vendor", "acme", "--class", "edge-gateway",
            "--hardware", "1",
        ])
        try configure { $0 + Self.network }
        for set in ["a", "b"] {
            // Old bytes, so that it shows when they change.
            let old = Self.image(megabytes: 4, seed: set == "a" ? 90 : 91)
            try write(old, to: place("rootfs", set))
        }
        try powerOn()
    }

    deinit {
        // Detaches loop devices, where the gateway has them.
        _ = try? kedge.run(["gateway", "destroy", path], in: directory.path)
    }

    /// Windows that differ and do not compress, then one of zeros.
    static func image(megabytes: Int, seed: UInt8 = 1) -> [UInt8] {
        var out: [UInt8] = []
        for window in 0..<megabytes {
            out += [seed, UInt8(window)] + noise.dropFirst(2)
        }
        return out + [UInt8](repeating: 0, count: 1 << 20)
    }

    private static let noise: [UInt8] = {
        var state: UInt64 = 88_172_645_463_325_252
        var words: [UInt64] = []
        for _ in 0..<(1 << 17) {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            words.append(state)
        }
        return words.withUnsafeBytes { [UInt8]($0) }
    }()

    // MARK: commands

    /// Runs `kedge`, which must succeed.
    @discardableResult
    func run(_ arguments: [String]) throws -> BuiltCommand.Outcome {
        let outcome = try kedge.run(arguments, in: directory.path)
        try #require(outcome.status == 0, "kedge \(arguments): \(outcome.errors)")
        return outcome
    }

    /// Runs `kedged` on this gateway.
    @discardableResult
    func kedged(
        _ arguments: [String], meanwhile: (Process, String) throws -> Bool = { _, _ in true }
    ) throws -> BuiltCommand.Outcome {
        try kedged.run(["--config", configuration] + arguments, in: directory.path, meanwhile: meanwhile)
    }

    /// Runs `kedged`, which must succeed.
    @discardableResult
    func works(_ arguments: String...) throws -> BuiltCommand.Outcome {
        let outcome = try kedged(arguments)
        try #require(outcome.status == 0, "kedged \(arguments): \(outcome.errors)")
        return outcome
    }

    /// Switches the gateway off and on.
    func powerOn(_ more: String...) throws { try run(["gateway", "boot", path] + more) }

    /// What `kedged status --json` says of the update.
    func status() throws -> JSONValue {
        let outcome = try works("status", "--json")
        return try #require(try JSONValue.parse(outcome.output, limit: 1 << 20)["ota"])
    }

    /// The boot record, as `kedge gateway status --json` reads it.
    func record() throws -> JSONValue {
        let outcome = try run(["gateway", "status", path, "--json"])
        return try #require(try JSONValue.parse(outcome.output, limit: 1 << 20)["record"])
    }

    /// Builds and signs a bundle; its path.
    func build(_ release: Release = Release()) throws -> String {
        var recipe = """
            [release]
            id = "\(release.id)"
            version = "\(release.id.split(separator: "-").last ?? "1")"
            sequence = \(release.sequence)
            security-version = 3
            update = "security"
            \(release.more)
            [product]
            vendor = "\(release.vendor)"
            class = "edge-gateway"
            hardware = \(release.hardware)
            [compression]
            level = 1

            """
        for (name, bytes) in release.images {
            try FileSystem.replace(directory("\(release.id)-\(name).img"), with: bytes)
            let kind = ["kernel", "bios"].contains(name) ? name : name == "containers" ? "container" : "rootfs"
            recipe += "[[component]]\nid = \"\(name)\"\nkind = \"\(kind)\"\npath = \"\(release.id)-\(name).img\"\n"
        }
        try FileSystem.replace(directory("\(release.id).toml"), with: Array(recipe.utf8))
        let out = directory("\(release.id).kedge")
        try run(
            ["build", "\(release.id).toml", "-o", out] + (release.key.map { ["--key", $0] } ?? []) + release.arguments)
        return out
    }

    // MARK: its files

    var configuration: String { path + "/device.ini" }

    /// Changes device.ini.
    func configure(_ change: (String) -> String) throws {
        let text = String(decoding: try FileSystem.read(configuration, limit: 1 << 20), as: UTF8.self)
        try FileSystem.replace(configuration, with: Array(change(text).utf8))
    }

    /// Replaces the health command's script.
    func health(_ script: String) throws {
        try FileSystem.replace(path + "/health", with: Array("#!/bin/sh\n\(script)\n".utf8), mode: 0o755)
    }

    /// Where a slot is, as `kedge gateway status --json` says.
    func place(_ name: String, _ set: String) throws -> Place {
        let status = try JSONValue.parse(run(["gateway", "status", path, "--json"]).output, limit: 1 << 20)
        let slot = try #require(
            status["slots"]?.elements?.first { $0["name"]?.text == name && $0["set"]?.text == set })
        let file = try #require(slot["path"]?.text)
        return Place(
            path: file, offset: UInt64(slot["offset"]?.number ?? 0),
            size: try slot["size"]?.number.map { UInt64($0) } ?? FileSystem.size(of: file))
    }

    func write(_ bytes: [UInt8], to place: Place) throws {
        try Descriptor(open: place.path, [.read, .write]).write(bytes.rawBytes, at: place.offset)
    }

    func bytes(_ place: Place, count: Int? = nil) throws -> [UInt8] {
        try Descriptor(open: place.path, [.read]).readBytes(at: place.offset, count: count ?? Int(place.size))
    }

    func digest(_ name: String, _ set: String) throws -> Digest {
        SHA256.digest(of: try bytes(place(name, set)))
    }

    /// Whether a slot holds exactly this image, with zeros behind it up to the next MiB.
    func holds(_ name: String, _ set: String, _ image: [UInt8]) throws -> Bool {
        let place = try place(name, set)
        let end = min((image.count + (1 << 20) - 1) / (1 << 20) * (1 << 20), Int(place.size))
        let zeros = [UInt8](repeating: 0, count: end - image.count)
        return SHA256.digest(of: try bytes(place, count: end)) == SHA256.digest(of: image + zeros)
    }

    /// Digests of everything that an update may change: disk with all slots and the U-Boot environment, flash, boot
    /// record, and every file of the store.
    func everything() throws -> [String: Digest] {
        var found: [String: Digest] = [:]
        for name in ["disk.img", "flash.img", "boot-record.img"] {
            if try FileSystem.kind(of: "\(path)/\(name)") == nil { continue }
            found[name] = SHA256.digest(of: try FileSystem.read("\(path)/\(name)", limit: 1 << 28))
        }
        for file in FileManager.default.enumerator(atPath: path + "/store")?.compactMap({ $0 as? String }) ?? [] {
            let isFile = try FileSystem.kind(of: "\(path)/store/\(file)") == .file
            let bytes = isFile ? try FileSystem.read("\(path)/store/\(file)", limit: 1 << 28) : []
            found["store/" + file] = SHA256.digest(of: bytes)
        }
        return found
    }

    /// Names in the data directory.
    func data() throws -> [String] { try FileSystem.list(path + "/data") }
}

extension BuiltCommand.Outcome {
    /// The stable code on the last line of standard error.
    var code: String? {
        guard let line = errors.split(separator: "\n").last, line.hasPrefix("kedged: ") else { return nil }
        return line.dropFirst("kedged: ".count).split(separator: ": ").first.map(String.init)
    }

    /// Checks that a command ended with this code and status, and told what happened and what to do.
    func expectFailure(_ code: String, _ status: Int32, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(!signaled && self.status == status, "\(errors)", sourceLocation: sourceLocation)
        #expect(self.code == code, "\(errors)", sourceLocation: sourceLocation)
        let line = errors.split(separator: "\n").last.map(String.init) ?? ""
        // "kedged: code: what happened. What to do", the remedy with a capital letter.
        let sentences = line.components(separatedBy: ". ")
        #expect(sentences.count >= 2, "\(line)", sourceLocation: sourceLocation)
        #expect(sentences.last?.first?.isUppercase == true, "\(line)", sourceLocation: sourceLocation)
        #expect(sentences.last?.split(separator: " ").count ?? 0 >= 2, "\(line)", sourceLocation: sourceLocation)
    }
}

/// Why tests are left out on a machine that lacks something.
enum Needs {
    private static func has(_ programs: [String]) -> Bool {
        programs.allSatisfy { program in
            ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].contains {
                FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
            }
        }
    }
    static let partitioner: ConditionTrait = .enabled(if: has(["sfdisk"]), "needs sfdisk (apt: fdisk)")
    static let nginx: ConditionTrait = .enabled(if: has(["nginx"]), "needs nginx (apt: nginx-light)")
    /// libmosquitto is loaded at run time, so only its file tells.
    static let mosquitto: ConditionTrait = .enabled(
        if: has(["python3"])
            && ["x86_64", "aarch64"].contains {
                FileManager.default.fileExists(atPath: "/usr/lib/\($0)-linux-gnu/libmosquitto.so.1")
            }, "needs libmosquitto (apt: libmosquitto1) and python3")
    static let environmentTools: ConditionTrait = .enabled(
        if: has(["fw_printenv", "fw_setenv"]), "needs fw_printenv (apt: libubootenv-tool)")
    static let mounting: ConditionTrait = .enabled(
        if: mayMount(), "needs root that may mount, losetup and mkfs.ext4 (apt: e2fsprogs)")

    /// Whether this process may mount, found by mounting a small tmpfs.
    private static func mayMount() -> Bool {
        guard getuid() == 0, has(["mount", "umount", "losetup", "mkfs.ext4"]), let directory = try? CommandDirectory()
        else { return false }
        guard
            let outcome = try? ChildProcess.run(
                ["mount", "-t", "tmpfs", "-o", "size=1M", "kedge-probe", directory.path], milliseconds: 60_000),
            outcome.succeeded
        else { return false }
        _ = try? ChildProcess.run(["umount", directory.path], milliseconds: 60_000)
        guard let file = try? ChildProcess.run(["truncate", "-s", "1M", directory("loop")], milliseconds: 60_000),
            file.succeeded,
            let loop = try? ChildProcess.run(["losetup", "-f", "--show", directory("loop")], milliseconds: 60_000),
            loop.succeeded
        else { return false }
        let device = loop.output.trimmingCharacters(in: .whitespacesAndNewlines)
        return (try? ChildProcess.run(["losetup", "-d", device], milliseconds: 60_000))?.succeeded == true
    }
}
