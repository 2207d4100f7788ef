import BundleFormat
import Foundation
import Platform
import Signing
import Trust

/// Bytes from a fixed sequence (xorshift64), which no compressor makes smaller.
func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    return (0..<count).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 24)
    }
}

/// A bundle put together piece by piece, so that a test can sign what no builder would write.
struct Forgery {
    struct Window {
        var codec: UInt8 = 1
        var plain: Digest
        var stored: Digest
        var offset: UInt64
        var length: UInt32
    }
    var windows: [Window] = []
    var imageSize: UInt64
    var imageDigest: Digest
    /// What the payload holds at `payloadStart`; the rest of `payloadLength` is a hole.
    var payload: [UInt8]
    var payloadStart: UInt64 = 0
    var payloadLength: UInt64
    /// Changes to the manifest's text before it is signed.
    var edits: [(old: String, new: String)] = []
    var release = "forged"

    static let windowSize = 4096

    /// One component, stored as it is.
    init(image: [UInt8]) {
        imageSize = UInt64(image.count)
        imageDigest = SHA256.digest(of: image)
        payload = image
        payloadLength = UInt64(image.count)
        for start in stride(from: 0, to: image.count, by: Self.windowSize) {
            let part = Array(image[start..<min(start + Self.windowSize, image.count)])
            let digest = SHA256.digest(of: part)
            windows.append(
                Window(plain: digest, stored: digest, offset: UInt64(start), length: UInt32(part.count)))
        }
    }

    /// One window that claims these stored bytes to be a zstd frame of `plain`.
    init(frame: [UInt8], of plain: [UInt8]) {
        self.init(image: plain)
        windows = [
            Window(
                codec: 2, plain: SHA256.digest(of: plain), stored: SHA256.digest(of: frame), offset: 0,
                length: UInt32(frame.count))
        ]
        payload = frame
        payloadLength = UInt64(frame.count)
    }

    var table: [UInt8] {
        var out = ByteWriter()
        out.array(Array("KTBL".utf8))
        out.u32(1)
        out.u32(UInt32(Self.windowSize))
        out.u32(UInt32(windows.count))
        out.u64(imageSize)
        out.u64(0)
        for window in windows { out.u8(window.codec) }
        for window in windows where window.codec != 0 {
            out.digest(window.plain)
            out.digest(window.stored)
            out.u64(window.offset)
            out.u32(window.length)
        }
        return out.bytes
    }

    var manifest: [UInt8] {
        let table = table
        var text = """
            {"type":"kedge.manifest","format":1,"release":{"id":"\(release)","version":"1"},"sequence":5,\
            "securityVersion":5,"product":{"vendor":"acme","class":"edge","hardware":[1,3]},\
            "minimumUpdater":"0.1.0","created":1650000000,"update":"feature","components":[{"id":"rootfs",\
            "kind":"rootfs","target":"rootfs","size":\(imageSize),"sha256":"\(imageDigest.hex)",\
            "window":\(Self.windowSize),"table":{"offset":0,"length":\(table.count),\
            "sha256":"\(SHA256.digest(of: table).hex)"}}],"reboot":"automatic","health":{"deadline":60},\
            "layout":{"tables":\(table.count),"payload":\(payloadLength)}}
            """
        for edit in edits { text = text.replacingOccurrences(of: edit.old, with: edit.new) }
        return Array(text.utf8)
    }

    func signature(by key: SigningKey, type: String = SignatureSection.payloadType) throws -> ManifestSignature {
        let message = SignatureSection.preAuthentication(type: type, payload: manifest)
        return ManifestSignature(algorithm: 1, keyID: key.publicKey.id, signature: try key.sign(message))
    }

    /// Header, signature section, manifest and table.
    func head(_ signatures: [ManifestSignature]) throws -> [UInt8] {
        let section = try SignatureSection(signatures).encode()
        return try header(signatures).encode() + section + manifest + table
    }

    func header(_ signatures: [ManifestSignature]) throws -> BundleHeader {
        try BundleHeader(
            envelopeLength: try SignatureSection(signatures).encode().count, manifestLength: manifest.count,
            tablesLength: table.count, payloadLength: payloadLength)
    }

    /// The whole bundle, with a payload that has no holes.
    func bundle(_ signatures: [ManifestSignature]) throws -> [UInt8] {
        try head(signatures) + payload + header(signatures).encodeEnd()
    }

    func bundle(by key: SigningKey) throws -> [UInt8] { try bundle([signature(by: key)]) }

    /// Writes the bundle with its holes, however large they are.
    func write(to path: String, by key: SigningKey) throws {
        let signatures = [try signature(by: key)]
        let header = try header(signatures)
        let (head, end) = (try head(signatures), header.encodeEnd())
        let file = try Descriptor(open: path, [.read, .write, .create])
        try file.write(head.rawBytes, at: 0)
        try file.write(payload.rawBytes, at: header.payloadOffset + payloadStart)
        try file.write(end.rawBytes, at: header.endOffset)
    }
}
