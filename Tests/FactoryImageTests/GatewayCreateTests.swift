import BootControl
import FactoryImage
import Platform
import Testing

@Suite("Creating a gateway", Workbench.needsPartitioner)
struct GatewayCreateTests {
    @Test(
        "sgdisk finds a partition table without problems, with the six partitions where the layout says",
        .enabled(if: Workbench.has("sgdisk"), "needs sgdisk (apt: gdisk)"))
    func partitionTable() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        let check = try Workbench.run(["sgdisk", "--verify", gateway.disk])
        #expect(check.output.contains("No problems found"))
        let table = try Workbench.run(["sgdisk", "--print", gateway.disk]).output
        let rows = table.split(whereSeparator: \.isNewline).suffix(6).map { $0.split(separator: " ").map(String.init) }
        #expect(rows.map(\.last) == ["boot-env", "kernel-a", "kernel-b", "rootfs-a", "rootfs-b", "data"])
        for (row, partition) in zip(rows, gateway.description.layout.partitions) {
            #expect(UInt64(row[1]) == partition.offset / 512)
            #expect(UInt64(row[2]) == (partition.offset + partition.size) / 512 - 1)
        }
    }

    @Test("The same order gives the same disk, bit for bit")
    func reproducible() throws {
        let bench = try Workbench()
        let first = try Gateway.create(Workbench.order(), at: bench.path + "/one")
        let second = try Gateway.create(Workbench.order(), at: bench.path + "/two")
        #expect(try Workbench.run(["cmp", first.disk, second.disk]).succeeded)
    }

    @Test("Every slot of the disk lies within its partition, and no two share a byte")
    func slotsWithinPartitions() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        var taken: [Range<UInt64>] = []
        for slot in gateway.slots where slot.name != "containers" && slot.name != "bios" {
            guard case .region(let path, let offset, let size) = slot.medium else {
                Issue.record("\(slot.displayName) is no region")
                continue
            }
            let partition = try #require(gateway.description.layout.partition("\(slot.name)-\(slot.set.letter)"))
            #expect(path == gateway.disk)
            #expect(offset == partition.offset)
            #expect(size == partition.size)
            let range = offset..<(offset + size)
            #expect(!taken.contains { $0.overlaps(range) })
            taken.append(range)
        }
        #expect(taken.count == 4)
    }

    @Test("The environment copies lie within boot-env and do not overlap")
    func environmentsWithinPartition() throws {
        let layout = try GatewayLayout(Workbench.sizes)
        let home = try #require(layout.partition("boot-env"))
        let (first, second) = layout.environments
        #expect(first.offset >= home.offset)
        #expect(first.offset + first.size <= second.offset)
        #expect(second.offset + second.size <= home.offset + home.size)
    }

    @Test("A fresh flash is erased: every byte is FFh")
    func erasedFlash() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        let bytes = try FileSystem.read(gateway.flash, limit: 1 << 20)
        #expect(bytes.count == 2 * 256 << 10)
        #expect(bytes.allSatisfy { $0 == 0xff })
    }

    @Test("device.ini can be read back and has every section", arguments: GatewayDescription.Boot.allCases)
    func deviceINI(boot: GatewayDescription.Boot) throws {
        let bench = try Workbench()
        let gateway = try bench.gateway(boot: boot)
        let text = String(decoding: try FileSystem.read(gateway.deviceINI, limit: 65536), as: UTF8.self)
        let ini = try INIDocument(parsing: text)
        var names = ["device", "trust", "boot", "health"]
        for slot in ["rootfs", "kernel", "bios", "containers"] { names += ["slot \(slot) a", "slot \(slot) b"] }
        #expect(Set(ini.sections.map(\.name)) == Set(names))
        #expect(Self.value(ini, "device", "hardware") == "3")
        #expect(Self.value(ini, "boot", "backend") == boot.rawValue)
        #expect(Self.value(ini, "boot", "reboot") == "none")
        #expect(Self.value(ini, "slot bios b", "offset") == "262144")
        for path in [Self.value(ini, "device", "data"), Self.value(ini, "health", "command")] {
            #expect(try FileSystem.kind(of: try #require(path)) != nil)
        }
    }

    private static func value(_ ini: INIDocument, _ section: String, _ name: String) -> String? {
        ini.section(section)?.entries.first { $0.name == name }?.value
    }

    private static func location(_ ini: INIDocument, _ name: String) throws -> UBootEnvironmentHome.Location {
        let text = try #require(value(ini, "boot", name))
        return try #require(UBootEnvironmentHome.Location(text: text))
    }

    @Test("The environment lines of device.ini name the places where the record is")
    func environmentLines() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway(boot: .uboot)
        let text = String(decoding: try FileSystem.read(gateway.deviceINI, limit: 65536), as: UTF8.self)
        let ini = try INIDocument(parsing: text)
        let first = try Self.location(ini, "environment1")
        let second = try Self.location(ini, "environment2")
        let record = try UBootEnvironmentHome(first, second).load()
        #expect(record.active == .a)
        #expect(record.slotA.state == .good)
        #expect(record.slotB.state == .empty)
    }

    @Test("A fresh gateway has blank slots, and a good slot a without a release")
    func freshStatus() throws {
        let bench = try Workbench()
        let status = try bench.gateway().status()
        #expect(status.record.phase == .idle)
        #expect(status.record.slotA == SlotRecord(state: .good))
        #expect(status.running == nil)
        #expect(status.blank == ["rootfs a", "rootfs b", "kernel a", "kernel b", "bios a", "bios b"])
    }

    @Test("A slot with bytes in it is no longer blank")
    func notBlank() throws {
        let bench = try Workbench()
        let gateway = try bench.gateway()
        let kernel = try #require(gateway.slot("kernel", .b)?.backing)
        try Workbench.write([0x4d, 0x5a], to: kernel.path, at: kernel.offset + 512)
        #expect(try gateway.slot("kernel", .b)?.isBlank() == false)
        #expect(try gateway.slot("kernel", .a)?.isBlank() == true)
    }

    @Test("What was made can be opened again")
    func openAgain() throws {
        let bench = try Workbench()
        let made = try bench.gateway(boot: .uboot)
        let opened = try Gateway(at: made.directory + "/../gateway/.")
        #expect(opened.directory == made.directory)
        #expect(opened.description == made.description)
    }
}
