import BundleFormat
import Platform
import Testing

@Suite("Chunk tables")
struct ChunkTableTests {
    private let plain = [UInt8](repeating: 1, count: 4096)

    /// The golden table with some bytes written over it.
    private func golden(_ offset: Int, _ bytes: [UInt8]) throws -> [UInt8] {
        var table = try Fixture.bytes("table.bin")
        for (index, byte) in bytes.enumerated() { table[offset + index] = byte }
        return table
    }

    private func entry(
        _ codec: WindowCodec, length: Int, offset: UInt64 = 0, stored: [UInt8] = []
    ) -> WindowEntry {
        WindowEntry(
            codec: codec, plainDigest: SHA256.digest(of: plain),
            storedDigest: SHA256.digest(of: stored.isEmpty ? plain : stored), storedOffset: offset,
            storedLength: length)
    }

    @Test("The golden table is read and written again")
    func golden() throws {
        let bytes = try Fixture.bytes("table.bin")
        let table = try ChunkTable.decode(bytes.rawBytes)
        #expect(table.windowSize == 4096 && table.imageSize == 8292)
        #expect(table.windows.map(\.codec) == [.stored, .zero, .zstd])
        #expect(table.windows.map(\.storedLength) == [4096, 0, 18])
        #expect(table.windows[2].storedOffset == 4096)
        #expect((0..<3).map { table.plainLength(of: $0) } == [4096, 4096, 100])
        #expect(table.encode() == bytes)
    }

    @Test("A zero window has the digest of that many zeros, and costs one byte")
    func zeroWindows() throws {
        let zeros = ZeroDigests(windowSize: 4096)
        let windows = (0..<1000).map { index in
            let digest = zeros.digest(count: index == 999 ? 1 : 4096)
            return WindowEntry(
                codec: .zero, plainDigest: digest, storedDigest: digest, storedOffset: 0, storedLength: 0)
        }
        let table = try ChunkTable(windowSize: 4096, imageSize: 999 * 4096 + 1, windows: windows)
        let bytes = table.encode()
        #expect(bytes.count == 32 + 1000)
        #expect(try ChunkTable.decode(bytes.rawBytes) == table)
        #expect(
            zeros.digest(count: 1).hex == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
    }

    @Test("A table that is cut off at any byte is a typed error")
    func truncated() throws {
        let bytes = try Fixture.bytes("table.bin")
        for count in 0..<bytes.count {
            #expect(throws: FormatError.self) { try ChunkTable.decode(Array(bytes[0..<count]).rawBytes) }
        }
    }

    @Test("Bytes behind the end are refused")
    func trailing() throws {
        #expect(throws: FormatError.self) { try ChunkTable.decode((Fixture.bytes("table.bin") + [0]).rawBytes) }
    }

    @Test(
        "A field that breaks a rule is refused",
        arguments: [
            ("magic", 0, [0x6b]), ("version", 4, [2]), ("reserved", 6, [1]), ("reserved", 24, [1]),
            ("no window size", 8, [0, 0]), ("odd window size", 8, [1]), ("window size past 1 MiB", 8, [0, 0x10, 0x10]),
            ("fewer windows", 12, [2]), ("more windows", 12, [4]), ("empty image", 16, [0, 0]),
            ("longer image", 16, [0, 0x40]), ("unknown codec", 32, [3]), ("codec that does not fit", 34, [1]),
            ("stored shorter", 35 + 72, [0, 0x0f]), ("compressed not smaller", 35 + 76 + 72, [100]),
            ("compressed to nothing", 35 + 76 + 72, [0]), ("stored 4 GiB", 35 + 76 + 72, [0xff, 0xff, 0xff, 0xff]),
            ("other stored digest", 35 + 32, [0]), ("offset out of bounds", 35 + 76 + 64 + 7, [1]),
        ] as [(String, Int, [UInt8])])
    func rules(rule: String, offset: Int, bytes: [UInt8]) throws {
        let table = try golden(offset, bytes)
        #expect(table != (try Fixture.bytes("table.bin")), "\(rule) changes nothing")
        #expect(throws: FormatError.self, "\(rule)") { try ChunkTable.decode(table.rawBytes) }
    }

    @Test("Four thousand million windows that are claimed and not there allocate nothing")
    func claimedWindows() throws {
        // 16 TiB in windows of 4096 bytes: the geometry is right, and the codec bytes are missing.
        let table = try golden(12, [0xff, 0xff, 0xff, 0xff]).prefix(16) + [0, 0xf0, 0xff, 0xff, 0xff, 0x0f, 0, 0]
        let bytes = Array(table) + [UInt8](repeating: 0, count: 8)
        let error = #expect(throws: FormatError.self) { try ChunkTable.decode(bytes.rawBytes) }
        #expect(error == .truncated(what: "the chunk table", needed: 32 + 0xffff_ffff, present: 32))
    }

    @Test("The rules hold for tables that are built as well")
    func building() throws {
        func table(_ entry: WindowEntry) throws {
            _ = try ChunkTable(windowSize: 4096, imageSize: 4096, windows: [entry])
        }
        try table(entry(.stored, length: 4096))
        try table(entry(.zstd, length: 4095, stored: [1]))
        #expect(throws: FormatError.self) { try table(entry(.zero, length: 1)) }
        #expect(throws: FormatError.self) { try table(entry(.stored, length: 4095)) }
        #expect(throws: FormatError.self) { try table(entry(.stored, length: 4096, stored: [1])) }
        #expect(throws: FormatError.self) { try table(entry(.zstd, length: 4096, stored: [1])) }
        #expect(throws: FormatError.self) { try table(entry(.zstd, length: 0, stored: [1])) }
        #expect(throws: FormatError.self) {
            try table(entry(.stored, length: 4096, offset: BundleLimits.bundle + 1))
        }
        #expect(throws: FormatError.self) { try ChunkTable(windowSize: 4096, imageSize: 4097, windows: []) }
    }
}
