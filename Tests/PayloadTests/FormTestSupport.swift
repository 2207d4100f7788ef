import BundleFormat
import CZstd
import Platform
import Testing
@testable import Trust

@testable import Payload

/// An image in memory; reading it can be made to fail.
final class MemoryImage: ImageReader {
    var bytes: [UInt8]
    var fails = false
    var reads = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer, at place: Int) throws(SystemError) -> Int {
        reads += 1
        if fails { throw SystemError(number: SystemError.inputOutput, operation: "read", subject: "memory") }
        let start = min(Int(offset), bytes.count)
        let end = min(start + count, bytes.count)
        buffer.copy(Array(bytes[start..<end]).rawBytes, at: place)
        return end - start
    }
}

/// zstd frames as an encoder makes them.
enum Frames {
    static func pack(_ bytes: [UInt8], prefix: [UInt8] = [], bare: Bool = false) -> [UInt8] {
        let context = ZSTD_createCCtx()
        defer { ZSTD_freeCCtx(context) }
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 3)
        if bare {
            ZSTD_CCtx_setParameter(context, ZSTD_c_experimentalParam2, Int32(ZSTD_f_zstd1_magicless.rawValue))
            ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)
        }
        var out = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        return prefix.withUnsafeBufferPointer { before in
            if !prefix.isEmpty { ZSTD_CCtx_refPrefix(context, before.baseAddress, before.count) }
            let size = ZSTD_compress2(context, &out, out.count, bytes, bytes.count)
            return Array(out[..<size])
        }
    }
}

/// An image of windows of 4096 bytes, the base it came from, and what is needed to decode it.
struct FormImage {
    static let windowSize = 4096
    let plain: [UInt8]
    let chunks: VerifiedChunkTable

    init(_ plain: [UInt8]) throws {
        self.plain = plain
        var windows: [WindowEntry] = []
        for start in stride(from: 0, to: plain.count, by: Self.windowSize) {
            let bytes = Array(plain[start..<min(start + Self.windowSize, plain.count)])
            let digest = SHA256.digest(of: bytes)
            let zero = bytes.allSatisfy { $0 == 0 }
            windows.append(
                WindowEntry(
                    codec: zero ? .zero : .stored, plainDigest: digest, storedDigest: digest, storedOffset: 0,
                    storedLength: zero ? 0 : bytes.count))
        }
        let id = try #require(Identifier("rootfs"))
        let table = try ChunkTable(windowSize: Self.windowSize, imageSize: UInt64(plain.count), windows: windows)
        let component = Component(
            id: id, kind: .rootfs, target: id, version: nil, size: UInt64(plain.count),
            digest: SHA256.digest(of: plain), windowSize: Self.windowSize,
            table: TableReference(offset: 0, length: 1, digest: SHA256.digest(of: [])), verityRoot: nil)
        chunks = VerifiedChunkTable(component: component, table: table)
    }

    /// A piece of the payload with these plain bytes.
    static func piece(_ plain: [UInt8]) -> (piece: PayloadPiece, stored: [UInt8]) {
        let stored = Frames.pack(plain)
        return (
            PayloadPiece(
                offset: 0, length: stored.count, digest: SHA256.digest(of: stored), plainLength: plain.count), stored
        )
    }

    /// A checked table of these groups.
    func table(_ groups: [DeltaGroupPlan], base: [UInt8]?) throws -> VerifiedDeltaTable {
        let named = base.map { DeltaBase(digest: SHA256.digest(of: $0), size: UInt64($0.count)) }
        let table = try DeltaTable(
            imageSize: UInt64(plain.count), base: named, windowSize: Self.windowSize, payloadOffset: 0,
            groups: groups)
        let (piece, stored) = Self.piece(table.encode())
        guard let named else {
            return try VerifiedDeltaTable(
                stored: stored, solid: SolidForm(table: piece, payload: table.payloadLength), of: chunks)
        }
        return try VerifiedDeltaTable(
            stored: stored, delta: DeltaForm(base: named, table: piece, payload: table.payloadLength), of: chunks)
    }
}

func bufferOf(_ bytes: [UInt8]) throws -> AlignedBuffer {
    let buffer = try AlignedBuffer(capacity: 1 << 20)
    buffer.copy(bytes.rawBytes, at: 0)
    return buffer
}

/// Bytes from a fixed sequence (splitmix64).
func noise(_ count: Int, seed: UInt64) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        return UInt8(truncatingIfNeeded: z >> 32)
    }
}
