import BootControl
import Platform
import Testing

/// A directory of boot entries, with systemd-boot's model as the machine.
private final class EntryMachine {
    let directory: TemporaryDirectory
    var running = SlotSet.a
    var entries: String { directory("entries") }

    init(_ record: BootRecord = BootRecord(slotA: SlotRecord(state: .good))) throws {
        directory = try TemporaryDirectory()
        try FileSystem.makeDirectories(entries)
        for name in ["kedge-a.conf", "kedge-b.off"] {
            try Bytes.write(Bytes.read(Repository.file("bootloader/systemd-boot/" + name)), to: entries + "/" + name)
        }
        try SimulatedBootHome.create(path: directory("record"), record: record)
    }

    var home: SystemdBootHome { SystemdBootHome(entries: entries, record: directory("record"), running: running) }
    var names: [String] { get throws { try FileSystem.list(entries).filter { $0.hasPrefix("kedge-") } } }

    /// Power on: renames the entry and says what runs.
    func start() throws -> SlotSet {
        let found = try names.compactMap { name -> BootEntry? in
            guard let (set, state) = Self.parse(name) else { return nil }
            let text = try String(decoding: Bytes.read(entries + "/" + name), as: UTF8.self)
            let version = text.split(separator: "\n").last { $0.hasPrefix("version ") }?.dropFirst(8)
            return BootEntry(set, state, version: UInt64(version ?? "0") ?? 0)
        }
        let choice = try #require(SystemdBootModel.choose(found))
        if choice.start != choice.renamed {
            try FileSystem.rename(entries + "/" + choice.start.fileName, to: entries + "/" + choice.renamed.fileName)
        }
        running = choice.start.set
        return running
    }

    static func parse(_ name: String) -> (SlotSet, BootEntry.State)? {
        for set in SlotSet.allCases {
            for state: BootEntry.State in [.off, .plain] where BootEntry(set, state, version: 0).fileName == name {
                return (set, state)
            }
            for left in 0...9 as ClosedRange<UInt32> {
                for done in 0...9 as ClosedRange<UInt32> {
                    let state = BootEntry.State.counted(left: left, done: done)
                    if BootEntry(set, state, version: 0).fileName == name { return (set, state) }
                }
            }
        }
        return nil
    }

    /// The spare set is being written, then armed.
    func arm(tries: UInt8 = 2) throws {
        var record = try home.load()
        record.phase = .writing
        record.attempt = "x"
        record[record.active.other] = SlotRecord(state: .writing, sequence: 2)
        record = try home.store(record)
        record.active = record.active.other
        record.phase = .trial
        record.triesLeft = tries
        record.userSpaceBoots = 0
        record[record.active].state = .trial
        _ = try home.store(record)
    }

    func confirm() throws {
        var record = try home.load()
        record.phase = .confirmed
        record.triesLeft = 0
        record[record.active].state = .good
        _ = try home.store(record)
    }
}

@Suite("A boot record with systemd-boot's entries")
struct SystemdBootHomeTests {
    @Test("A trial that is confirmed has a blessed entry, and the next update goes the other way")
    func confirmed() throws {
        let machine = try EntryMachine()
        #expect(try machine.start() == .a)
        try machine.arm()
        #expect(try machine.names == ["kedge-a.conf", "kedge-b+2.conf"])
        #expect(try machine.start() == .b)
        #expect(try machine.home.load().triesLeft == 1)
        try machine.confirm()
        #expect(try machine.names == ["kedge-a.conf", "kedge-b.conf"])
        for _ in 0..<3 { #expect(try machine.start() == .b) }
        try machine.arm()
        #expect(try machine.names == ["kedge-a+2.conf", "kedge-b.conf"])
        #expect(try machine.start() == .a)
        try machine.confirm()
        #expect(try machine.start() == .a)
    }

    @Test("A trial that is never confirmed ends on the former slot set with its reason", arguments: [0, 1] as [UInt8])
    func fellBack(_ userSpaceBoots: UInt8) throws {
        let machine = try EntryMachine()
        try machine.arm()
        for left in [1, 0] as [UInt8] {
            #expect(try machine.start() == .b)
            #expect(try machine.home.load().triesLeft == left)
            #expect(try machine.home.load().phase == .trial)
        }
        if userSpaceBoots == 1 {
            var record = try machine.home.load()
            record.userSpaceBoots = 1
            _ = try machine.home.store(record)
        }
        for _ in 0..<2 {
            #expect(try machine.start() == .a)
            let record = try machine.home.load()
            #expect(record.phase == .fellBack && record.active == .a && record.slotB.state == .bad)
            #expect(record.reason == (userSpaceBoots == 0 ? .bootFailed : .notConfirmed))
        }
        // And the device takes the next release.
        try machine.arm()
        #expect(try machine.start() == .b)
    }

    @Test("A power cut between the record and the entry leaves the attempt before it was armed")
    func cutWhileArming() throws {
        let machine = try EntryMachine()
        try machine.arm()
        try FileSystem.rename(machine.entries + "/kedge-b+2.conf", to: machine.entries + "/kedge-b.off")
        #expect(try machine.start() == .a)
        let record = try machine.home.load()
        #expect(record.phase == .writing && record.active == .a && record.slotB.state == .writing)
        try machine.arm()
        #expect(try machine.start() == .b)
    }

    @Test("A power cut between the blessing and the record leaves a trial that goes on")
    func cutWhileConfirming() throws {
        let machine = try EntryMachine()
        try machine.arm()
        #expect(try machine.start() == .b)
        try FileSystem.rename(machine.entries + "/kedge-b+1-1.conf", to: machine.entries + "/kedge-b.conf")
        #expect(try machine.start() == .b)
        #expect(try machine.home.load().phase == .trial)
        try machine.confirm()
        #expect(try machine.home.load().phase == .confirmed)
    }

    @Test("Two names of one entry, as a cut in a rename on FAT leaves them, count as the one that would start")
    func twoNames() throws {
        let machine = try EntryMachine()
        try machine.arm()
        let bytes = try Bytes.read(machine.entries + "/kedge-b+2.conf")
        #expect(try machine.start() == .b)
        try Bytes.write(bytes, to: machine.entries + "/kedge-b+2.conf")
        #expect(try machine.home.load().triesLeft == 2)
        try machine.confirm()
        #expect(try machine.names == ["kedge-a.conf", "kedge-b.conf"])
    }

    @Test("A missing entry is found out before an update needs it")
    func missingEntry() throws {
        let machine = try EntryMachine()
        try FileSystem.remove(machine.entries + "/kedge-b.off")
        #expect(machine.home.examine().map { $0.code } == ["doctor.no-entry"])
    }
}

@Suite("A boot record with EFI's BootNext")
struct EFIBootHomeTests {
    /// efivarfs as a directory of files, and a firmware that reads them.
    private final class Firmware {
        let directory: TemporaryDirectory
        var running = SlotSet.a
        let variables: EFIVariables

