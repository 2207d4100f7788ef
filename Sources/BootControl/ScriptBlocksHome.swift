internal import BundleFormat
internal import Platform

/// A boot record in two blocks that a boot script reads and writes by itself: bootloader/uboot/boot.cmd, or
/// bootloader/grub/grub.cfg. The variables are those of `ScriptVariables`.
///
/// Which block is newer is told by a count of 0, 1, 2, 0, ... which the scripts can compare and raise without
/// arithmetic: a block whose turn follows that of the other is the newer one. What is written always goes to the
/// other block, and follows the turn of the newer one.
///
/// - U-Boot: a block is what `env export -c` makes, CRC-32 over all variables. `kedge_turn` is under the CRC.
/// - GRUB: a block has no checksum. `kedge_head` is the first variable and `kedge_tail` the last one; `kedge_pad`
///   keeps them in different 512-byte sectors. Sectors are written as a whole or not at all, so a torn block has a
///   head and a tail of different turns, and is no block. What GRUB does not decide by has a CRC of its own in
///   `kedge_data`.
///
/// The whole record is in each block, so there is one truth, and Linux and the boot loader choose it by the same rule.
public final class ScriptBlocksHome: BootHome {
    public typealias Location = UBootEnvironmentHome.Location

    /// Which boot loader's blocks these are.
    public enum Form: Sendable {
        case uboot
        case grub

        var displayName: String { self == .uboot ? "U-Boot block" : "GRUB environment block" }
        /// Smallest and largest block that is taken, bytes.
        var sizes: ClosedRange<Int> { self == .uboot ? 1024...1_048_576 : 1024...65536 }
    }

    public let displayName: String
    private let form: Form
    private let pair: CopyPair

    /// A block that was found whole.
    private struct Block {
        let index: Int
        let turn: UInt8
        let content: Content
    }

    private enum Content {
        case uboot(UBootEnvironment)
        case grub(GRUBEnvironment)
    }

    /// The record at two places; nothing is opened yet. Places of different or odd sizes, or that overlap, are
    /// `BootError.invalid`.
    public init(_ form: Form, _ first: Location, _ second: Location) throws(BootError) {
        self.form = form
        displayName = "\(form.displayName) \(first.path)"
        pair = try CopyPair(displayName, first, second, sizes: form.sizes)
        if form == .grub, first.size % 512 != 0 || first.offset % 512 != 0 || second.offset % 512 != 0 {
            throw .invalid(home: displayName, why: "a GRUB environment block must be whole 512-byte sectors")
        }
    }

    public func load() throws(BootError) -> BootRecord { try record(in: newest()) }

    public func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let former = try newest()
        var next = record
        next.revision = try self.record(in: former).revision
        if next.revision == .max { throw .invalid(home: displayName, why: "there is no revision after the last one") }
        next.revision += 1
        let bytes = try encoded(next, turn: ScriptVariables.following(former.turn))
        try pair.replace(1 - former.index, with: bytes)
        return next
    }

    public func examine() -> [BootFinding] {
        var findings: [BootFinding] = []
        var blocks: [Block] = []
        for index in 0..<2 {
            switch Self.state(of: pair, index, form) {
            case .whole(let block): blocks.append(block)
            case .unreadable(let error):
                findings.append(.copyUnreadable(copy: index + 1, pair.locations[index].path, error))
            case .damaged: findings.append(.copyDamaged(copy: index + 1, pair.locations[index].path))
            }
        }
        if blocks.count == 2, blocks[0].turn == blocks[1].turn { findings.append(.copiesOfOneAge(home: displayName)) }
        return findings + pair.sharedEraseBlock()
    }

    /// Writes both blocks, as a factory does. Makes files that do not exist; what stood there is gone.
    public static func create(
        _ form: Form, _ first: Location, _ second: Location, record: BootRecord
    ) throws(BootError) {
        let home = try ScriptBlocksHome(form, first, second)
        var next = record
        for index in 0..<2 {
            next.revision = UInt64(index + 1)
            try home.pair.replace(index, with: home.encoded(next, turn: UInt8(index)), create: true)
        }
    }

    /// One block's bytes, for factories that put it into an image themselves.
    func encoded(_ record: BootRecord, turn: UInt8) throws(BootError) -> [UInt8] {
        do throws(FormatError) {
            switch form {
            case .uboot:
                var list = UBootEnvironment()
                try list.set("kedge_turn", to: String(turn))
                try ScriptVariables.write(record, to: &list)
                return try list.encoded(size: pair.size, .single)
            case .grub:
                var list = GRUBEnvironment()
                try list.set("kedge_head", to: String(turn))
                try list.set("kedge_pad", to: Self.pad)
                try ScriptVariables.write(record, to: &list)
                // GRUB keeps a variable that is missing from one block in the other one.
                if record.attempt.isEmpty { try list.setEmpty("kedge_attempt", before: "kedge_data") }
                try list.set("kedge_tail", to: String(turn))
                return try list.encoded(size: pair.size)
            }
        } catch {
            guard case .tooLarge(_, let needed, _) = error else {
                throw .invalid(home: displayName, why: error.context)
            }
            throw .full(home: displayName, needed: needed, capacity: UInt64(pair.size))
        }
    }

    /// With these 160 bytes the line `kedge_data`, 242 bytes long, starts at byte 343 to 431 whatever the record: the
    /// border of the two sectors is always inside it. So the tail is in the second sector, and a block that was torn
    /// there lacks no line and has none twice, which GRUB, changing line by line, could not mend.
    private static let pad = String(repeating: ".", count: 160)

    private func record(in block: Block) throws(BootError) -> BootRecord {
        do throws(FormatError) {
            switch block.content {
            case .uboot(let list): return try ScriptVariables.read(from: list)
            case .grub(let list): return try ScriptVariables.read(from: list)
            }
        } catch { throw .invalid(home: displayName, why: error.context) }
    }

    /// As the scripts choose: the second block when its turn follows that of the first, else the first.
    private func newest() throws(BootError) -> Block {
        let form = self.form
        let found = try pair.copies { (index, bytes) in Self.block(bytes, at: index, form) }
        guard let first = found.first else { throw .noRecord(home: displayName) }
        guard let second = found.dropFirst().first else { return first }
        return second.turn == ScriptVariables.following(first.turn) ? second : first
    }

    private enum State {
        case whole(Block)
        case damaged
        case unreadable(SystemError)
    }

    private static func state(of pair: CopyPair, _ index: Int, _ form: Form) -> State {
        do throws(SystemError) {
            guard let bytes = try pair.read(index), let block = block(bytes, at: index, form) else { return .damaged }
            return .whole(block)
        } catch { return .unreadable(error) }
    }

    private static func block(_ bytes: [UInt8], at index: Int, _ form: Form) -> Block? {
        do throws(FormatError) {
            switch form {
            case .uboot:
                let list = try UBootEnvironment.decode(bytes, .single).environment
                guard ScriptVariables.areWhole(list), let turn = ScriptVariables.turn(list["kedge_turn"]) else {
                    return nil
                }
                return Block(index: index, turn: turn, content: .uboot(list))
            case .grub:
                let list = try GRUBEnvironment(decoding: bytes)
                guard ScriptVariables.areWhole(list), let turn = ScriptVariables.turn(list["kedge_head"]),
                    list["kedge_tail"] == list["kedge_head"]
                else { return nil }
                return Block(index: index, turn: turn, content: .grub(list))
            }
        } catch { return nil }
    }
}
