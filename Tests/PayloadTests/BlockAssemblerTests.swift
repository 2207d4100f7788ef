import BundleFormat
import CZstd
import Platform
import Testing
@testable import Trust

@testable import Payload

@Suite struct BlockAssemblerTests {
    /// An image of one window of five blocks (noise, a near copy of it, zeros, text, a short one) and its blocks form.
    private struct Sample {
        let plain: [UInt8]
        let chunks: VerifiedChunkTable
        let payload: [UInt8]
        let form: BlocksForm
        let stored: [UInt8]

        init() throws {
            let first = noise(4096, seed: 1)
            var second = first
            second[77] ^= 1
            plain =
                first + second + [UInt8](repeating: 0, count: 4096) + (0..<4096).map { UInt8($0 / 64) } + [1, 2, 3]
            let id = try #require(Identifier("rootfs"))
            let digest = SHA256.digest(of: plain)
            let table = try ChunkTable(
                windowSize: 1 << 20, imageSize: UInt64(plain.count),
                windows: [
                    WindowEntry(
                        codec: .stored, plainDigest: digest, storedDigest: digest, storedOffset: 0,
                        storedLength: plain.count)
                ])
            let component = Component(
                id: id, kind: .rootfs, target: id, version: nil, size: UInt64(plain.count), digest: digest,
                windowSize: 1 << 20, table: TableReference(offset: 0, length: 1, digest: digest), verityRoot: nil)
            chunks = VerifiedChunkTable(component: component, table: table)
            var page: [UInt8] = []
            var blocks: [UInt8] = []
            var plans: [BlockPlan] = []
            for start in stride(from: 0, to: plain.count, by: 4096) {
                let bytes = Array(plain[start..<min(start + 4096, plain.count)])
                var packed = Frames.pack(bytes, prefix: Array(plain[..<start]), bare: true)
                if packed.count >= bytes.count { packed = bytes }
                if bytes.allSatisfy({ $0 == 0 }) { packed = [] }
                if !packed.isEmpty { page += SHA256.digest(of: packed).bytes.prefix(16) }
                blocks += packed
                plans.append(BlockPlan(storedLength: packed.count, hint: BlockHint(of: bytes.rawBytes)))
            }
            payload = page + blocks
            let index = try BlockIndex(
                of: table, payloadOffset: 0, windows: [(page: SHA256.digest(of: page), blocks: plans)])
            let piece: PayloadPiece
            (piece, stored) = FormImage.piece(index.encode())
            form = BlocksForm(index: piece, payload: UInt64(payload.count))
        }

        func index() throws -> VerifiedBlockIndex {
            try VerifiedBlockIndex(stored: stored, form: form, of: chunks)
        }

        func page(_ index: VerifiedBlockIndex) throws -> BlockPage {
            let bytes = Array(payload.prefix(index.index.pageLength(of: 0)))
            return try BlockPage(checking: bytes.rawBytes, of: index, window: 0)
        }

        func stored(_ entry: BlockEntry) -> [UInt8] {
            let start = Int(entry.storedOffset)
            return Array(payload[start..<(start + entry.storedLength)])
        }
    }

    private func bytes(_ window: consuming DecodedWindow) -> [UInt8]? {
        guard case .verified(let window) = window else { return nil }
        return [UInt8](copying: window.buffer.bytes.extracting(0..<window.length))
    }

    @Test("A window comes of fetched blocks alone; blocks of zeros need nothing")
    func fetched() throws {
        let sample = try Sample()
        let index = try sample.index()
        let assembler = try BlockAssembler(index: index)
        let buffer = try bufferOf([UInt8](repeating: 0xff, count: 30_000))
        assembler.begin(window: 0, page: try sample.page(index), into: buffer)
        var count = 0
        while let entry = assembler.needed {
            try assembler.take(stored: sample.stored(entry).rawBytes)
            count += 1
        }
        #expect(count == 4)
        #expect(bytes(assembler.finish()) == sample.plain)
    }

    @Test("Blocks that the device holds are read from it, and the others are decoded against them")
    func reused() throws {
        let sample = try Sample()
        let index = try sample.index()
        let device = MemoryImage(noise(512, seed: 9) + sample.plain)
        let assembler = try BlockAssembler(index: index)
        let buffer = try bufferOf([])
        assembler.begin(window: 0, page: try sample.page(index), into: buffer)
        while let entry = assembler.needed {
            if entry.pageIndex % 2 == 0 {
                #expect(assembler.take(from: device, at: UInt64(512 + entry.offset)) == .holds)
            } else {
                try assembler.take(stored: sample.stored(entry).rawBytes)
            }
        }
        #expect(bytes(assembler.finish()) == sample.plain)
    }

