import BootControl
import BundleFormat
import Foundation
import Platform
import Testing

/// A board's environment with the variables of bootloader/uboot/bootcount.env, counted in by U-Boot itself.
private struct CountedEnvironment {
    static let size = 4096
    let directory: TemporaryDirectory
    let home: UBootEnvironmentHome
    var path: String { directory("env") }

    static func variables() throws -> [(name: String, value: String)] {
        let bytes = try Bytes.read(Repository.file("bootloader/uboot/bootcount.env"))
        var found: [(name: String, value: String)] = []
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where !line.hasPrefix("#") {
            let parts = line.split(separator: "=", maxSplits: 1)
            found.append((name: String(parts[0]), value: String(parts[1])))
        }
        return found
    }

    init(_ record: BootRecord, variables: [(name: String, value: String)]? = nil) throws {
        directory = try TemporaryDirectory()
        let path = directory("env")
        let first = UBootEnvironmentHome.Location(path: path, offset: 0, size: Self.size)
        let second = UBootEnvironmentHome.Location(path: path, offset: 65536, size: Self.size)
        let own: [(name: String, value: String)]
        if let variables { own = variables } else { own = try Self.variables() }
        try UBootEnvironmentHome.create(first, second, record: record, variables: own, counting: .bootcount)
        home = try UBootEnvironmentHome(first, second, counting: .bootcount)
    }

    /// As U-Boot saves: over the older copy, with the next flags byte.
    func save(_ changes: [(name: String, value: String)]) throws {
        var environment = try home.environment()
        for change in changes { try environment.set(change.name, to: change.value) }
        let all = try Bytes.read(path)
        var copies: [UInt8] = []
        for place in [0, 65536] {
            copies.append(try UBootEnvironment.decode(Array(all[place..<(place + Self.size)]), .redundant).flags)
        }
        let newer = UBootEnvironment.newer(flags: copies[0], copies[1])
        let bytes = try environment.encoded(size: Self.size, .redundant, flags: copies[newer] &+ 1)
        try Descriptor(open: path, [.write]).write(bytes.rawBytes, at: UInt64((1 - newer) * 65536))
    }

    func newest() throws -> [UInt8] {
        try home.environment().encoded(size: Self.size, .redundant, flags: 7)
    }
}

@Suite("A boot record in the environment of a U-Boot that counts by itself")
struct UBootBootcountTests {
    private static let idle = BootRecord(slotA: SlotRecord(state: .good), slotB: SlotRecord(state: .good))

    /// Armed for slot set b.
    private static func trial(_ tries: UInt8) -> BootRecord {
        var record = idle
        record.active = .b
        record.phase = .trial
        record.triesLeft = tries
        record.attempt = "x-1"
        record.slotB.state = .trial
        return record
    }

