import BundleFormat
import CZstd
import Platform
import Testing
@testable import Trust

@testable import Payload

@Suite struct WindowDecoderTests {
    let decoder: WindowDecoder
    let scratch: AlignedBuffer
    /// Compressible, not a multiple of 4096.
    let plain = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 / 7) }

    init() throws {
        decoder = try WindowDecoder()
        scratch = try AlignedBuffer(capacity: 1 << 20)
    }

    private func compress(_ bytes: [UInt8], contentSize: Bool = true) -> [UInt8] {
        let context = ZSTD_createCCtx()
        defer { ZSTD_freeCCtx(context) }
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, contentSize ? 1 : 0)
        var out = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        let size = ZSTD_compress2(context, &out, out.count, bytes, bytes.count)
        return Array(out[..<size])
    }

    /// A table of one window that claims these digests and length.
    private func table(
        _ codec: WindowCodec, stored: [UInt8], plain: [UInt8], size: Int? = nil
    ) throws -> VerifiedChunkTable {
        let entry = WindowEntry(
            codec: codec, plainDigest: SHA256.digest(of: plain), storedDigest: SHA256.digest(of: stored),
            storedOffset: 0,
            storedLength: codec == .zero ? 0 : stored.count)
        let id = try #require(Identifier("rootfs"))
        let chunks = try ChunkTable(windowSize: 1 << 20, imageSize: UInt64(size ?? plain.count), windows: [entry])
        let component = Component(
            id: id, kind: .rootfs, target: id, version: nil, size: UInt64(plain.count),
            digest: SHA256.digest(of: plain),
            windowSize: 1 << 20, table: TableReference(offset: 0, length: 1, digest: SHA256.digest(of: [])),
            verityRoot: nil)
        return VerifiedChunkTable(component: component, table: chunks)
    }

    private func buffer(_ bytes: [UInt8]) throws -> AlignedBuffer {
        let buffer = try AlignedBuffer(capacity: 1 << 20)
        buffer.copy(bytes.rawBytes, at: 0)
        return buffer
    }

    private func decode(_ bytes: [UInt8], _ table: VerifiedChunkTable) throws -> [UInt8] {
        let stored = try StoredWindow(checking: try buffer(bytes), length: bytes.count, of: table, index: 0)
        let window = try decoder.decode(stored, scratch: scratch)
        return [UInt8](copying: window.buffer.bytes.extracting(0..<window.length))
    }

    private func code(_ body: () throws -> Void) -> String? {
        do {
            try body()
            return nil
        } catch { return (error as? PayloadError)?.code }
    }

    @Test("A zstd window gives its plain bytes, zero behind them up to the next 4096")
    func zstd() throws {
        let stored = compress(plain)
        scratch.copy([UInt8](repeating: 0xff, count: 16_384).rawBytes, at: 0)
        #expect(try decode(stored, table(.zstd, stored: stored, plain: plain)) == plain)
        #expect([UInt8](copying: scratch.bytes.extracting(10_000..<12_288)).allSatisfy { $0 == 0 })
    }

    @Test("A stored window is its plain bytes")
    func stored() throws {
        #expect(try decode(plain, table(.stored, stored: plain, plain: plain)) == plain)
    }

    @Test("A window that comes back in pieces is compared as a whole", arguments: [1, 4096, 9_999, 10_000])
    func pieces(_ size: Int) throws {
        let table = try table(.stored, stored: plain, plain: plain)
        func compare(_ bytes: [UInt8]) -> WindowComparison {
            var comparison = table.comparison(of: 0)
            var left = bytes[...]
            while !left.isEmpty {
                comparison.add(Array(left.prefix(size)).rawBytes)
                left = left.dropFirst(size)
            }
            return comparison.finish()
        }
        #expect(compare(plain) == .holds)
        #expect(compare(Array(plain.dropLast())) == .differs)
        #expect(compare(plain + [0]) == .differs)
        var other = plain
        other[plain.count - 1] ^= 1
        #expect(compare(other) == .differs)
    }

    @Test("A zero window needs no bytes")
    func zero() throws {
        let zeros = [UInt8](repeating: 0, count: 10_000)
        scratch.copy(plain.rawBytes, at: 0)
        #expect(try decode([], table(.zero, stored: zeros, plain: zeros)) == zeros)
    }

    @Test("One flipped bit anywhere in the stored bytes is found before the decoder sees them")
    func damaged() throws {
        let stored = compress(plain)
        let table = try table(.zstd, stored: stored, plain: plain)
        for index in stored.indices {
            var bytes = stored
            bytes[index] ^= 1
            #expect(code { _ = try decode(bytes, table) } == "payload.damaged")
        }
    }

    @Test("Another length than the table's is damage")
    func length() throws {
        let stored = compress(plain)
        let table = try table(.zstd, stored: stored, plain: plain)
        #expect(code { _ = try decode(stored + [0], table) } == "payload.damaged")
        #expect(code { _ = try decode(Array(stored.dropLast()), table) } == "payload.damaged")
    }

    @Test("A signed but defective frame is refused without touching memory it was not given")
    func defective() throws {
        let small = compress(Array(plain.prefix(500)))
        #expect(code { _ = try decode(small, table(.zstd, stored: small, plain: plain)) } == "payload.undecodable")
        let sizeless = compress(plain, contentSize: false)
        #expect(
            code { _ = try decode(sizeless, table(.zstd, stored: sizeless, plain: plain)) } == "payload.undecodable")
        let two = compress(plain) + compress([])
        #expect(code { _ = try decode(two, table(.zstd, stored: two, plain: plain)) } == "payload.undecodable")
        let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]
        #expect(
            code { _ = try decode(skippable, table(.zstd, stored: skippable, plain: plain)) } == "payload.undecodable")
        let noise = (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 97) }
        #expect(code { _ = try decode(noise, table(.zstd, stored: noise, plain: plain)) } == "payload.undecodable")
    }

    @Test("A frame that decodes to other bytes than the table names is refused")
    func otherPlain() throws {
        var other = plain
        other[5000] ^= 1
        let stored = compress(other)
        #expect(code { _ = try decode(stored, table(.zstd, stored: stored, plain: plain)) } == "payload.mismatch")
    }

    @Test("Every truncation and every flipped byte of a signed frame ends in an error or the right bytes")
    func hostileFrames() throws {
        let good = compress(plain)
        for index in good.indices {
            var bytes = good
            bytes[index] ^= 0x55
            // Its stored digest is claimed right, so the decoder itself has to hold.
            if let result = try? decode(bytes, table(.zstd, stored: bytes, plain: plain)) { #expect(result == plain) }
            let cut = Array(good[..<max(1, index)])
            if let result = try? decode(cut, table(.zstd, stored: cut, plain: plain)) { #expect(result == plain) }
        }
    }
}
