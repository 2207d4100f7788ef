import BootControl
import BundleFormat
import Platform
import Testing

@Suite("The boot record's sector")
struct BootRecordCodecTests {
    @Test("is byte for byte what an independent encoder makes")
    func golden() throws {
        let sector = BootRecord.Sector(record: .full, copy: 1, parent: .counting(from: 0xa0))
        let golden = try Bytes.fixture("boot-record/full.bin")
        #expect(try sector.encoded() == golden)
        #expect(try BootRecord.Sector(decoding: golden) == sector)
    }

    @Test("of a factory has no parent, no attempt and no digests")
    func goldenFactory() throws {
        let sector = BootRecord.Sector(record: BootRecord(revision: 1), copy: 0, parent: nil)
        let golden = try Bytes.fixture("boot-record/factory.bin")
        #expect(try sector.encoded() == golden)
        #expect(try BootRecord.Sector(decoding: golden) == sector)
    }

    @Test("brings back every phase, state, reason and slot set", arguments: BootRecord.Phase.allCases)
    func roundTrip(_ phase: BootRecord.Phase) throws {
        for state in SlotRecord.State.allCases {
            for reason in RollbackReason.allCases {
                for active in SlotSet.allCases {
                    var record = BootRecord.full
                    record.active = active
                    record.phase = phase
                    record.reason = reason
                    record[active].state = state
                    let bytes = try BootRecord.Sector(record: record, copy: 0, parent: nil).encoded()
                    #expect(bytes.count == 512)
                    #expect(try BootRecord.Sector(decoding: bytes).record == record)
                }
            }
        }
    }

    @Test("refuses a change of any single byte", arguments: 0..<512)
    func everyByte(_ index: Int) throws {
        let good = try Bytes.fixture("boot-record/full.bin")
        for change in [0x01, 0x80, 0xff] as [UInt8] {
            var bytes = good
            bytes[index] ^= change
            #expect(throws: FormatError.self) { try BootRecord.Sector(decoding: bytes) }
        }
    }

    @Test("refuses every other length", arguments: [0, 1, 511, 513, 1024])
    func length(_ count: Int) {
        #expect(throws: FormatError.self) { try BootRecord.Sector(decoding: [UInt8](repeating: 0, count: count)) }
    }

    /// Contents with a right checksum that this program would not have written.
    @Test(
        "refuses what it would not write although the checksum is right",
        arguments: [
            (0, 0x6b, "magic"), (8, 2, "format"), (10, 2, "copy"), (11, 2, "slot set"), (12, 5, "phase"),
            (15, 6, "reason"), (60, 65, "attempt length"), (60, 18, "attempt shorter than its length"),
            (60, 16, "attempt longer than its length"), (61, 1, "attempt length's high byte"), (72, 0x20, "space"),
            (73, 0x7f, "control"), (74, 0xc3, "no ASCII"), (100, 1, "attempt padding"), (136, 5, "state"),
            (137, 0, "unknown manifest with digest"), (137, 2, "manifest flag"), (138, 1, "spare"),
            (184, 5, "state"), (187, 1, "spare"), (232, 1, "padding"), (479, 1, "last padding byte"),
        ] as [(Int, UInt8, String)])
    func strict(_ offset: Int, _ value: UInt8, _ what: String) throws {
        var body = Array(try Bytes.fixture("boot-record/full.bin")[0..<480])
        #expect(body[offset] != value)
        body[offset] = value
        let bytes = body + SHA256.digest(of: body).bytes
        #expect(throws: FormatError.self, "\(what)") { try BootRecord.Sector(decoding: bytes) }
    }

    @Test(
        "is not made for an attempt id that no record can hold",
        arguments: [String(repeating: "x", count: 65), "two words", "line\n", "caf\u{e9}", "\u{7f}"])
    func badAttempt(_ attempt: String) {
        var record = BootRecord.full
        record.attempt = attempt
        #expect(throws: FormatError.self) {
            try BootRecord.Sector(record: record, copy: 0, parent: nil).encoded()
        }
    }

    @Test("holds the longest attempt id")
    func longestAttempt() throws {
        var record = BootRecord.full
        record.attempt = String(repeating: "~", count: 64)
        let bytes = try BootRecord.Sector(record: record, copy: 0, parent: nil).encoded()
        #expect(try BootRecord.Sector(decoding: bytes).record == record)
    }

    @Test("is not made for a third copy")
    func thirdCopy() {
        #expect(throws: FormatError.self) {
            try BootRecord.Sector(record: .full, copy: 2, parent: nil).encoded()
        }
    }

    @Test("has names that lead back to every phase, state and reason")
    func names() {
        for phase in BootRecord.Phase.allCases { #expect(BootRecord.Phase(name: phase.name) == phase) }
        for state in SlotRecord.State.allCases { #expect(SlotRecord.State(name: state.name) == state) }
        for reason in RollbackReason.allCases { #expect(RollbackReason(name: reason.name) == reason) }
        #expect(BootRecord.Phase(name: "Trial") == nil)
        #expect(SlotRecord.State(name: "") == nil)
        #expect(RollbackReason(name: "health") == nil)
    }
}
