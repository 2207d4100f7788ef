import Platform
import StrictJSON
import Testing

@testable import BundleFormat

@Suite struct DeltaTableTests {
    /// The golden table with bytes replaced.
    private func golden(_ offset: Int, _ bytes: [UInt8]) throws -> [UInt8] {
        var table = try Fixture.bytes("delta-table.bin")
        table.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
        return table
    }

    private func plan(
        _ windows: [[DeltaOperation]], _ codec: DeltaCodec = .stored, residual: Int = 4096, stored: Int? = nil,
        references: [DeltaRange] = []
    ) -> DeltaGroupPlan {
        let stored = stored ?? residual
        return DeltaGroupPlan(
            codec: codec, residualLength: residual, storedLength: stored,
            storedDigest: stored > 0 ? SHA256.digest(of: [1]) : nil, references: references, windows: windows)
    }

    /// Three windows of 4096 bytes, the last of 100, from a base of 10000 bytes.
    private func table(_ groups: [DeltaGroupPlan], base: Bool = true) throws -> DeltaTable {
        try DeltaTable(
            imageSize: 8292, base: base ? DeltaBase(digest: SHA256.digest(of: [2]), size: 10_000) : nil,
            windowSize: 4096, payloadOffset: 7, groups: groups)
    }

    @Test("The golden table decodes to what its maker wrote, and encodes to the same bytes")
    func golden() throws {
        let bytes = try Fixture.bytes("delta-table.bin")
        let table = try DeltaTable.decode(bytes)
        #expect(table.imageSize == 3 * 8192 + 100 && table.windowSize == 8192 && table.windowCount == 4)
        #expect(table.base == DeltaBase(digest: SHA256.digest(of: Array("base".utf8)), size: 20_000))
        #expect(table.payloadOffset == 1000 && table.payloadLength == 140)
        #expect(table.groups.map(\.windows) == [0..<2, 2..<4])
        #expect(table.groups.map(\.storedOffset) == [1000, 1040])
        #expect(table.groups[0].storedDigest == SHA256.digest(of: Array("group 0".utf8)))
        let plans = table.plans
        #expect(plans[0].codec == .zstdReferences && plans[0].residualLength == 300)
        #expect(plans[0].references == [DeltaRange(start: 4096, length: 1000), DeltaRange(start: 96, length: 96)])
        #expect(plans[0].windows == [[.copy(DeltaRange(start: 12_000, length: 7892)), .residual(300)], []])
        #expect(plans[1].windows == [[.copy(DeltaRange(start: 20_000, length: 8192))], [.residual(100)]])
        #expect((0..<4).map { table.group(of: $0) } == [0, 0, 1, 1])
        #expect(table.encode() == bytes)
        let again = try DeltaTable(
            imageSize: table.imageSize, base: table.base, windowSize: 8192, payloadOffset: 1000, groups: plans)
        #expect(again.encode() == bytes)
    }

    @Test("A table that is cut off at any byte, or goes on behind its end, is refused")
    func truncated() throws {
        let bytes = try Fixture.bytes("delta-table.bin")
        for count in 0..<bytes.count {
            #expect(throws: FormatError.self) { try DeltaTable.decode(Array(bytes[0..<count])) }
        }
        #expect(throws: FormatError.self) { try DeltaTable.decode(bytes + [0]) }
    }

