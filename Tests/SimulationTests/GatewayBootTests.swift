import BootControl
import FactoryImage
import Platform
import Simulation
import StrictJSON
import Testing

@Suite(
    "Booting a gateway directory",
    .enabled(
        if: (try? ChildProcess.run(["sfdisk", "--version"], milliseconds: 10_000)) != nil,
        "needs sfdisk (apt: fdisk)"))
struct GatewayBootTests {
    private static func gateway(_ bench: Workbench, _ boot: GatewayDescription.Boot) throws -> Gateway {
        let order = GatewayOrder(
            sizes: GatewayLayout.Sizes(rootfs: 2 << 20, kernel: 1 << 20, bios: 64 << 10, data: 1 << 20), boot: boot,
            media: .file)
        return try Gateway.create(order, at: bench.path + "/gateway")
    }

    /// Arms slot b as an update does.
    private static func arm(_ gateway: Gateway, tries: UInt8) throws {
        let home = try gateway.bootHome()
        var record = try home.load()
        record.active = .b
        record.phase = .trial
        record.triesLeft = tries
        record.slotB.state = .trial
        _ = try home.store(record)
    }

    @Test(
        "kedged finds the slot and the boot's own id on the command line", arguments: GatewayDescription.Boot.allCases)
    func commandLine(_ boot: GatewayDescription.Boot) throws {
        let bench = try Workbench()
        let gateway = try Self.gateway(bench, boot)
        #expect(try gateway.running() == nil)
        let first = try GatewayBoot.run(gateway)
        #expect(try gateway.running() == RunningSlot(slot: .a, bootID: first.bootID))
        try Self.arm(gateway, tries: 3)
        let second = try GatewayBoot.run(gateway)
        #expect(try gateway.running() == RunningSlot(slot: .b, bootID: second.bootID))
        #expect(first.bootID != second.bootID)
    }

    @Test(
        "A panicking trial is told line by line, and the former slot runs", arguments: GatewayDescription.Boot.allCases)
    func panicLines(_ boot: GatewayDescription.Boot) throws {
        let bench = try Workbench()
        let gateway = try Self.gateway(bench, boot)
        for slot in gateway.slots {
            guard let place = slot.backing else { continue }
            let file = try Descriptor(open: place.path, [.write])
            try file.write([UInt8](repeating: 1, count: 4096).rawBytes, at: place.offset)
        }
        try Self.arm(gateway, tries: 2)
        var lines: [String] = []
        _ = try GatewayBoot.run(gateway, fault: .boot) { lines.append($0) }
        #expect(
            lines == [
                "boot 1: slot b (trial, 1 try left), panicked before user space",
                "boot 2: slot b (trial, 0 tries left), panicked before user space",
                "boot 3: slot a (fell back from b: boot-failed)",
            ])
        #expect(try gateway.running()?.slot == .a)
    }

    @Test("Slots that were never written are named")
    func blank() throws {
        let bench = try Workbench()
        let gateway = try Self.gateway(bench, .simulated)
        var lines: [String] = []
        let boot = try GatewayBoot.run(gateway) { lines.append($0) }
        #expect(lines == ["boot 1: slot a (steady); nothing was ever written to rootfs and kernel"])
        #expect(boot.blank == ["rootfs", "kernel"])
    }

    @Test("A machine that cannot boot leaves no command line of the boot before")
    func failedBoot() throws {
        let bench = try Workbench()
        let gateway = try Self.gateway(bench, .simulated)
        _ = try GatewayBoot.run(gateway)
        try FileSystem.replace(gateway.bootRecord, with: [UInt8](repeating: 0, count: 128 << 10))
        #expect(throws: GatewayError.self) { try GatewayBoot.run(gateway) }
        #expect(try gateway.running() == nil)
    }

    @Test("The answer for programs has every start and the slot that runs")
    func json() throws {
        let bench = try Workbench()
        let gateway = try Self.gateway(bench, .simulated)
        try Self.arm(gateway, tries: 1)
        let json = try GatewayBoot.run(gateway, fault: .hang).json
        #expect(json["slot"]?.text == "a")
        #expect(json["boots"]?.elements?.map { $0["cause"]?.text } == ["trial", "fell-back"])
        #expect(json["boots"]?.elements?.map { $0["fault"]?.text } == ["hang", nil])
    }
}
