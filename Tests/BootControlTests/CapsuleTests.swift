import BootControl
import Platform
import TestSupport
import Testing

@Suite("A UEFI capsule")
struct FirmwareCapsuleTests {
    private func read(_ bytes: [UInt8]) throws -> FirmwareCapsule {
        let directory = try TemporaryDirectory()
        try Bytes.write(bytes, to: directory("capsule"))
        return try FirmwareCapsule(Descriptor(open: directory("capsule"), [.read]))
    }

    @Test("A firmware management capsule says its class, length and version")
    func management() throws {
        let bytes = CapsuleFirmware.capsule(version: 0x0002_0003)
        let capsule = try read(bytes + [UInt8](repeating: 0, count: 77))
        #expect(capsule.firmwareClass == CapsuleFirmware.firmwareClass)
        #expect(capsule.size == UInt64(bytes.count) && capsule.version == 0x0002_0003)
        #expect(try read(CapsuleFirmware.capsule(version: 9, hasVersion: false)).version == nil)
    }

    @Test(
        "Capsules of mkeficapsule are read, with the signature of a key and without",
        .enabled(if: Tool.exists("mkeficapsule", "openssl"), "needs mkeficapsule (apt: u-boot-tools)"),
        arguments: [false, true])
    func oracle(_ isSigned: Bool) throws {
        let directory = try TemporaryDirectory()
        let payload: [UInt8] = Array("MSS1".utf8) + [16, 0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0] + [UInt8](1...200)
        try Bytes.write(payload, to: directory("image"))
        var words = ["mkeficapsule", "--index", "1", "--guid", CapsuleFirmware.firmwareClass]
        if isSigned {
            try Tool.run(
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=firmware", "-keyout",
                directory("key"), "-out", directory("certificate"))
            words += ["--monotonic-count", "1", "--private-key", directory("key")]
            words += ["--certificate", directory("certificate")]
        }
        let made = try ChildProcess.run(words + [directory("image"), directory("out")], milliseconds: 60_000)
        try #require(made.succeeded, "\(made.output)")
        let bytes = try Bytes.read(directory("out"))
        let capsule = try read(bytes)
        #expect(capsule.firmwareClass == CapsuleFirmware.firmwareClass)
        #expect(capsule.size == UInt64(bytes.count) && capsule.version == 0x0001_0007)
    }

    @Test("A capsule of an older kind is for the firmware whose class it has")
    func old() throws {
        var bytes = CapsuleFirmware.capsule(version: 1)
        bytes.replaceSubrange(0..<4, with: [1, 2, 3, 4])
        let capsule = try read(bytes)
        #expect(capsule.firmwareClass == "04030201-e82d-4c44-bda1-7194199ad92a" && capsule.version == nil)
    }

    @Test("Every shortened capsule, and any byte changed, is read as something or refused, and nothing is read outside")
    func garbage() throws {
        let whole = CapsuleFirmware.capsule(version: 7, payload: 40)
        var refused = 0
        for count in 0..<whole.count where (try? read(Array(whole[..<count]))) == nil { refused += 1 }
        #expect(refused == whole.count)
        for index in 0..<120 {
            for value in [0, 1, 0x7f, 0xff] as [UInt8] {
                var bytes = whole
                bytes[index] = value
                if let capsule = try? read(bytes) { #expect(capsule.size <= UInt64(bytes.count)) }
            }
        }
    }
}

@Suite("Capsules, with directories as the machine's firmware")
struct CapsuleHandOverTests {
    /// A machine with firmware 0x10000 and a capsule for 0x20000 in its spare slot.
    private final class Machine {
        let directory: TemporaryDirectory
        let firmware: CapsuleFirmware
        let handOver: CapsuleHandOver
        let home: CapsuleHome
        let capsule: [UInt8]

        init(_ capsule: [UInt8] = CapsuleFirmware.capsule(version: 0x20000), takesFiles: Bool = true) throws {
            directory = try TemporaryDirectory()
            firmware = try CapsuleFirmware(in: directory.path, version: 0x10000, takesFiles: takesFiles)
            self.capsule = capsule
            handOver = CapsuleHandOver(
                target: "bios", path: directory("b.cap"), system: firmware.system, table: firmware.table,
                variables: EFIVariables(path: firmware.variables))
            try SimulatedBootHome.create(path: directory("record"), record: BootRecord())
            home = CapsuleHome(SimulatedBootHome(path: directory("record")), capsules: [.b: [handOver]])
        }