        init() throws {
            directory = try TemporaryDirectory()
            variables = EFIVariables(path: directory.path)
            try variables.write("BootOrder", [7, 0, 1, 0, 2, 0])
            for name in ["Boot0001", "Boot0002"] { try variables.write(name, [1, 0, 0, 0]) }
            try SimulatedBootHome.create(path: directory("record"), record: BootRecord())
        }

        func home() throws -> EFIBootHome {
            try EFIBootHome(variables: variables, a: 1, b: 2, record: directory("record"), running: running)
        }

        func numbers(_ name: String) throws -> [UInt16] {
            let bytes = try variables.read(name) ?? []
            return stride(from: 0, to: bytes.count, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        }

        func start() throws -> SlotSet {
            let choice = try #require(
                EFIBootHome.choose(next: numbers("BootNext").first, order: numbers("BootOrder"), a: 1, b: 2))
            if choice.consumesNext { try variables.remove("BootNext") }
            running = choice.start
            return running
        }

        func arm(tries: UInt8 = 1) throws {
            var record = try home().load()
            record.phase = .writing
            record[record.active.other].state = .writing
            record = try home().store(record)
            record.active = record.active.other
            record.phase = .trial
            record.triesLeft = tries
            record[record.active].state = .trial
            _ = try home().store(record)
        }
    }

    @Test("A trial has exactly one try, and its confirmation is the new BootOrder")
    func confirmed() throws {
        let firmware = try Firmware()
        try firmware.arm()
        #expect(try firmware.numbers("BootNext") == [2])
        #expect(try firmware.start() == .b)
        var record = try firmware.home().load()
        #expect(record.phase == .trial && record.triesLeft == 0)
        record.phase = .confirmed
        record.slotB.state = .good
        _ = try firmware.home().store(record)
        #expect(try firmware.numbers("BootOrder") == [2, 1, 7])
        #expect(try firmware.start() == .b)
    }

    @Test("A trial that does not confirm itself is followed by the former slot set, and reading says why")
    func fellBack() throws {
        let firmware = try Firmware()
        try firmware.arm()
        // The spare set is no choice of the firmware's any more.
        #expect(try firmware.numbers("BootOrder") == [1, 7])
        #expect(try firmware.start() == .b)
        #expect(try firmware.start() == .a)
        let record = try firmware.home().load()
        #expect(record.phase == .fellBack && record.reason == .bootFailed && record.slotB.state == .bad)
        try firmware.arm()
        #expect(try firmware.start() == .b)
    }

    @Test("More than one try is refused before anything is written")
    func tries() throws {
        let firmware = try Firmware()
        let error = #expect(throws: BootError.self) { try firmware.arm(tries: 3) }
        #expect(error?.code == "boot.invalid")
        #expect(try firmware.numbers("BootNext") == [])
    }

    @Test("A boot option that the firmware lost is found out")
    func lostOption() throws {
        let firmware = try Firmware()
        try firmware.variables.remove("Boot0002")
        #expect(try firmware.home().examine().map { $0.code } == ["doctor.no-entry"])
    }
}
