import BundleFormat
import Platform
import Testing
@testable import Trust

@testable import Payload

@Suite struct DeltaDecoderTests {
    /// What became of every window: nil where it was a mismatch.
    private func decode(
        _ table: VerifiedDeltaTable, _ stored: [[UInt8]], base: MemoryImage?, target: MemoryImage,
        fallback: [UInt8]? = nil
    ) throws -> [[UInt8]?] {
        let decoder = try DeltaDecoder(table: table, base: base, target: target)
        var windows: [[UInt8]?] = []
        let buffer = try AlignedBuffer(capacity: 1 << 20)
        for (index, bytes) in stored.enumerated() {
            try decoder.begin(StoredGroup(checking: try bufferOf(bytes), length: bytes.count, of: table, group: index))
            group: while true {
                switch try decoder.next(into: buffer) {
                case .verified(let window):
                    let bytes = [UInt8](copying: window.buffer.bytes.extracting(0..<window.length))
                    windows.append(bytes)
                    target.bytes += bytes
                case .mismatch(let window):
                    #expect(window == windows.count)
                    windows.append(nil)
                    if let fallback {
                        let start = window * FormImage.windowSize
                        target.bytes += fallback[start..<min(start + FormImage.windowSize, fallback.count)]
                    }
                case .end: break group
                }
            }
        }
        return windows
    }

    /// Five windows: residual with references, copies at odd places, zero, own bytes, and a short one by differences.
    private struct Sample {
        let base = noise(20_000, seed: 1)
        let image: FormImage
        let groups: [DeltaGroupPlan]
        let stored: [[UInt8]]

        init() throws {
            var changed = Array(base[5000..<(5000 + 4096)])
            for index in stride(from: 0, to: 4096, by: 97) { changed[index] &+= 1 }
            let first = changed
            let second = Array(base[101..<3001]) + Array(base[9000..<10_000]) + noise(196, seed: 2)
            let zero = [UInt8](repeating: 0, count: 4096)
            let own = Array(first[2000..<4096]) + Array(second[1000..<3000])
            let last = zip(base[7000..<8000], 0...).map { $0 &+ UInt8(truncatingIfNeeded: $1 % 50 == 0 ? 3 : 0) }
            image = try FormImage(first + second + zero + own + last)

            let residual = first + noise(196, seed: 2)
            let references = Array(base[4900..<9200]) + Array(base[0..<10])
            let a = Frames.pack(residual, prefix: references)
            // 1000 bytes added to the references from 500 on, in two runs, and no extra bytes.
            var control = ByteWriter()
            for (add, seek) in [(0, 500), (400, 0), (600, 0)] as [(UInt64, Int64)] {
                control.varint(add)
                control.varint(0)
                control.signed(seek)
            }
            let difference = (0..<1000).map { UInt8($0 % 50 == 0 ? 3 : 0) }
            let (packedControl, packedDifference) = (Frames.pack(control.bytes), Frames.pack(difference))
            var stream = ByteWriter()
            stream.u8(0)
            for value in [packedControl.count, control.bytes.count, packedDifference.count, 1000] {
                stream.varint(UInt64(value))
            }
            let b = stream.bytes + packedControl + packedDifference
            func copy(_ start: Int, _ length: Int) -> DeltaOperation {
                .copy(DeltaRange(start: UInt64(start), length: length))
            }
            groups = [
                DeltaGroupPlan(
                    codec: .zstdReferences, residualLength: residual.count, storedLength: a.count,
                    storedDigest: SHA256.digest(of: a),
                    references: [DeltaRange(start: 4900, length: 4300), DeltaRange(start: 0, length: 10)],
                    windows: [[.residual(4096)], [copy(101, 2900), copy(9000, 1000), .residual(196)], []]),
                DeltaGroupPlan(
                    codec: .difference, residualLength: 1000, storedLength: b.count,
                    storedDigest: SHA256.digest(of: b), references: [DeltaRange(start: 6500, length: 1600)],
                    windows: [[copy(20_000 + 2000, 2096), copy(20_000 + 4096 + 1000, 2000)], [.residual(1000)]]),
            ]
            stored = [a, b]
        }