        /// The spare set is written, with this capsule or none, and with the version that the recipe gives it.
        func write(version: String? = "", attempt: String = "x-1") throws {
            var record = try home.load()
            record.phase = .writing
            record.attempt = attempt
            record.slotB.state = .writing
            _ = try home.store(record)
            // As CapsuleSlot leaves it.
            try Bytes.write(capsule + [UInt8](repeating: 0, count: 4096), to: directory("b.cap"))
            if let version { try Bytes.write(Array(version.utf8), to: directory("b.cap.new")) }
        }

        func arm() throws {
            var record = try home.load()
            record.phase = .trial
            record.active = .b
            record.triesLeft = 2
            record.slotB.state = .trial
            _ = try home.store(record)
        }
    }

    @Test("The file is there as the capsule says it is long, the firmware is asked, and its other wishes stay")
    func handedOver() throws {
        let machine = try Machine()
        try machine.firmware.setVariable("OsIndications", 0x01)
        try machine.write()
        #expect(try machine.firmware.waiting() == [])
        try machine.arm()
        #expect(try machine.firmware.staged("kedge-bios.cap") == machine.capsule)
        #expect(machine.firmware.indications == 0x05)
        #expect(try FileSystem.list(machine.firmware.system + "/EFI").sorted() == ["BOOT", "UpdateCapsule"])
        try machine.firmware.start(installs: 0x20000)
        #expect(try machine.handOver.judge() == nil)
        #expect(machine.firmware.indications == 0x01)
    }

    static let statuses: [(status: UInt32, says: String)] = [
        (1, "unsuccessful"), (2, "insufficient resources"), (3, "incorrect version"), (4, "invalid format"),
        (5, "authentication error"), (6, "no AC power"), (7, "the battery is too low"),
        (8, "unsatisfied dependencies"), (0x1234, "the vendor's code 0x00001234"),
    ]

    @Test("What the firmware refuses is told with the reason of its table", arguments: statuses.indices)
    func refused(_ index: Int) throws {
        let (status, says) = Self.statuses[index]
        let machine = try Machine()
        try machine.write()
        try machine.arm()
        try machine.firmware.start(installs: 0x20000, status: status)
        let problem = try #require(try machine.handOver.judge())
        #expect(
            problem == "the firmware of bios is still 0x00010000: it refused version 0x00020000; its status is "
                + "\(status), \(says)")
    }

    @Test("The version counts before the status, which may be of another attempt")
    func versionFirst() throws {
        let machine = try Machine()
        try machine.write()
        try machine.arm()
        try machine.firmware.start(installs: 0x20000)
        try machine.firmware.set("last_attempt_status", "3")
        #expect(try machine.handOver.judge() == nil)
    }

    @Test("A good status with another version is no success")
    func statusLies() throws {
        let machine = try Machine()
        try machine.write()
        try machine.arm()
        try machine.firmware.start(installs: 0x1ffff)
        #expect(try machine.handOver.judge()?.contains("still 0x0001ffff and not 0x00020000, although") == true)
    }

    @Test("Firmware that did not look at the file is told so, and the file is taken back after the fallback")
    func ignored() throws {
        let machine = try Machine()
        try machine.write()
        try machine.arm()
        try machine.home.settle()
        #expect(try machine.firmware.waiting() == ["kedge-bios.cap"], "a trial may still need it")
        #expect(try machine.handOver.judge()?.contains("it did not look at the capsule") == true)
        var record = try machine.home.load()
        record.phase = .fellBack
        record.active = .a
        _ = try machine.home.store(record)
        try Bytes.write([1], to: machine.firmware.system + "/EFI/UpdateCapsule/other.cap")
        try machine.home.settle()
        #expect(try machine.firmware.waiting() == ["other.cap"] && machine.firmware.indications == 4)
    }