    @Test("Arming, one write, starts U-Boot's counter from zero with as many tries as the record has")
    func arms() throws {
        let file = try CountedEnvironment(Self.idle)
        try file.save([("bootcount", "4")])
        #expect(try file.home.environment()["upgrade_available"] == "0")
        let armed = try file.home.store(Self.trial(3))
        let environment = try file.home.environment()
        #expect(
            ["upgrade_available", "bootcount", "bootlimit"].map { environment[$0] } == ["1", "0", "3"])
        #expect(try file.home.load() == armed)
        #expect(armed.triesLeft == 3)
        #expect(file.home.examine().filter { $0.severity == .error } == [])
    }

    @Test("Counting a boot of user space leaves U-Boot's count alone, and confirming ends it")
    func counts() throws {
        let file = try CountedEnvironment(Self.trial(3))
        try file.save([("bootcount", "2")])
        var record = try file.home.load()
        #expect(record.triesLeft == 1)
        record.userSpaceBoots += 1
        record = try file.home.store(record)
        #expect(record.triesLeft == 1)
        #expect(try file.home.environment()["bootcount"] == "2")
        record.phase = .confirmed
        record.triesLeft = 0
        record.slotB.state = .good
        #expect(try file.home.store(record) == file.home.load())
        let environment = try file.home.environment()
        #expect(["upgrade_available", "bootcount"].map { environment[$0] } == ["0", "0"])
    }

    @Test("A counter above its limit leaves no tries, and one that is no number counts as zero")
    func odd() throws {
        let file = try CountedEnvironment(Self.trial(2))
        try file.save([("bootcount", "4000000000")])
        #expect(try file.home.load().triesLeft == 0)
        try file.save([("bootcount", "x")])
        #expect(try file.home.load().triesLeft == 2)
    }

    @Test("What U-Boot could not come back from is found: no altbootcmd, a counter without a trial")
    func findings() throws {
        let file = try CountedEnvironment(Self.idle, variables: [("bootcmd", "run kedge_boot")])
        #expect(file.home.examine().map { $0.code } == ["doctor.no-fallback"])
        let other = try CountedEnvironment(Self.idle)
        try other.save([("upgrade_available", "1")])
        #expect(other.home.examine().map { $0.code } == ["doctor.stale-counter"])
        try repairRecord(in: other.home)
        #expect(other.home.examine() == [])
    }

    @Test(
        "libubootenv's tools see what is armed, and confirm and count as Kedge does; mkenvimage takes the variables",
        .enabled(
            if: Tool.exists("fw_printenv", "fw_setenv", "mkenvimage"),
            "needs fw_printenv and mkenvimage (apt: libubootenv-tool u-boot-tools)"))
    func tools() throws {
        let file = try CountedEnvironment(Self.idle)
        let configuration = file.directory("fw_env.config")
        try Bytes.write(
            Array("\(file.path) 0x0 0x1000\n\(file.path) 0x10000 0x1000\n".utf8), to: configuration)
        func get(_ name: String) throws -> String {
            String(try Tool.run("fw_printenv", "-c", configuration, "-n", name).split(separator: "\n").first ?? "")
        }
        _ = try file.home.store(Self.trial(2))
        #expect(try get("upgrade_available") == "1")
        #expect(try get("bootcount") == "0")
        #expect(try get("bootlimit") == "2")
        #expect(try get("altbootcmd").hasSuffix("run bootcmd"))
        try Tool.run("fw_setenv", "-c", configuration, "bootcount", "1")
        #expect(try file.home.load().triesLeft == 1)
        // The documented way to merge the variables into a running board's environment.
        try Tool.run(
            "sh", "-c",
            "sed -e '/^#/d' -e 's/=/ /' '\(Repository.file("bootloader/uboot/bootcount.env"))' | fw_setenv -c '\(configuration)' -s -"
        )
        #expect(try file.home.load().triesLeft == 1)
        let image = file.directory("image")
        try Tool.run(
            "mkenvimage", "-r", "-s", "4096", "-o", image, Repository.file("bootloader/uboot/bootcount.env"))
        let made = try UBootEnvironment.decode(Bytes.read(image), .redundant).environment
        for variable in try CountedEnvironment.variables() {
            #expect(made[variable.name] == variable.value)
            #expect(try file.home.environment()[variable.name] == variable.value)
        }
    }
}

@Suite("Model and machine: U-Boot that counts by itself")
struct UBootBootcountMachineTests {
    private struct Case {
        let name: String
        let environment: CountedEnvironment
    }

    private static func cases() throws -> [Case] {
        var cases: [Case] = []
        for active in SlotSet.allCases {
            for boots in [0, 1, 255] as [UInt8] {
                for phase in BootRecord.Phase.allCases {
                    let limits: [UInt8] = phase == .trial ? [1, 2, 9] : [0]
                    for limit in limits {
                        for count in 0...limit {
                            cases.append(try one(phase, active, boots, limit: limit, count: count))
                        }
                    }
                }
            }
        }
        return cases
    }

    private static func one(
        _ phase: BootRecord.Phase, _ active: SlotSet, _ boots: UInt8, limit: UInt8, count: UInt8
    ) throws -> Case {
        var record = BootRecord(active: active, phase: phase, triesLeft: limit, attempt: "x-1")
        record.userSpaceBoots = boots
        record[active].state = phase == .trial ? .trial : .good
        record[active.other].state = phase == .writing ? .writing : boots == 1 ? .bad : .good
        let environment = try CountedEnvironment(record)
        if phase == .trial { try environment.save([(name: "bootcount", value: String(count))]) }
        return Case(name: "\(phase.name) \(active.letter) \(count)/\(limit) \(boots)", environment: environment)
    }

    private static let names =
        "kedge_active kedge_phase kedge_tries kedge_user_boots kedge_reason kedge_a_state kedge_b_state "
        + "upgrade_available bootcount bootlimit"

    /// What U-Boot's C code does before any command: bootcount_env.c and autoboot.c, word by word. Debian's builds
    /// for QEMU have no CONFIG_BOOTCOUNT_LIMIT.
    private static var counter: String {
        var count = "if test \"${bootcount}\" = 0; then setenv bootcount 1; "
        for value in 1...10 { count += "elif test \"${bootcount}\" = \(value); then setenv bootcount \(value + 1); " }
        return """
            setenv h_count '\(count)fi'
            setenv h_limit 'setenv h_alt; if test -n "${bootlimit}"; then if itest ${bootcount} -gt ${bootlimit}; then setenv h_alt 1; fi; fi'

            """
    }