        func table() throws -> VerifiedDeltaTable { try image.table(groups, base: base) }

        /// The windows as they should come out.
        var windows: [[UInt8]] {
            stride(from: 0, to: image.plain.count, by: 4096).map { start in
                Array(image.plain[start..<min(start + 4096, image.plain.count)])
            }
        }
    }

    @Test("A delta with every codec and operation gives the image, byte for byte")
    func whole() throws {
        let sample = try Sample()
        let target = MemoryImage([])
        let windows = try decode(sample.table(), sample.stored, base: MemoryImage(sample.base), target: target)
        #expect(windows == sample.windows)
    }

    @Test("A base that differs costs the windows that need what differs, and no others")
    func changedBase() throws {
        let sample = try Sample()
        let base = MemoryImage(sample.base)
        base.bytes[200] ^= 1
        let windows = try decode(
            sample.table(), sample.stored, base: base, target: MemoryImage([]), fallback: sample.image.plain)
        var expected: [[UInt8]?] = sample.windows
        expected[1] = nil
        #expect(windows == expected)
    }

    @Test("A base that is absent, too short or unreadable costs the windows that need it, and no error")
    func noBase() throws {
        let sample = try Sample()
        let broken = MemoryImage(sample.base)
        broken.fails = true
        for base in [nil, MemoryImage(Array(sample.base.prefix(50))), broken] {
            let windows = try decode(
                sample.table(), sample.stored, base: base, target: MemoryImage([]), fallback: sample.image.plain)
            // The zero window and the one made of the image's own bytes are had all the same.
            #expect(windows == [nil, nil, sample.windows[2], sample.windows[3], nil])
        }
    }

