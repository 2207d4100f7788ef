import BootControl
import BundleFormat
import Platform
import Testing

/// Every record that a boot script can meet, in every state of its two blocks: the table that the Swift model and
/// the real boot loader are compared by.
struct BlockTable {
    /// One start.
    struct Case {
        let name: String
        let first: [UInt8]
        let second: [UInt8]
    }
    let form: ScriptBlocksHome.Form
    let cases: [Case]
    /// Bytes of one block.
    static let size = 1024

    /// Where a case's blocks are in the table's bytes.
    static func offset(_ index: Int, _ block: Int) -> Int { (index * 2 + block) * size }

    /// All cases one after the other.
    var bytes: [UInt8] { cases.flatMap { $0.first + $0.second } }

    static let records: [BootRecord] = BootRecord.Phase.allCases.flatMap { phase in
        SlotSet.allCases.flatMap { active in
            ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9] as [UInt8]).flatMap { tries in
                // The count decides in a trial only.
                if phase != .trial && tries > 1 { return [BootRecord]() }
                return [0, 1, 255].map { (boots: UInt8) in record(phase, active, tries, boots) }
            }
        }
    }

    private static func record(
        _ phase: BootRecord.Phase, _ active: SlotSet, _ tries: UInt8, _ boots: UInt8
    ) -> BootRecord {
        var record = BootRecord.full
        record.phase = phase
        record.active = active
        record.triesLeft = tries
        record.userSpaceBoots = boots
        record.reason = phase == .fellBack ? .healthFailed : .none
        record[active].state = phase == .trial ? .trial : .good
        record[active.other].state = phase == .writing ? .writing : phase == .fellBack ? .bad : .good
        record[active.other].manifest = boots == 1 ? nil : .counting(from: 7)
        record.attempt = boots == 0 ? "" : boots == 1 ? "x-1" : String(repeating: "~", count: 64)
        return record
    }

    init(_ form: ScriptBlocksHome.Form) throws {
        self.form = form
        let blocks = try BlockMaker(form)
        var cases: [Case] = []
        for (number, record) in Self.records.enumerated() {
            // The older copy is another record, so that it shows which one was taken.
            var older = BootRecord(active: record.active.other, attempt: "older")
            older.revision = 3
            let turn = UInt8(number % 3)
            let new = try blocks.block(record, turn: (turn + 1) % 3)
            let old = try blocks.block(older, turn: turn)
            let whole = number % 2 == 0 ? (new, old) : (old, new)
            cases.append(Case(name: "\(record.name), copy \(number % 2 + 1)", first: whole.0, second: whole.1))
            let lost = blocks.damaged(old, by: new, number)
            let one = number / 2 % 2 == 0 ? (new, lost) : (lost, new)
            cases.append(Case(name: "\(record.name), the older copy lost", first: one.0, second: one.1))
            // A new record of which only a part reached the medium: the former one decides.
            var next = record
            next.phase = .fellBack
            let torn = blocks.damaged(old, by: try blocks.block(next, turn: (turn + 2) % 3), number)
            let pair = number / 3 % 2 == 0 ? (new, torn) : (torn, new)
            cases.append(Case(name: "\(record.name), a torn write", first: pair.0, second: pair.1))
        }
        for turns: (UInt8, UInt8) in [(0, 0), (1, 1), (2, 2), (0, 2), (1, 0), (2, 1), (0, 1), (1, 2), (2, 0)] {
            let a = try blocks.block(Self.record(.trial, .a, 2, 0), turn: turns.0)
            let b = try blocks.block(Self.record(.trial, .b, 2, 1), turn: turns.1)
            cases.append(Case(name: "turns \(turns)", first: a, second: b))
        }
        for number in 0..<6 {
            let old = try blocks.block(Self.record(.trial, .a, 2, 0), turn: 1)
            let new = try blocks.block(Self.record(.trial, .b, 2, 0), turn: 2)
            let both = (blocks.damaged(new, by: old, number), blocks.damaged(old, by: new, number + 1))
            cases.append(Case(name: "both copies lost, \(number)", first: both.0, second: both.1))
        }
        self.cases = cases
    }
}

/// Makes blocks with a given turn, and ruins them.
final class BlockMaker {
    private let form: ScriptBlocksHome.Form
    private let directory: TemporaryDirectory

    init(_ form: ScriptBlocksHome.Form) throws {
        self.form = form
        directory = try TemporaryDirectory()
    }