    @Test("A version that only the recipe knows is compared; without any, a change or a file that was taken counts")
    func versions() throws {
        let plain = CapsuleFirmware.capsule(version: 1, hasVersion: false)
        for (told, installs, isGood) in [
            ("0x20000", 0x20000, true), ("131072", 0x20000, true), ("0x20000", 0x20001, false), ("", 0x20001, true),
            ("2.1", 0x10000, true),
        ] as [(String, UInt32, Bool)] {
            let machine = try Machine(plain)
            try machine.write(version: told)
            try machine.arm()
            try machine.firmware.start(installs: installs)
            #expect(try (machine.handOver.judge() == nil) == isGood, "\(told) \(installs)")
        }
    }

    @Test("Firmware that has the version already is not written again")
    func present() throws {
        let machine = try Machine(CapsuleFirmware.capsule(version: 0x10000))
        try machine.write()
        try machine.arm()
        #expect(try machine.firmware.waiting() == [] && machine.firmware.indications == 0)
        #expect(try machine.handOver.judge() == nil)
    }

    @Test("A release without a capsule hands over none, also when an attempt before it left one")
    func none() throws {
        let machine = try Machine()
        try machine.write(attempt: "x-1")
        try machine.write(version: nil, attempt: "x-2")
        try machine.arm()
        #expect(try machine.firmware.waiting() == [] && machine.firmware.indications == 0)
        #expect(try machine.handOver.judge() == nil)
    }

    static let impossible: [(what: String, capsule: [UInt8], takesFiles: Bool, says: String)] = [
        ("garbage", [UInt8](repeating: 0x55, count: 400), true, "is no capsule"),
        (
            "another machine's", CapsuleFirmware.capsule(version: 0x20000, for: "00000000-1111-2222-3333-444444444444"),
            true, "lists nothing of class 00000000-1111-2222-3333-444444444444"
        ),
        ("too old", CapsuleFirmware.capsule(version: 0x00fff), true, "takes none below 0x00010000"),
        ("no delivery", CapsuleFirmware.capsule(version: 0x20000), false, "OsIndicationsSupported"),
    ]

    @Test("A capsule that cannot be handed over arms nothing and leaves no file", arguments: impossible.indices)
    func refusedBefore(_ index: Int) throws {
        let item = Self.impossible[index]
        let machine = try Machine(item.capsule, takesFiles: item.takesFiles)
        try machine.write()
        let before = try machine.home.load()
        let error = #expect(throws: BootError.self, "\(item.what)") { try machine.arm() }
        #expect(error?.code == "boot.capsule" && error?.context.contains(item.says) == true, "\(error as Any)")
        #expect(try machine.home.load() == before)
        #expect(try machine.firmware.waiting() == [] && machine.firmware.indications == 0)
    }

    @Test("When the firmware cannot be asked after the record was written, the record is put back")
    func cannotAsk() throws {
        let machine = try Machine()
        try machine.write()
        let before = try machine.home.load()
        try machine.firmware.loseIndications()
        #expect(throws: BootError.self) { try machine.arm() }
        let after = try machine.home.load()
        #expect(after.phase == .writing && after == before.revised(after.revision))
    }

    @Test("A power cut between the record and the request fails the trial, and says that nobody asked the firmware")
    func cut() throws {
        let machine = try Machine()
        try machine.write()
        // The record alone, as after a cut; the file of a finished hand-over is no part of it.
        var record = try machine.home.load()
        record.phase = .trial
        record.active = .b
        record.triesLeft = 2
        _ = try SimulatedBootHome(path: machine.directory("record")).store(record)
        try machine.firmware.start(installs: 0x20000)
        #expect(try machine.handOver.judge()?.contains("never handed to the firmware") == true)
    }

    @Test("What would keep a machine from taking capsules is found out before one is needed")
    func examined() throws {
        let machine = try Machine()
        #expect(machine.handOver.examine() == [])
        let other = try Machine(takesFiles: false)
        try FileSystem.makeDirectories(other.firmware.system + "/EFI/UpdateCapsule")
        try Bytes.write([1], to: other.firmware.system + "/EFI/UpdateCapsule/x")
        #expect(other.handOver.examine().map { $0.code } == ["doctor.no-capsule-delivery", "doctor.capsule-waits"])
        let empty = CapsuleHandOver(
            target: "bios", path: "/none/x", system: "/none", table: "/none",
            variables: EFIVariables(path: "/none"))
        #expect(
            empty.examine().map { $0.code } == [
                "doctor.no-system-partition", "doctor.no-firmware-table", "doctor.no-capsule-delivery",
            ])
    }
}
