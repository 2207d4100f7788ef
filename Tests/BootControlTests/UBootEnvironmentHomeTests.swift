import BootControl
import BundleFormat
import Platform
import Testing

/// Two copies of 2048 bytes in one file, as on a raw MMC partition, with a board's own variables.
final class EnvironmentFile {
    static let size = 2048
    static let variables = [("bootcmd", "run kedge_boot"), ("ethaddr", "02:00:5e:10:00:01"), ("baudrate", "115200")]

    let directory: TemporaryDirectory
    let path: String
    let home: UBootEnvironmentHome

    init(_ record: BootRecord = .full) throws {
        directory = try TemporaryDirectory()
        path = directory("env")
        let first = UBootEnvironmentHome.Location(path: path, offset: 0, size: Self.size)
        let second = UBootEnvironmentHome.Location(path: path, offset: 8192, size: Self.size)
        try UBootEnvironmentHome.create(
            first, second, record: record, variables: Self.variables.map { (name: $0.0, value: $0.1) })
        home = try UBootEnvironmentHome(first, second)
    }

    static func place(_ copy: Int) -> Int { copy * 8192 }

    func bytes() throws -> [UInt8] { try Bytes.read(path) }
    func copy(_ index: Int) throws -> [UInt8] {
        Array(try bytes()[Self.place(index)..<(Self.place(index) + Self.size)])
    }
    func replace(_ index: Int, with bytes: [UInt8]) throws {
        var all = try self.bytes()
        all.replaceSubrange(Self.place(index)..<(Self.place(index) + Self.size), with: bytes)
        try Bytes.write(all, to: path)
    }
    func decoded(_ index: Int) throws -> (environment: UBootEnvironment, flags: UInt8) {
        try UBootEnvironment.decode(copy(index), .redundant)
    }
    /// Gives a copy other flags; the CRC does not cover them.
    func setFlags(_ index: Int, _ flags: UInt8) throws {
        var bytes = try copy(index)
        bytes[4] = flags
        try replace(index, with: bytes)
    }
}

@Suite("A boot record in a U-Boot environment")
struct UBootEnvironmentHomeTests {
    /// Held by the suite: the directory goes with it.
    private let file: EnvironmentFile

    init() throws { file = try EnvironmentFile() }

    @Test("comes from the factory in both copies, the second one newer, beside the board's variables")
    func factory() throws {
        #expect(try file.home.load() == .full.revised(2))
        #expect(try file.decoded(0).flags == 1)
        #expect(try file.decoded(1).flags == 2)
        for index in 0..<2 {
            let environment = try file.decoded(index).environment
            #expect(environment["kedge_revision"] == String(index + 1))
            #expect(environment["ethaddr"] == "02:00:5e:10:00:01")
        }
    }

