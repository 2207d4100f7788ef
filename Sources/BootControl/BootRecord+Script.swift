internal import BundleFormat
internal import Platform

/// The record as few variables as a boot script needs to name one by one: U-Boot takes at most 16 words in a command.
///
///     kedge_turn        0 | 1 | 2, which block is newer     kedge_reason      none | boot-failed | ...
///     kedge_active      a | b                               kedge_a_state     empty | writing | trial | good | bad
///     kedge_phase       idle | writing | trial | ...        kedge_b_state
///     kedge_tries       0 to 9                              kedge_attempt     absent or empty when there was none
///     kedge_user_boots  0 to 255                            kedge_data        what no boot loader decides by
///
/// `kedge_data` is the hexadecimal of 115 bytes, little-endian: version u8 = 1, revision u64, floor u32, highest
/// confirmed sequence u64, for slot set a and then b: manifest known u8, security version u32, sequence u64, manifest
/// digest; CRC-32 of all of them. A boot script copies it as it is.
enum ScriptVariables {
    static let known = [
        "kedge_active", "kedge_phase", "kedge_tries", "kedge_user_boots", "kedge_reason", "kedge_a_state",
        "kedge_b_state", "kedge_attempt", "kedge_data",
    ]

    /// The turn that follows.
    static func following(_ turn: UInt8) -> UInt8 { (turn + 1) % 3 }

    /// What a script reads as a turn; nil for anything else.
    static func turn(_ text: String?) -> UInt8? {
        switch text {
        case "0": 0
        case "1": 1
        case "2": 2
        default: nil
        }
    }

    /// Whether a script can decide by these variables. The scripts under bootloader/ ask exactly this.
    static func areWhole<List: VariableList>(_ list: List) -> Bool {
        guard let active = list["kedge_active"], let data = list["kedge_data"] else { return false }
        return SlotSet(letter: active) != nil && !data.isEmpty
    }

    static func write<List: VariableList>(_ record: BootRecord, to list: inout List) throws(FormatError) {
        guard BootRecord.accepts(attempt: record.attempt) else {
            throw .malformed(what: "a boot record", "the attempt id must be at most 64 printable ASCII characters")
        }
        guard record.triesLeft <= BootRecord.scriptTries else {
            throw .malformed(what: "a boot record", "a boot script counts at most \(BootRecord.scriptTries) tries")
        }
        try list.set("kedge_active", to: record.active.letter)
        try list.set("kedge_phase", to: record.phase.name)
        try list.set("kedge_tries", to: String(record.triesLeft))
        try list.set("kedge_user_boots", to: String(record.userSpaceBoots))
        try list.set("kedge_reason", to: record.reason.name)
        try list.set("kedge_a_state", to: record.slotA.state.name)
        try list.set("kedge_b_state", to: record.slotB.state.name)
        try list.set("kedge_attempt", to: record.attempt.isEmpty ? nil : record.attempt)
        try list.set("kedge_data", to: Hex.encode(data(of: record)))
    }

    private static func data(of record: BootRecord) -> [UInt8] {
        var out = ByteWriter()
        out.u8(1)
        out.u64(record.revision)
        out.u32(record.floor)
        out.u64(record.acceptedSequence)
        for slot in [record.slotA, record.slotB] {
            out.u8(slot.manifest == nil ? 0 : 1)
            out.u32(slot.securityVersion)
            out.u64(slot.sequence)
            if let digest = slot.manifest {
                out.digest(digest)
            } else {
                out.array([UInt8](repeating: 0, count: Digest.byteCount))
            }
        }
        let checksum = CRC32.checksum(of: out.bytes[...])
        out.u32(checksum)
        return out.bytes
    }

    /// The record in whole variables; one that is not what `write` or a boot script puts there is
    /// `FormatError.malformed` and is named.
    static func read<List: VariableList>(from list: List) throws(FormatError) -> BootRecord {
        var record = BootRecord()
        record.active = try value(list, "kedge_active", SlotSet.init(letter:))
        record.phase = try value(list, "kedge_phase", BootRecord.Phase.init(name:))
        record.triesLeft = try value(list, "kedge_tries", number)
        record.userSpaceBoots = try value(list, "kedge_user_boots", number)
        record.reason = try value(list, "kedge_reason", RollbackReason.init(name:))
        record.slotA.state = try value(list, "kedge_a_state", SlotRecord.State.init(name:))
        record.slotB.state = try value(list, "kedge_b_state", SlotRecord.State.init(name:))
        record.attempt = list["kedge_attempt"] ?? ""
        guard BootRecord.accepts(attempt: record.attempt) else { throw .malformed(what: "kedge_attempt", "no id") }
        guard let bytes = Hex.decode(list["kedge_data"] ?? "") else {
            throw .malformed(what: "kedge_data", "is not hexadecimal")
        }
        try read(bytes, into: &record)
        return record
    }

    private static func read(_ bytes: [UInt8], into record: inout BootRecord) throws(FormatError) {
        var reader = ByteReader(bytes.rawBytes, what: "kedge_data")
        guard try reader.u8() == 1 else { throw .malformed(what: "kedge_data", "has another version") }
        record.revision = try reader.u64()
        record.floor = try reader.u32()
        record.acceptedSequence = try reader.u64()
        for set in SlotSet.allCases {
            let known = try reader.u8()
            record[set].securityVersion = try reader.u32()
            record[set].sequence = try reader.u64()
            let digest = try reader.digest()
            record[set].manifest = known == 1 ? digest : nil
        }
        let end = reader.offset
        guard try reader.u32() == CRC32.checksum(of: bytes[0..<end]), reader.remaining == 0 else {
            throw .digestMismatch(what: "kedge_data")
        }
    }

    private static func value<List: VariableList, T>(
        _ list: List, _ name: String, _ read: (String) -> T?
    ) throws(FormatError) -> T {
        guard let text = list[name] else { throw .malformed(what: name, "is missing") }
        guard let value = read(text) else { throw .malformed(what: name, "cannot be \(text)") }
        return value
    }

    /// Decimal digits only: one number has one spelling.
    private static func number(_ text: String) -> UInt8? {
        guard let number = UInt8(text), String(number) == text else { return nil }
        return number
    }
}