    @Test("A target that cannot be read back is an error, with the medium's own code")
    func brokenTarget() throws {
        let sample = try Sample()
        let table = try sample.table()
        let target = MemoryImage([])
        target.fails = true
        let error = #expect(throws: PayloadError.self) {
            try decode(table, sample.stored, base: MemoryImage(sample.base), target: target)
        }
        #expect(error?.code == "storage.io")
    }

    @Test("Every flipped byte of a stored group is found before any decoder sees it")
    func damagedGroups() throws {
        let sample = try Sample()
        let table = try sample.table()
        for (group, bytes) in sample.stored.enumerated() {
            for index in bytes.indices {
                var changed = bytes
                changed[index] ^= 0x10
                let error = #expect(throws: PayloadError.self) {
                    _ = try StoredGroup(checking: bufferOf(changed), length: changed.count, of: table, group: group)
                }
                #expect(error?.code == "payload.damaged")
            }
        }
        #expect(throws: PayloadError.self) {
            _ = try StoredGroup(checking: bufferOf(sample.stored[0]), length: 5, of: table, group: 0)
        }
    }

    @Test("Signed groups with any byte flipped or cut off give the right windows or mismatches, never more")
    func hostileGroups() throws {
        let sample = try Sample()
        for group in sample.stored.indices {
            let good = sample.stored[group]
            var attempts = good.indices.map { index in
                var bytes = good
                bytes[index] ^= 0x55
                return bytes
            }
            attempts += stride(from: 1, to: good.count, by: 3).map { Array(good[..<$0]) }
            for bytes in attempts {
                var (groups, stored) = (sample.groups, sample.stored)
                let old = groups[group]
                groups[group] = DeltaGroupPlan(
                    codec: old.codec, residualLength: old.residualLength, storedLength: bytes.count,
                    storedDigest: SHA256.digest(of: bytes), references: old.references, windows: old.windows)
                stored[group] = bytes
                let windows = try decode(
                    sample.image.table(groups, base: sample.base), stored, base: MemoryImage(sample.base),
                    target: MemoryImage([]), fallback: sample.image.plain)
                for (index, window) in windows.enumerated() where window != nil {
                    #expect(window == sample.windows[index])
                }
            }
        }
    }

    @Test("Every flipped byte of a stored table is found, and a length that is not the manifest's")
    func damagedTable() throws {
        let sample = try Sample()
        let table = try sample.table().table
        let (piece, stored) = FormImage.piece(table.encode())
        let base = try #require(table.base)
        let form = DeltaForm(base: base, table: piece, payload: table.payloadLength)
        for index in stored.indices {
            var changed = stored
            changed[index] ^= 1
            #expect(throws: PayloadError.self) {
                try VerifiedDeltaTable(stored: changed, delta: form, of: sample.image.chunks)
            }
        }
        #expect(throws: PayloadError.self) {
            try VerifiedDeltaTable(stored: stored + [0], delta: form, of: sample.image.chunks)
        }
    }

    @Test("A table that does not fit the manifest or the chunk table is refused")
    func misfits() throws {
        let sample = try Sample()
        let table = try sample.table().table
        let (piece, stored) = FormImage.piece(table.encode())
        let base = try #require(table.base)
        let other = DeltaBase(digest: SHA256.digest(of: [9]), size: base.size)
        let forms = [
            DeltaForm(base: other, table: piece, payload: table.payloadLength),
            DeltaForm(base: base, table: piece, payload: table.payloadLength + 1),
        ]
        for form in forms {
            let error = #expect(throws: PayloadError.self) {
                try VerifiedDeltaTable(stored: stored, delta: form, of: sample.image.chunks)
            }
            #expect(error?.code == "payload.undecodable")
        }
        #expect(throws: PayloadError.self) {
            try VerifiedDeltaTable(
                stored: stored, solid: SolidForm(table: piece, payload: table.payloadLength), of: sample.image.chunks)
        }
        // A window of zeros in the chunk table that has operations, and one without that is not zero.
        var plain = sample.image.plain
        for index in 0..<4096 { plain[index] = 0 }
        let zeros = try FormImage(plain)
        #expect(throws: PayloadError.self) { try zeros.table(sample.groups, base: sample.base) }
        for index in 8192..<12_288 { plain[index] = 1 }
        let filled = try FormImage(plain)
        #expect(throws: PayloadError.self) { try filled.table(sample.groups, base: sample.base) }
    }

    @Test("The solid form needs no base and reads only what is written already")
    func solid() throws {
        let first = noise(4096, seed: 5)
        let image = try FormImage(first + first.reversed() + first.prefix(700))
        let residual = first + Array(first.reversed())
        let groups = [
            DeltaGroupPlan(
                codec: .stored, residualLength: 8192, storedLength: 8192, storedDigest: SHA256.digest(of: residual),
                references: [], windows: [[.residual(4096)], [.residual(4096)]]),
            DeltaGroupPlan(
                codec: .none, residualLength: 0, storedLength: 0, storedDigest: nil, references: [],
                windows: [[.copy(DeltaRange(start: 0, length: 700))]]),
        ]
        let target = MemoryImage([])
        let windows = try decode(image.table(groups, base: nil), [residual, []], base: nil, target: target)
        #expect(windows.compactMap { $0 }.flatMap { $0 } == image.plain)
        #expect(target.bytes == image.plain)
    }

    @Test("Groups can be left out: a later one is decoded without those before it")
    func skipping() throws {
        let sample = try Sample()
        let table = try sample.table()
        let target = MemoryImage(Array(sample.image.plain.prefix(3 * 4096)))
        let decoder = try DeltaDecoder(table: table, base: MemoryImage(sample.base), target: target)
        let buffer = try AlignedBuffer(capacity: 1 << 20)
        let bytes = sample.stored[1]
        try decoder.begin(StoredGroup(checking: try bufferOf(bytes), length: bytes.count, of: table, group: 1))
        for index in 3..<5 {
            guard case .verified(let window) = try decoder.next(into: buffer) else {
                Issue.record("window \(index) is no match")
                return
            }
            #expect([UInt8](copying: window.buffer.bytes.extracting(0..<window.length)) == sample.windows[index])
        }
    }
}
