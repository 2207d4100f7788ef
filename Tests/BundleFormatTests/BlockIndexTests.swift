import Platform
import Testing

@testable import BundleFormat

@Suite struct BlockIndexTests {
    /// The chunk table that the golden index belongs to.
    private func chunks() throws -> ChunkTable {
        let plain = SHA256.digest(of: [1])
        let codecs: [WindowCodec] = [.zstd, .zero, .zstd, .zstd]
        return try ChunkTable(
            windowSize: 8192, imageSize: 3 * 8192 + 100,
            windows: codecs.map { codec in
                WindowEntry(
                    codec: codec, plainDigest: plain, storedDigest: plain, storedOffset: 0,
                    storedLength: codec == .zero ? 0 : 99)
            })
    }

    private func decode(_ bytes: [UInt8]) throws -> BlockIndex { try BlockIndex.decode(bytes, of: chunks()) }

    @Test("The golden index decodes to what its maker wrote, hints and places included")
    func golden() throws {
        let bytes = try Fixture.bytes("block-index.bin")
        let index = try decode(bytes)
        #expect(index.payloadOffset == 5000 && index.payloadLength == UInt64(4 * 16 + 1000 + 4096 + 17 + 100))
        #expect((0..<4).map { index.hasBlocks($0) } == [true, false, true, true])
        #expect(index.pageDigest(of: 3) == SHA256.digest(of: Array("page 2".utf8)))
        #expect(index.pageOffset(of: 2) == 5000 + 32 + 5096 && index.pageLength(of: 2) == 16)
        let blocks = index.blocks(of: 2)
        #expect(blocks.map(\.storedLength) == [0, 17] && blocks.map(\.pageIndex) == [0, 0])
        #expect(blocks[1].storedOffset == index.pageOffset(of: 2) + 16 && blocks[1].offset == 4096)
        let texts = [UInt8](repeating: 0x63, count: 4096)
        #expect(blocks[1].hint == BlockHint(of: texts.rawBytes))
        #expect(index.blocks(of: 3).map(\.length) == [100])
        #expect(index.encode() == bytes)
    }

    @Test("A written index is read back the same")
    func written() throws {
        let golden = try decode(Fixture.bytes("block-index.bin"))
        let windows = [0, 2, 3].map { window in
            (
                page: golden.pageDigest(of: window),
                blocks: golden.blocks(of: window).map { BlockPlan(storedLength: $0.storedLength, hint: $0.hint) }
            )
        }
        #expect(try BlockIndex(of: chunks(), payloadOffset: 5000, windows: windows) == golden)
    }

    @Test("An index that is cut off, goes on, or breaks a rule is refused")
    func rules() throws {
        let bytes = try Fixture.bytes("block-index.bin")
        for count in 0..<bytes.count {
            #expect(throws: FormatError.self) { try decode(Array(bytes[..<count])) }
        }
        #expect(throws: FormatError.self) { try decode(bytes + [0]) }
        let changes: [(Int, [UInt8])] = [
            (0, [0]), (4, [2]), (6, [13]), (8, [0]), (16, [0, 0x10]), (20, [1]), (31, [0x80]),
            (32 + 3 * 32, [0x01, 0x10]), (32 + 3 * 32 + 8, [101, 0]),
        ]
        for (offset, change) in changes {
            var changed = bytes
            changed.replaceSubrange(offset..<(offset + change.count), with: change)
            #expect(throws: FormatError.self, "at \(offset)") { try decode(changed) }
        }
    }
}