    @Test("is spelt in the variables that boot scripts know")
    func spelling() throws {
        let environment = try file.home.environment()
        let expected: [(String, String)] =
            EnvironmentFile.variables + [
                ("kedge_record", "1"), ("kedge_revision", "2"), ("kedge_active", "b"), ("kedge_phase", "trial"),
                ("kedge_tries", "3"), ("kedge_user_boots", "2"), ("kedge_reason", "health-failed"),
                ("kedge_attempt", "rollout-2026/11#7"), ("kedge_floor", "1364349780"),
                ("kedge_accepted", "7017280452245743464"), ("kedge_a_state", "good"),
                ("kedge_a_manifest", Digest.counting(from: 0x20).hex), ("kedge_a_sequence", "1230066625199609624"),
                ("kedge_a_security", "555885348"), ("kedge_b_state", "trial"),
                ("kedge_b_manifest", Digest.counting(from: 0x60).hex), ("kedge_b_sequence", "3544952156018063160"),
                ("kedge_b_security", "1094861636"),
            ]
        #expect(environment.names == expected.map { $0.0 })
        for (name, value) in expected { #expect(environment[name] == value, "\(name)") }
    }

    @Test("brings back a record without attempt and digests, and one with them again")
    func optionalValues() throws {
        var record = BootRecord(slotA: SlotRecord(state: .good))
        #expect(try file.home.store(record) == record.revised(3))
        #expect(try file.home.load() == record.revised(3))
        #expect(try file.home.environment()["kedge_attempt"] == nil)
        record = .full
        _ = try file.home.store(record)
        #expect(try file.home.load() == record.revised(4))
    }

    @Test("overwrites the older copy in turn and leaves all other variables alone")
    func alternates() throws {
        for step in 0..<4 {
            let kept = try file.copy(1 - step % 2)
            let stored = try file.home.store(.full)
            #expect(stored == .full.revised(UInt64(step + 3)))
            #expect(try file.copy(1 - step % 2) == kept)
            let written = try file.decoded(step % 2)
            #expect(written.flags == UInt8(step + 3))
            for (name, value) in EnvironmentFile.variables { #expect(written.environment[name] == value) }
            #expect(try file.home.load() == stored)
        }
    }

    @Test("counts the flags over 255 to 0 as U-Boot does")
    func wraps() throws {
        try file.setFlags(0, 253)
        try file.setFlags(1, 254)
        for (step, flags) in ([255, 0, 1, 2] as [UInt8]).enumerated() {
            let stored = try file.home.store(.full)
            #expect(try file.decoded(step % 2).flags == flags)
            #expect(try file.home.load() == stored)
        }
    }

    @Test("survives a change of any single byte under the CRC of either copy")
    func everyByte() throws {
        let good = try file.bytes()
        for copy in 0..<2 {
            let place = EnvironmentFile.place(copy)
            // The flags byte stands outside the CRC; what it says is what U-Boot goes by.
            for index in place..<(place + EnvironmentFile.size) where index != place + 4 {
                try Bytes.set(good[index] ^ 0x04, at: index, of: file.path)
                #expect(try file.home.load() == .full.revised(copy == 0 ? 2 : 1), "byte \(index)")
                try Bytes.set(good[index], at: index, of: file.path)
            }
        }
    }

    @Test("survives a cut of the file anywhere in the second copy")
    func everyTruncation() throws {
        let good = try file.bytes()
        for count in stride(from: 8192, to: good.count, by: 7) {
            try Bytes.write(Array(good[0..<count]), to: file.path)
            #expect(try file.home.load() == .full.revised(1), "\(count) bytes")
        }
    }

    @Test("believes the flags byte even against the revision, because the boot loader does")
    func believesFlags() throws {
        try file.setFlags(0, 9)
        #expect(try file.home.load() == .full.revised(1))
    }

    @Test("keeps the old or the new record when a write is torn at any 64 bytes", arguments: [false, true])
    func tornWrite(_ fromTheEnd: Bool) throws {
        let old = try file.copy(0)
        var next = BootRecord.full
        next.phase = .fellBack
        _ = try file.home.store(next)
        let new = try file.copy(0)
        for cut in stride(from: 0, through: EnvironmentFile.size, by: 64) {
            let torn = (0..<EnvironmentFile.size).map { ($0 < cut) != fromTheEnd ? new[$0] : old[$0] }
            try file.replace(0, with: torn)
            #expect(try file.home.load() == (torn == new ? next.revised(3) : .full.revised(2)), "cut at \(cut)")
        }
    }

    @Test("is no record when both CRCs are wrong")
    func bothDamaged() throws {
        for index in 0..<2 {
            var bytes = try file.copy(index)
            bytes[600] ^= 1
            try file.replace(index, with: bytes)
        }
        let error = #expect(throws: BootError.self) { try file.home.load() }
        #expect(error == .noRecord(home: file.home.displayName))
        #expect(throws: BootError.noRecord(home: file.home.displayName)) { try file.home.store(.full) }
    }

    @Test("is no record when the environment is whole but not Kedge's, and a write leaves it alone")
    func foreign() throws {
        var environment = UBootEnvironment()
        try environment.set("bootcmd", to: "run distro_bootcmd")
        try file.replace(0, with: environment.encoded(size: EnvironmentFile.size, .redundant, flags: 9))
        let before = try file.bytes()
        let error = #expect(throws: BootError.self) { try file.home.load() }
        #expect(error?.code == "boot.no-record")
        #expect(error?.remedy.isEmpty == false)
        #expect(throws: BootError.self) { try file.home.store(.full) }
        #expect(try file.bytes() == before)
    }

    @Test(
        "names the variable that somebody set to nonsense",
        arguments: [
            ("kedge_record", "2"), ("kedge_revision", "x"), ("kedge_revision", "007"), ("kedge_active", "c"),
            ("kedge_phase", "Trial"), ("kedge_tries", "256"), ("kedge_tries", "-1"), ("kedge_user_boots", ""),
            ("kedge_reason", "why"), ("kedge_attempt", "two words"), ("kedge_floor", "4294967296"),
            ("kedge_accepted", "0x1"), ("kedge_a_state", "fine"), ("kedge_b_manifest", "00"),
            ("kedge_a_sequence", ""), ("kedge_b_security", " 1"),
        ])
    func nonsense(_ name: String, _ value: String) throws {
        var (environment, flags) = try file.decoded(1)
        try environment.set(name, to: value.isEmpty ? nil : value)
        try file.replace(1, with: environment.encoded(size: EnvironmentFile.size, .redundant, flags: flags))
        let error = #expect(throws: BootError.self) { try file.home.load() }
        #expect(error?.code == "boot.invalid")
        #expect(error?.context.contains(name) == true)
    }

    @Test("is a typed error when record and variables do not fit, and the former record stays")
    func full() throws {
        _ = try file.home.store(BootRecord())
        _ = try file.home.store(BootRecord())
        for index in 0..<2 {
            var (environment, flags) = try file.decoded(index)
            let used = environment.names.reduce(0) { $0 + $1.utf8.count + environment[$1]!.utf8.count + 2 }
            try environment.set("filler", to: String(repeating: "x", count: EnvironmentFile.size - 5 - 1 - used - 48))
            try file.replace(index, with: environment.encoded(size: EnvironmentFile.size, .redundant, flags: flags))
        }
        let before = try file.bytes()
        let error = #expect(throws: BootError.self) { try file.home.store(.full) }
        guard case .full(_, let needed, 2048) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(needed > 2048)
        #expect(error?.code == "boot.environment-full")
        #expect(try file.bytes() == before)
        #expect(try file.home.load() == BootRecord().revised(4))
    }

    @Test("refuses more tries than a boot script can count", arguments: [9, 10] as [UInt8])
    func tries(_ tries: UInt8) throws {
        var record = BootRecord.full
        record.triesLeft = tries
        if tries <= 9 {
            #expect(try file.home.store(record).triesLeft == 9)
        } else {
            #expect(throws: BootError.self) { try file.home.store(record) }
        }
    }

    @Test("in two files is loaded while one of them is missing")
    func twoFiles() throws {
        let directory = try TemporaryDirectory()
        let first = UBootEnvironmentHome.Location(path: directory("one"), offset: 0, size: 2048)
        let second = UBootEnvironmentHome.Location(path: directory("two"), offset: 512, size: 2048)
        try UBootEnvironmentHome.create(first, second, record: .full)
        let home = try UBootEnvironmentHome(first, second)
        #expect(try home.load() == .full.revised(2))
        try FileSystem.remove(directory("two"))
        #expect(try home.load() == .full.revised(1))
        try FileSystem.remove(directory("one"))
        let error = #expect(throws: BootError.self) { try home.load() }
        #expect(error?.code == "boot.io")
    }

    @Test("refuses places that overlap, differ in size or have no environment's size")
    func badPlaces() {
        func location(_ offset: UInt64, _ size: Int) -> UBootEnvironmentHome.Location {
            UBootEnvironmentHome.Location(path: "/nowhere", offset: offset, size: size)
        }
        for (first, second) in [
            (location(0, 4096), location(4095, 4096)), (location(0, 4096), location(8192, 8192)),
            (location(0, 512), location(4096, 512)), (location(0, 2 << 20), location(4 << 20, 2 << 20)),
            (location(.max, 4096), location(0, 4096)),
        ] {
            #expect(throws: BootError.self) { try UBootEnvironmentHome(first, second) }
        }
    }

    @Test("reads a place as device.ini and fw_env.config write it")
    func places() {
        typealias Location = UBootEnvironmentHome.Location
        #expect(
            Location(text: "/dev/mmcblk0 0x400000 0x4000")
                == Location(path: "/dev/mmcblk0", offset: 4_194_304, size: 16384))
        #expect(Location(text: "/env\t512  2048") == Location(path: "/env", offset: 512, size: 2048))
        for text in ["", "/env", "/env 0", "/env 0 x", "/env 0 1024 1", "/env -1 1024", "/env 0x 1024"] {
            #expect(Location(text: text) == nil, "\(text)")
        }
    }
}

@Suite(
    "A boot record and libubootenv",
    .enabled(if: Tool.exists("fw_printenv", "fw_setenv"), "needs fw_printenv (apt: libubootenv-tool)"))
struct LibubootenvTests {
    private let file: EnvironmentFile
    private let configuration: String