    @Test(
        "The real altbootcmd and bootcmd choose and save what the model does; the harness plays U-Boot's counter",
        .enabled(if: UBootMachineTests.tools, "needs mkimage (apt: u-boot-tools), mtools, dosfstools, fdisk"),
        arguments: UBootMachineTests.boards)
    func table(_ board: VirtualMachine.Board) throws {
        guard VirtualMachine.has(board), board == .ubootX86 || isNightly else { return }
        let directory = try TemporaryDirectory()
        let cases = try Self.cases()
        let disk = try FATDisk(directory("disk"), size: FATDisk.raw + cases.count * 8192 + (2 << 20))
        let memory = board == .ubootARM ? 0x5000_0000 : 0x800_0000
        func hex(_ number: Int) -> String { "0x" + String(number, radix: 16) }
        var harness = Self.counter
        for (index, item) in cases.enumerated() {
            let place = FATDisk.raw + index * 8192
            let newest = try item.environment.newest()
            let file = try Descriptor(open: disk.path, [.write])
            try file.write(newest.rawBytes, at: UInt64(place))
            harness += """
                echo CASE \(index)
                setenv bootlimit
                virtio read \(hex(memory)) \(hex(place / 512)) 8
                env import -b \(hex(memory + 5)) 0xffb
                setenv kedge_save 'env export -c -s 0x1000 \(hex(memory)) \(Self.names); virtio write \(hex(memory)) \(hex(place / 512 + 8)) 8'
                setenv kedge_boot 'echo KEDGE-START ${kedge_slot}'
                setenv kedge_end 'echo KEDGE-END'
                if test "${upgrade_available}" = 0; then setenv bootcount 0; fi
                run h_count
                if test "${upgrade_available}" != 0; then run kedge_save; fi
                run h_limit
                if test -n "${h_alt}"; then run altbootcmd; else run bootcmd; fi

                """
        }
        try Bytes.write(Array((harness + "reset\n").utf8), to: directory("boot.cmd"))
        try Tool.run(
            "mkimage", "-A", board == .ubootARM ? "arm64" : "x86", "-T", "script", "-C", "none", "-d",
            directory("boot.cmd"), directory("boot.scr"))
        try disk.put(directory("boot.scr"), as: "boot.scr")
        let output = try VirtualMachine(board: board, directory: directory).run(disks: [disk.path], seconds: 240)
        let said = Array(output.components(separatedBy: "CASE ").dropFirst())
        try #require(said.count == cases.count)
        for (index, item) in cases.enumerated() { try compare(item, index, said[index], disk.path) }
    }

    private func compare(_ item: Case, _ index: Int, _ said: String, _ disk: String) throws {
        let home = item.environment.home
        let choice = BootLoaderModel.choose(try home.load())
        var record = try home.load()
        let writes = choice.write != nil
        if let next = choice.write { record = next }
        var starts = ""
        for line in said.split(whereSeparator: \.isNewline) where line.hasPrefix("KEDGE-START ") {
            starts += line.dropFirst(12)
        }
        var wanted = choice.slot.letter
        // Outside of a trial the other slot set comes when this one cannot be loaded, if it is good.
        if record.phase != .trial, record[choice.slot.other].state == .good { wanted += choice.slot.other.letter }
        #expect(starts == wanted, "\(item.name): \(said)")
        #expect(said.contains("KEDGE-END"), "\(item.name)")
        let bytes = try block(index, disk)
        if !writes {
            #expect(bytes == [UInt8](repeating: 0, count: 4096), "\(item.name) must save nothing")
            return
        }
        let saved = try UBootEnvironment.decode(bytes, .single).environment
        var changes: [(name: String, value: String)] = []
        for name in saved.names { changes.append((name: name, value: saved[name] ?? "")) }
        try item.environment.save(changes)
        let after = try home.load()
        #expect(after == record, "\(item.name)")
        #expect(home.examine().isEmpty, "\(item.name)")
    }

    private func block(_ index: Int, _ disk: String) throws -> [UInt8] {
        let file = try Descriptor(open: disk, [.read])
        return try file.readBytes(at: UInt64(FATDisk.raw + index * 8192 + 4096), count: 4096)
    }
}