    @Test("Every flipped bit is refused, or gives another table that is spelt in this one way")
    func flipped() throws {
        let bytes = try Fixture.bytes("delta-table.bin")
        for index in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << UInt8(bit)
                guard let table = try? DeltaTable.decode(changed) else { continue }
                let again = try DeltaTable(
                    imageSize: table.imageSize, base: table.base, windowSize: table.windowSize,
                    payloadOffset: table.payloadOffset, groups: table.plans)
                #expect(again.encode() == changed)
            }
        }
    }

    @Test(
        "A field that breaks a rule is refused",
        arguments: [
            ("magic", 0, [0x6b]), ("version", 4, [2]), ("reserved", 6, [1]), ("reserved", 68, [1]),
            ("longer image", 8, [0, 0x80]), ("no base, but its digest", 16, [0, 0, 0, 0, 0, 0, 0, 0]),
            ("base past its limit", 16, [0, 0, 0, 0, 0, 0x20, 0, 0]), ("no window size", 56, [0, 0, 0, 0]),
            ("fewer windows", 60, [3]), ("four thousand million groups", 64, [0xff, 0xff, 0xff, 0xff]),
            ("more groups", 64, [3]), ("payload offset", 72, [0, 0, 0, 0, 0, 0, 0, 0x80]),
            ("unknown codec", 80, [5]), ("no window in a group", 81, [0]), ("more windows than there are", 81, [5]),
            ("residual of another length", 82, [0xad]),
        ] as [(String, Int, [UInt8])])
    func rules(rule: String, offset: Int, bytes: [UInt8]) throws {
        let table = try golden(offset, bytes)
        #expect(table != (try Fixture.bytes("delta-table.bin")), "\(rule) changes nothing")
        #expect(throws: FormatError.self, "\(rule)") { try DeltaTable.decode(table) }
    }

    @Test("An integer that is longer than it must be, or than nine bytes, is refused")
    func integers() throws {
        func read(_ bytes: [UInt8]) throws -> UInt64 {
            var reader = ByteReader(bytes.rawBytes, what: "a test")
            return try reader.varint()
        }
        #expect(try read([0x80, 0x01]) == 128)
        #expect(try read([UInt8](repeating: 0xff, count: 8) + [0x7f]) == UInt64(Int64.max))
        for bytes in [[0x80, 0], [0xff, 0x80, 0], [UInt8](repeating: 0xff, count: 9) + [1], [0x80], []] {
            #expect(throws: FormatError.self) { try read(bytes) }
        }
        for value in [0, 1, -1, 63, -64, 1 << 45, -(1 << 45)] as [Int64] {
            var writer = ByteWriter()
            writer.signed(value)
            var reader = ByteReader(writer.bytes.rawBytes, what: "a test")
            #expect(try reader.signed() == value)
        }
    }

    @Test("Ranges, sums and codecs that do not fit are refused, one by one")
    func hostile() throws {
        let full: [DeltaOperation] = [.residual(4096)]
        let copy = { (start: UInt64, length: Int) in DeltaOperation.copy(DeltaRange(start: start, length: length)) }
        let rest = plan([[.residual(100)]], residual: 100)
        /// One window of nothing but this copy, behind a full one.
        func copied(_ start: UInt64) -> [DeltaGroupPlan] {
            [plan([full]), plan([[copy(start, 4096)]], .none, residual: 0), rest]
        }
        let one = DeltaRange(start: 0, length: 1)
        let long = DeltaRange(start: 0, length: 10_000)
        // What they differ from is right.
        _ = try table(copied(10_000))
        _ = try table([plan([full, []]), rest])
        let bad: [(String, [DeltaGroupPlan])] = [
            ("too few windows", [plan([full])]),
            ("own bytes of the same group", [plan([full, [copy(10_000, 4096)]]), rest]),
            ("own bytes above the group", copied(10_001)), ("base and image in one", copied(9_999)),
            ("behind everything", copied(1 << 60)),
            ("window not filled", [plan([[.residual(4095)]], residual: 4095), plan([full]), rest]),
            ("window too full", [plan([[.residual(4097)]], residual: 4097), plan([full]), rest]),
            ("residual left over", [plan([full], residual: 4097), plan([full]), rest]),
            ("residual missing", [plan([full], residual: 4095), plan([full]), rest]),
            ("empty copy", [plan([full]), plan([[copy(0, 0), copy(0, 4096)]], .none, residual: 0), rest]),
            ("empty residual", [plan([[.residual(0), .residual(4096)]]), plan([full]), rest]),
            ("stored, but shorter", [plan([full], stored: 4095), plan([full]), rest]),
            ("coded, but not smaller", [plan([full], .zstd), plan([full]), rest]),
            ("coded to nothing", [plan([full], .zstd, stored: 0), plan([full]), rest]),
            ("references without use", [plan([full, []], references: [one]), rest]),
            ("use without references", [plan([full, []], .zstdReferences, stored: 4), rest]),
            (
                "too many references",
                [plan([full, []], .difference, stored: 4, references: .init(repeating: one, count: 1025)), rest]
            ),
            (
                "too long references",
                [plan([full, []], .difference, stored: 4, references: .init(repeating: long, count: 420)), rest]
            ),
            ("no residual, but a codec", [plan([[copy(0, 4096)], []], .zstd, residual: 0, stored: 0), rest]),
        ]
        for (rule, groups) in bad { #expect(throws: FormatError.self, "\(rule)") { try table(groups) } }
        #expect(throws: FormatError.self, "a base without there being one") {
            try table([plan([[copy(0, 4096)], []], .none, residual: 0), rest], base: false)
        }
    }

    @Test("The forms of a component survive their way through the manifest's document")
    func forms() throws {
        let piece = PayloadPiece(offset: 3, length: 9, digest: SHA256.digest(of: [1]), plainLength: 100)
        let document = try Fixture.manifest { document in
            try document.set("components/0/deltas", .array([]))
            try document.set(
                "components/0/deltas/0",
                DeltaForm(
                    base: DeltaBase(digest: SHA256.digest(of: [2]), size: 77), table: piece, payload: 12
                ).json)
            try document.set("components/0/solid", SolidForm(table: piece, payload: 13).json)
            try document.set("components/0/blocks", BlocksForm(index: piece, payload: 14).json)
        }
        let manifest = try Manifest.decode(document)
        let component = manifest.components[0]
        #expect(component.deltas.map(\.base.size) == [77] && component.deltas[0].table == piece)
        #expect(component.solid == SolidForm(table: piece, payload: 13))
        #expect(component.blocks == BlocksForm(index: piece, payload: 14))
        #expect(try Manifest.decode(manifest.bytes) == manifest)
    }

    @Test(
        "A form that breaks a rule is refused",
        arguments: [
            ("solid/table/length", .integer(0)), ("solid/table/length", .integer(16_777_217)),
            ("solid/table/plain", .integer(67_108_865)), ("solid/table/offset", .integer(1 << 40)),
            ("solid/table/sha256", .string("")), ("solid/table/more", .integer(1)), ("solid/payload", .integer(-1)),
            ("solid/payload", .integer(1 << 40)), ("solid/table", nil), ("deltas", .integer(1)),
            ("deltas/0/base/size", .integer(0)), ("deltas/0/base", nil), ("blocks/index", nil),
        ] as [(String, JSONValue?)])
    func formRules(path: String, value: JSONValue?) throws {
        let piece = PayloadPiece(offset: 3, length: 9, digest: SHA256.digest(of: [1]), plainLength: 100)
        let delta = DeltaForm(base: DeltaBase(digest: SHA256.digest(of: [2]), size: 77), table: piece, payload: 12)
        let document = try Fixture.manifest { document in
            try document.set("components/0/deltas", .array([delta.json]))
            try document.set("components/0/solid", SolidForm(table: piece, payload: 13).json)
            try document.set("components/0/blocks", BlocksForm(index: piece, payload: 14).json)
            try document.set("components/0/" + path, value)
        }
        #expect(throws: FormatError.self) { try Manifest.decode(document) }
    }

    @Test("Two deltas from one base, or seventeen, are refused")
    func deltaCount() throws {
        let piece = PayloadPiece(offset: 3, length: 9, digest: SHA256.digest(of: [1]), plainLength: 100)
        func decode(_ bases: [UInt8]) throws {
            let forms = bases.map { base in
                DeltaForm(base: DeltaBase(digest: SHA256.digest(of: [base]), size: 7), table: piece, payload: 1).json
            }
            _ = try Manifest.decode(Fixture.manifest { try $0.set("components/0/deltas", .array(forms)) })
        }
        try decode(Array(0..<16))
        #expect(throws: FormatError.self) { try decode([1, 2, 1]) }
        #expect(throws: FormatError.self) { try decode(Array(0..<17)) }
    }
}
