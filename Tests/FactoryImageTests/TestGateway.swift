import FactoryImage
import Platform
import Testing

/// A directory of its own for one test, with gateways that are destroyed with it.
final class Workbench {
    let path: String

    init() throws {
        let temporary = ProcessInformation.environment("TMPDIR") ?? "/tmp"
        path = try FileSystem.absolute("\(temporary)/kedge-factory-\(randomUUID(from: SystemRandom()))")
        try FileSystem.makeDirectories(path)
    }

    deinit {
        for name in (try? FileSystem.list(path)) ?? [] {
            try? Gateway(at: path + "/" + name).destroy()
        }
        try? FileSystem.removeTree(path)
    }

    /// Small sizes: what is tested does not depend on them.
    static let sizes = GatewayLayout.Sizes(rootfs: 8 << 20, kernel: 4 << 20, bios: 256 << 10, data: 1 << 20)

    /// An order for a small gateway on plain files.
    static func order(
        boot: GatewayDescription.Boot = .simulated, media: GatewayOrder.MediaChoice = .file
    ) -> GatewayOrder {
        GatewayOrder(
            sizes: sizes, boot: boot, media: media, id: "gw-7", vendor: "example", deviceClass: "uc-8200", hardware: 3)
    }

    func gateway(
        boot: GatewayDescription.Boot = .simulated, media: GatewayOrder.MediaChoice = .file
    ) throws -> Gateway {
        try Gateway.create(Self.order(boot: boot, media: media), at: path + "/gateway")
    }

    /// Runs a program and gives what it printed.
    static func run(
        _ arguments: [String], environment: [(name: String, value: String)] = []
    ) throws -> ChildProcess.Outcome {
        try ChildProcess.run(arguments, environment: environment, milliseconds: 60_000)
    }

    /// Whether a program is installed.
    static func has(_ program: String) -> Bool {
        (try? ChildProcess.run([program, "--version"], milliseconds: 10_000)) != nil
    }

    /// The program that `Gateway.create` cannot do without.
    static let needsPartitioner: ConditionTrait = .enabled(if: has("sfdisk"), "needs sfdisk (apt: fdisk)")

    /// Whether this process may attach loop devices, found by doing it.
    static func mayAttachLoops() -> Bool {
        guard let bench = try? Workbench() else { return false }
        let file = bench.path + "/probe"
        do {
            try FileSystem.replace(file, with: [UInt8](repeating: 0, count: 1 << 20))
            let attached = try run(["losetup", "--find", "--show", file])
            guard attached.succeeded else { return false }
            let device = attached.output.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
            return try run(["losetup", "--detach", device]).succeeded
        } catch { return false }
    }

    /// Writes bytes into a file at an offset.
    static func write(_ bytes: [UInt8], to path: String, at offset: UInt64) throws {
        let file = try Descriptor(open: path, [.write])
        try file.write(bytes.rawBytes, at: offset)
        try file.flush()
    }
}