    @Test("A place that does not hold the block, or cannot be read, is not taken, and the block can still be fetched")
    func wrongPlace() throws {
        let sample = try Sample()
        let index = try sample.index()
        let device = MemoryImage(noise(9000, seed: 4))
        let assembler = try BlockAssembler(index: index)
        assembler.begin(window: 0, page: try sample.page(index), into: try bufferOf([]))
        while let entry = assembler.needed {
            device.fails.toggle()
            #expect(assembler.take(from: device, at: 100) == .differs)
            #expect(assembler.take(from: device, at: 1 << 40) == .differs)
            #expect(assembler.needed == entry)
            try assembler.take(stored: sample.stored(entry).rawBytes)
        }
        #expect(bytes(assembler.finish()) == sample.plain)
    }

    @Test("Every flipped byte of a page or a block is found before zstd sees it")
    func damaged() throws {
        let sample = try Sample()
        let index = try sample.index()
        let length = index.index.pageLength(of: 0)
        for place in 0..<length {
            var page = Array(sample.payload.prefix(length))
            page[place] ^= 1
            #expect(throws: PayloadError.self) { _ = try BlockPage(checking: page.rawBytes, of: index, window: 0) }
        }
        let assembler = try BlockAssembler(index: index)
        assembler.begin(window: 0, page: try sample.page(index), into: try bufferOf([]))
        while let entry = assembler.needed {
            let good = sample.stored(entry)
            for place in stride(from: 0, to: good.count, by: 61) {
                var changed = good
                changed[place] ^= 4
                let error = #expect(throws: PayloadError.self) { try assembler.take(stored: changed.rawBytes) }
                #expect(error?.code == "payload.damaged")
            }
            try assembler.take(stored: good.rawBytes)
        }
    }

    @Test("Without its page nothing of a window can be fetched")
    func noPage() throws {
        let sample = try Sample()
        let assembler = try BlockAssembler(index: try sample.index())
        assembler.begin(window: 0, page: nil, into: try bufferOf([]))
        let entry = try #require(assembler.needed)
        #expect(throws: PayloadError.self) { try assembler.take(stored: sample.stored(entry).rawBytes) }
        guard case .mismatch(0) = assembler.finish() else {
            Issue.record("an unfinished window was taken")
            return
        }
    }

    @Test("A window whose hints lied is a mismatch in the end: its SHA-256 decides")
    func lyingHints() throws {
        let sample = try Sample()
        let blocks = try sample.index().index.blocks(of: 0)
        let other = noise(4096, seed: 8)
        let plans = blocks.map { entry in
            BlockPlan(
                storedLength: entry.storedLength,
                hint: entry.offset == 0 ? BlockHint(of: other.rawBytes) : entry.hint)
        }
        let page = Array(sample.payload.prefix(64))
        let index = try BlockIndex(
            of: sample.chunks.table, payloadOffset: 0, windows: [(page: SHA256.digest(of: page), blocks: plans)])
        let (piece, stored) = FormImage.piece(index.encode())
        let verified = try VerifiedBlockIndex(
            stored: stored, form: BlocksForm(index: piece, payload: sample.form.payload), of: sample.chunks)
        let assembler = try BlockAssembler(index: verified)
        let device = MemoryImage(other + sample.plain)
        assembler.begin(window: 0, page: nil, into: try bufferOf([]))
        #expect(assembler.take(from: device, at: 0) == .holds)
        while let entry = assembler.needed {
            #expect(assembler.take(from: device, at: UInt64(4096 + entry.offset)) == .holds)
        }
        guard case .mismatch(0) = assembler.finish() else {
            Issue.record("a window of other bytes was taken")
            return
        }
    }

    @Test("The map of the device's blocks finds every block that it was told of, and no other")
    func deviceBlocks() throws {
        var map = DeviceBlocks(reserving: 1000)
        var hints = noise(8 * 1000, seed: 3).withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
        hints[500] = hints[20]
        for (block, hint) in hints.enumerated() { map.add(BlockHint(hint), image: block % 2, block: block) }
        map.sort()
        #expect(map.count == 1000)
        for (block, hint) in hints.enumerated() where block != 500 {
            #expect(map.place(of: BlockHint(hint)) == .init(image: block % 2, offset: UInt64(block) * 4096))
            #expect(map.place(of: BlockHint(hint ^ 1)) == nil)
        }
        #expect(DeviceBlocks().place(of: BlockHint(1)) == nil)
    }
}
