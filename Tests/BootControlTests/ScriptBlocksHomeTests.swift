import BootControl
import Platform
import Testing

@Suite("A boot record in blocks that a boot script writes too")
struct ScriptBlocksHomeTests {
    private let directory: TemporaryDirectory
    private let path: String
    static let forms: [ScriptBlocksHome.Form] = [.uboot, .grub]

    init() throws {
        directory = try TemporaryDirectory()
        path = directory("blocks")
    }

    private func home(_ form: ScriptBlocksHome.Form, record: BootRecord? = nil) throws -> ScriptBlocksHome {
        let first = ScriptBlocksHome.Location(path: path, offset: 0, size: 1024)
        let second = ScriptBlocksHome.Location(path: path, offset: 65536, size: 1024)
        if let record { try ScriptBlocksHome.create(form, first, second, record: record) }
        return try ScriptBlocksHome(form, first, second)
    }

    @Test("comes back whole after many writes in turn", arguments: forms)
    func alternates(_ form: ScriptBlocksHome.Form) throws {
        let home = try home(form, record: .full)
        #expect(try home.load() == .full.revised(2))
        for revision in 3...9 {
            var record = BootRecord.full
            if revision % 2 == 0 { record = BootRecord(slotA: SlotRecord(state: .good)) }
            #expect(try home.store(record) == record.revised(UInt64(revision)))
            #expect(try home.load() == record.revised(UInt64(revision)))
        }
        #expect(home.examine() == [])
    }

    @Test("keeps the old or the new record when a write is torn between its sectors", arguments: forms)
    func torn(_ form: ScriptBlocksHome.Form) throws {
        let home = try home(form, record: .full)
        let old = try Bytes.read(path)
        var next = BootRecord.full
        next.phase = .confirmed
        next.attempt = "y"
        _ = try home.store(next)
        let new = try Bytes.read(path)
        for sectors in 0..<4 {
            var bytes = old
            for sector in 0..<2 where sectors >> sector & 1 == 1 {
                let range = (sector * 512)..<(sector * 512 + 512)
                bytes.replaceSubrange(range, with: new[range])
            }
            try Bytes.write(bytes, to: path)
            #expect(try home.load() == (bytes == new ? next.revised(3) : .full.revised(2)), "sectors \(sectors)")
        }
    }

    @Test("survives one damaged copy, says so, and repairs it", arguments: forms)
    func repairs(_ form: ScriptBlocksHome.Form) throws {
        let home = try home(form, record: .full)
        try Bytes.write([UInt8](repeating: 0, count: 1024) + Bytes.read(path).dropFirst(1024), to: path)
        #expect(home.examine().map { $0.code } == ["doctor.single-copy"])
        #expect(try home.load() == .full.revised(2))
        try repairRecord(in: home)
        #expect(home.examine() == [])
        #expect(try home.load() == .full.revised(4))
    }

    @Test("is no record when both copies are lost, and refuses to write over them", arguments: forms)
    func lost(_ form: ScriptBlocksHome.Form) throws {
        let home = try home(form, record: .full)
        try Bytes.write([UInt8](repeating: 0xff, count: 66560), to: path)
        #expect(throws: BootError.noRecord(home: home.displayName)) { try home.load() }
        #expect(throws: BootError.noRecord(home: home.displayName)) { try home.store(.full) }
    }

    @Test("is read by fw_printenv as U-Boot's own single environment", .enabled(if: Tool.exists("fw_printenv")))
    func libubootenv() throws {
        _ = try home(.uboot, record: .full)
        try Bytes.write(Array("\(path) 0x10000 0x400\n".utf8), to: directory("fw_env.config"))
        let text = try Tool.run("fw_printenv", "-c", directory("fw_env.config"))
        for line in ["kedge_turn=1", "kedge_active=b", "kedge_phase=trial", "kedge_attempt=rollout-2026/11#7"] {
            #expect(text.split(separator: "\n").contains { $0 == line }, "\(line) in \(text)")
        }
    }

    @Test("is read and written by grub-editenv", .enabled(if: Tool.exists("grub-editenv")))
    func editenv() throws {
        let home = try home(.grub, record: .full)
        let block = directory("grubenv")
        try Bytes.write(Array(Bytes.read(path)[65536..<66560]), to: block)
        let text = try Tool.run("grub-editenv", block, "list").split(separator: "\n").map(String.init)
        #expect(text.first == "kedge_head=1" && text.last == "kedge_tail=1")
        #expect(text.contains("kedge_attempt=rollout-2026/11#7"))
        try Tool.run("grub-editenv", block, "set", "kedge_tries=2")
        try Bytes.write(Array(Bytes.read(path)[0..<65536]) + Bytes.read(block), to: path)
        var counted = BootRecord.full
        counted.triesLeft = 2
        #expect(try home.load() == counted.revised(2))
        let environment = try GRUBEnvironment(decoding: Bytes.read(block))
        #expect(try environment.encoded(size: 1024) == Bytes.read(block))
    }

    @Test("spells a backslash and a line feed as GRUB does", .enabled(if: Tool.exists("grub-editenv")))
    func escapes() throws {
        var environment = GRUBEnvironment()
        try environment.set("a", to: "x\\y\nz")
        let bytes = try environment.encoded(size: 1024)
        try Tool.run("grub-editenv", directory("g"), "create")
        try Tool.run("grub-editenv", directory("g"), "set", "a=x\\y\nz")
        #expect(try GRUBEnvironment(decoding: Bytes.read(directory("g"))) == environment)
        #expect(try GRUBEnvironment(decoding: bytes) == environment)
    }
}