    init() throws {
        file = try EnvironmentFile()
        configuration = file.directory("fw_env.config")
        let text = "\(file.path) 0x0 0x800\n\(file.path) 0x2000 0x800\n"
        try Bytes.write(Array(text.utf8), to: configuration)
    }

    private func get(_ name: String) throws -> String {
        let output = try Tool.run("fw_printenv", "-c", configuration, "-n", name)
        return String(output.reversed().drop { $0 == "\n" }.reversed())
    }

    private func set(_ name: String, _ value: String) throws {
        try Tool.run("fw_setenv", "-c", configuration, name, value)
    }

    @Test("agree on every variable that a store wrote")
    func printed() throws {
        _ = try file.home.store(.full)
        let environment = try file.home.environment()
        #expect(environment["kedge_revision"] == "3")
        for name in environment.names { #expect(try get(name) == environment[name], "\(name)") }
    }

    @Test("agree on what fw_setenv wrote, as a boot script counting down would")
    func counted() throws {
        try set("kedge_tries", "2")
        var expected = BootRecord.full.revised(2)
        expected.triesLeft = 2
        #expect(try file.home.load() == expected)
    }

    @Test("agree over many writes in turn, with the flags going over 255 to 0")
    func wraps() throws {
        try file.setFlags(0, 251)
        try file.setFlags(1, 252)
        var revision: UInt64 = 2
        for step in 0..<10 {
            if step % 3 == 1 {
                try set("note", "step \(step)")
            } else {
                revision += 1
                #expect(try file.home.store(.full).revision == revision)
            }
            #expect(try get("kedge_revision") == String(revision))
            #expect(try file.home.load().revision == revision)
            let flags = try [file.decoded(0).flags, file.decoded(1).flags]
            #expect(flags[step % 2] == UInt8(truncatingIfNeeded: 253 + step))
        }
        #expect(try file.home.environment()["note"] == "step 7")
        #expect(try get("ethaddr") == "02:00:5e:10:00:01")
    }

    @Test("agree on the whole copy when the other one is damaged", arguments: [0, 1])
    func damaged(_ index: Int) throws {
        var bytes = try file.copy(index)
        bytes[40] ^= 1
        try file.replace(index, with: bytes)
        #expect(try get("kedge_revision") == (index == 0 ? "2" : "1"))
        #expect(try file.home.load().revision == (index == 0 ? 2 : 1))
    }

    @Test(
        "read the other's redundant image from mkenvimage",
        .enabled(if: Tool.exists("mkenvimage"), "needs mkenvimage (apt: u-boot-tools)"))
    func mkenvimage() throws {
        let text = try file.home.environment()
        let lines = text.names.map { "\($0)=\(text[$0]!)" }.joined(separator: "\n") + "\n"
        let source = file.directory("env.txt")
        let image = file.directory("image")
        try Bytes.write(Array(lines.utf8), to: source)
        // Padding of 0xff is its default.
        try Tool.run("mkenvimage", "-r", "-s", "2048", "-o", image, source)
        try file.replace(0, with: Bytes.read(image))
        try file.replace(1, with: [UInt8](repeating: 0, count: 2048))
        #expect(try file.home.load() == .full.revised(2))
        #expect(try file.home.store(.full) == .full.revised(3))
        #expect(try get("kedge_revision") == "3")
    }
}
