import BundleFormat
import Platform
import Testing
@testable import Trust

@testable import Payload

@Suite struct BlockPlacesTests {
    /// Records in memory.
    private final class Records: HintSource {
        let windowSize: Int
        let windows: [WindowHints]
        init(_ image: [UInt8], windowSize: Int = 8192) {
            self.windowSize = windowSize
            windows = stride(from: 0, to: image.count, by: windowSize).map { start in
                let part = Array(image[start..<min(start + windowSize, image.count)])
                return WindowHints(
                    digest: SHA256.digest(of: part),
                    blocks: stride(from: 0, to: part.count, by: 4096).map {
                        BlockHint(of: Array(part[$0..<min($0 + 4096, part.count)]).rawBytes)
                    })
            }
        }
        func visit(_ body: (Int, WindowHints) -> Void) { for (n, w) in windows.enumerated() { body(n, w) } }
    }

    /// An image in memory.
    private final class Image: ImageReader {
        let bytes: [UInt8]
        init(_ bytes: [UInt8]) { self.bytes = bytes }
        func read(
            at offset: UInt64, count: Int, into buffer: AlignedBuffer, at place: Int
        ) throws(SystemError) -> Int {
            let part = Array(bytes.dropFirst(Int(offset)).prefix(count))
            buffer.copy(part.rawBytes, at: place)
            return part.count
        }
    }

    private func block(_ seed: UInt64) -> [UInt8] { noise(4096, seed: seed) }

    /// An index of an image in windows of two blocks; blocks of zeros store nothing.
    private func index(_ image: [UInt8]) throws -> BlockIndex {
        let digest = SHA256.digest(of: [1])
        let starts = Array(stride(from: 0, to: image.count, by: 8192))
        func isZero(_ start: Int) -> Bool { image[start..<min(start + 8192, image.count)].allSatisfy { $0 == 0 } }
        let table = try ChunkTable(
            windowSize: 8192, imageSize: UInt64(image.count),
            windows: starts.map { start in
                WindowEntry(
                    codec: isZero(start) ? .zero : .stored, plainDigest: digest, storedDigest: digest,
                    storedOffset: 0, storedLength: isZero(start) ? 0 : min(8192, image.count - start))
            })
        return try BlockIndex(
            of: table, payloadOffset: 0,
            windows: starts.filter { !isZero($0) }.map { start in
                let end = min(start + 8192, image.count)
                return (
                    page: digest,
                    blocks: stride(from: start, to: end, by: 4096).map { at in
                        let bytes = Array(image[at..<min(at + 4096, end)])
                        return BlockPlan(
                            storedLength: bytes.allSatisfy { $0 == 0 } ? 0 : bytes.count,
                            hint: BlockHint(of: bytes.rawBytes))
                    }
                )
            })
    }

    @Test("Blocks are found in either image, in the growing one only where it is not overwritten by then")
    func places() throws {
        let zeros = [UInt8](repeating: 0, count: 8192)
        // Windows: (1 2) (zeros) (3 4) (5 6), and a short end.
        let new = block(1) + block(2) + zeros + block(3) + block(4) + block(5) + block(6) + [9, 9]
        let running = Records(block(7) + block(2) + block(4) + block(2))
        let growing = Records(block(3) + block(1) + block(7) + block(7) + block(4) + block(5) + block(8) + [9, 9])
        for atATime in [1000, 3, 1] {
            let places = BlockPlaces(
                of: try index(new), in: [running, growing], growing: 1, hintsAtATime: atATime)
            func place(_ window: Int, _ block: Int) -> [Int]? {
                places.place(window, block).map { [$0.image, Int($0.offset) / 4096] }
            }
            #expect(place(0, 0) == [1, 1] && place(0, 1) == [0, 1])
            // 3 lies in a window of the target that is written before; 4 is in the running image too.
            #expect(place(2, 0) == nil && place(2, 1) == [0, 2])
            // 5 lies below its window.
            #expect(place(3, 0) == nil && place(3, 1) == nil)
            #expect(place(4, 0) == nil)
        }
    }

    @Test("What is read is believed only where its hint is right; neighbours are one read")
    func gather() throws {
        let new = block(1) + block(2) + block(3) + block(4)
        let running = Records(new)
        let places = BlockPlaces(of: try index(new), in: [running, nil], growing: 1)
        let buffer = try AlignedBuffer(capacity: 8192)
        #expect(places.gather(0, from: [Image(new), nil], into: buffer).isEmpty)
        #expect([UInt8](copying: buffer.bytes.extracting(0..<8192)) == Array(new[0..<8192]))
        var other = new
        other[4096] ^= 1
        #expect(places.gather(0, from: [Image(other), nil], into: buffer).map(\.offset) == [4096])
        #expect(places.gather(1, from: [Image(Array(new[0..<13000])), nil], into: buffer).map(\.offset) == [4096])
        #expect(places.gather(1, from: [nil, Image(new)], into: buffer).count == 2)
    }

    @Test("A record is read back as it was written, a changed or misplaced one is none", arguments: [1, 4096, 5000])
    func records(count: Int) throws {
        let buffer = try AlignedBuffer(capacity: 8192)
        buffer.copy(noise(count, seed: 4).rawBytes, at: 0)
        let hints = WindowHints(reading: buffer, count: count)
        #expect(hints.blocks.count == (count + 4095) / 4096)
        let bytes = hints.encode(window: 7, windowSize: 8192)
        #expect(bytes.count == WindowHints.recordLength(windowSize: 8192))
        #expect(WindowHints.decode(bytes, window: 7, windowSize: 8192) == hints)
        #expect(WindowHints.decode(bytes, window: 8, windowSize: 8192) == nil)
        #expect(WindowHints.decode(bytes, window: 7, windowSize: 4096) == nil)
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 0x40
            #expect(WindowHints.decode(changed, window: 7, windowSize: 8192) == nil)
        }
    }

    @Test("The start of a file of records tells its window size, and nothing else does")
    func header() {
        for size in [4096, 65536, 1 << 20] {
            let bytes = WindowHints.header(windowSize: size)
            #expect(bytes.count == WindowHints.headerLength && WindowHints.windowSize(header: bytes) == size)
            for place in bytes.indices {
                var changed = bytes
                changed[place] ^= 0x80
                #expect(WindowHints.windowSize(header: changed) != size)
            }
            #expect(WindowHints.windowSize(header: Array(bytes.dropLast())) == nil)
        }
        #expect(WindowHints.windowSize(header: WindowHints.header(windowSize: 2 << 20)) == nil)
    }
}
