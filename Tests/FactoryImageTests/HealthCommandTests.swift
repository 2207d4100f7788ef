import BootControl
import FactoryImage
import Platform
import Testing

@Suite(
    "The health command of a gateway",
    Workbench.needsPartitioner,
    .enabled(
        if: Workbench.has("debugfs") && Workbench.has("mke2fs"), "needs debugfs and mke2fs (apt: e2fsprogs)"))
struct HealthCommandTests {
    /// Puts an ext4 file system with this check into a root file system slot.
    private static func install(_ check: String?, on slot: GatewaySlot, bench: Workbench) throws {
        let tree = "\(bench.path)/tree-\(slot.set.letter)"
        try FileSystem.makeDirectories(tree + "/usr/lib/kedge")
        if let check { try FileSystem.replace(tree + "/usr/lib/kedge/health", with: Array(check.utf8)) }
        let place = try #require(slot.backing)
        let made = try Workbench.run([
            "mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, "-E", "offset=\(place.offset)", place.path,
            "\(place.size / 1024)k",
        ])
        #expect(made.succeeded, "\(made.output)")
    }

    private static func run(_ gateway: Gateway, slot: String?) throws -> ChildProcess.Outcome {
        let environment = slot.map { [(name: "KEDGE_SLOT", value: $0)] } ?? []
        return try Workbench.run([gateway.health], environment: environment)
    }

    @Test("It runs the check of the slot that runs, and gives its status and output")
    func eachSlotItsOwn() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        try Self.install("echo all services run", on: try #require(gateway.slot("rootfs", .a)), bench: bench)
        try Self.install(
            "echo modbus bridge did not start\nexit 1", on: try #require(gateway.slot("rootfs", .b)), bench: bench)
        let a = try Self.run(gateway, slot: "a")
        #expect(a.status == 0)
        #expect(a.output == "all services run\n")
        let b = try Self.run(gateway, slot: "b")
        #expect(b.status == 1)
        #expect(b.output == "modbus bridge did not start\n")
    }

    @Test("A release without a check is healthy")
    func noCheck() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        try Self.install(nil, on: try #require(gateway.slot("rootfs", .a)), bench: bench)
        let outcome = try Self.run(gateway, slot: "a")
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("brings no check"))
    }

    @Test("A file system that cannot be read is not healthy")
    func damaged() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        let slot = try #require(gateway.slot("rootfs", .a))
        try Self.install("exit 0", on: slot, bench: bench)
        let place = try #require(slot.backing)
        // The group descriptors, behind the superblock that still has its magic number.
        try Workbench.write([UInt8](repeating: 0xff, count: 65536), to: place.path, at: place.offset + 2048)
        #expect(try Self.run(gateway, slot: "a").status == 1)
    }

    @Test("Without a running slot it fails instead of guessing", arguments: [nil, "", "c"])
    func noSlot(_ slot: String?) throws {
        let bench = try Workbench()
        #expect(try Self.run(bench.gateway(), slot: slot).status == 2)
    }

    @Test(
        "On loop devices it reads the slot's device",
        .enabled(if: Workbench.mayAttachLoops(), "needs the right to attach loop devices (root)"))
    func loop() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway(media: .loop)
        try Self.install("echo from b\nexit 3", on: try #require(gateway.slot("rootfs", .b)), bench: bench)
        let outcome = try Self.run(gateway, slot: "b")
        #expect(outcome.status == 3)
        #expect(outcome.output == "from b\n")
    }
}