    /// A block, written by the home itself.
    func block(_ record: BootRecord, turn: UInt8) throws -> [UInt8] {
        let path = directory("blocks")
        let places = (0..<2).map {
            ScriptBlocksHome.Location(path: path, offset: UInt64($0 * 1024), size: BlockTable.size)
        }
        try ScriptBlocksHome.create(form, places[0], places[1], record: record)
        let home = try ScriptBlocksHome(form, places[0], places[1])
        // A factory leaves turns 0 and 1; each write is one further.
        for _ in 0..<((Int(turn) + 2) % 3 + (turn == 1 ? 3 : 0)) { _ = try home.store(record) }
        let bytes = try Bytes.read(path)
        let copies = [Array(bytes[0..<1024]), Array(bytes[1024..<2048])]
        let key = form == .uboot ? "kedge_turn=" : "kedge_head="
        let found = copies.first { String(decoding: $0, as: UTF8.self).contains(key + String(turn)) }
        return try #require(found)
    }

    /// What may be found of `old` after a write of `new` that a power cut ended, or on a medium that lost it.
    func damaged(_ old: [UInt8], by new: [UInt8], _ number: Int) -> [UInt8] {
        switch number % 6 {
        case 0: return Array(new[0..<512]) + old[512...]
        case 1: return Array(old[0..<512]) + new[512...]
        case 2: return [UInt8](repeating: 0, count: 1024)
        case 3: return [UInt8](repeating: 0xff, count: 1024)
        case 4:
            // Half a sector; GRUB's blocks are only promised to survive what a sector boundary tears.
            let cut = form == .uboot ? 700 : 512
            return Array(new[0..<cut]) + old[cut...]
        default:
            var bytes = old
            // Under U-Boot's CRC every byte counts. GRUB has no CRC: lose the signature.
            bytes[form == .uboot ? 900 : 3] ^= 0x20
            return bytes
        }
    }
}

extension BootRecord {
    /// For the names of cases.
    var name: String { "\(phase.name) \(active.letter) tries \(triesLeft) boots \(userSpaceBoots)" }
}

extension BlockTable {
    /// A table's home after the boot loader ran, over the file that holds it.
    func home(_ index: Int, in path: String, at base: Int) throws -> ScriptBlocksHome {
        let places = (0..<2).map {
            ScriptBlocksHome.Location(
                path: path, offset: UInt64(base + Self.offset(index, $0)), size: Self.size)
        }
        return try ScriptBlocksHome(form, places[0], places[1])
    }

    /// Compares what the boot loader said and wrote with the model; `base` is the table's place in the file.
    func compare(_ output: String, with path: String, at base: Int, model: TemporaryDirectory) throws {
        try Bytes.write([UInt8](repeating: 0, count: base) + bytes, to: model("before"))
        var said: [Int: String] = [:]
        var number: Int?
        for line in output.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("CASE ") { number = Int(line.dropFirst(5).prefix { $0.isNumber }) }
            if line.hasPrefix("KEDGE: slot="), let number { said[number] = String(line) }
        }
        #expect(said.count == cases.count)
        let after = try Bytes.read(path)
        for (index, item) in cases.enumerated() {
            let expected: (slot: SlotSet, next: BootRecord?)
            do {
                let choice = BootLoaderModel.choose(try home(index, in: model("before"), at: base).load())
                expected = (slot: choice.slot, next: choice.write)
            } catch BootError.noRecord { expected = (slot: .a, next: nil) }
            let line = said[index] ?? ""
            let place = base + Self.offset(index, 0)
            let blocks = [
                Array(after[place..<(place + Self.size)]), Array(after[(place + Self.size)..<(place + 2 * Self.size)]),
            ]
            if form == .grub, let refused = refusal(item, expected.next, expected.slot) {
                #expect(line.hasPrefix("KEDGE: slot=\(refused.letter) "), "\(item.name): \(line)")
                #expect(blocks == [item.first, item.second], "\(item.name)")
                continue
            }
            #expect(line.hasPrefix("KEDGE: slot=\(expected.slot.letter) "), "\(item.name): \(line)")
            guard let next = expected.next else {
                #expect(blocks == [item.first, item.second], "\(item.name) must write nothing")
                continue
            }
            // The newest record is now the model's next one, and only one block was written.
            #expect(try home(index, in: path, at: base).load() == next, "\(item.name)")
            #expect((blocks[0] == item.first) != (blocks[1] == item.second), "\(item.name)")
            let findings = try home(index, in: path, at: base).examine()
            #expect(findings.filter { $0.severity == .error } == [], "\(item.name)")
        }
    }

    /// GRUB writes only into a block that has its signature. Where the other block has lost it, nothing can be
    /// counted and so nothing is tried: the slot set that starts instead, and nil where GRUB can write.
    private func refusal(_ item: Case, _ next: BootRecord?, _ slot: SlotSet) -> SlotSet? {
        guard let next else { return nil }
        let lost = [item.first, item.second].contains { (try? GRUBEnvironment(decoding: $0)) == nil }
        if !lost { return nil }
        return next.phase == .trial ? slot.other : slot
    }
}
