import BundleFormat
import Platform
import Signing
import Testing
import Trust

/// A fresh directory that goes with its owner.
final class TemporaryDirectory {
    let path: String

    init() throws {
        let above = ProcessInformation.environment("TMPDIR") ?? "/tmp"
        path = "\(above)/kedge-\(Hex.encode(try SystemRandom().bytes(8)))"
        try FileSystem.makeDirectories(path, mode: 0o700)
    }

    deinit {
        for name in (try? FileSystem.list(path)) ?? [] { try? FileSystem.remove("\(path)/\(name)") }
        try? FileSystem.removeDirectory(path)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }
    func names() throws -> [String] { try FileSystem.list(path) }
}

extension FileSystem {
    /// A file's bytes, for tests.
    static func bytes(_ path: String) throws -> [UInt8] { try read(path, limit: 1 << 26) }
}

/// A whole bundle of one small image that nobody signed.
func unsignedBundle(release: String = "release-1", payload: [UInt8] = [UInt8](repeating: 7, count: 5000)) throws
    -> [UInt8]
{
    let digest = SHA256.digest(of: payload)
    let table = try ChunkTable(
        windowSize: 8192, imageSize: UInt64(payload.count),
        windows: stride(from: 0, to: payload.count, by: 8192).map { start in
            let plain = Array(payload[start..<min(start + 8192, payload.count)])
            return WindowEntry(
                codec: .stored, plainDigest: SHA256.digest(of: plain), storedDigest: SHA256.digest(of: plain),
                storedOffset: UInt64(start), storedLength: plain.count)
        }
    ).encode()
    let manifest = Manifest(
        releaseID: release, version: "1.0", sequence: 1, securityVersion: 1,
        product: Product(vendor: "Example", deviceClass: "gateway", hardware: 1...2),
        minimumUpdater: try #require(DottedVersion("0.1.0")), created: 1_700_000_000, notBefore: nil, expires: nil,
        update: .feature, advisories: [], sbomDigest: nil, sbomFormat: nil,
        components: [
            Component(
                id: try #require(Identifier("rootfs")), kind: .rootfs, target: try #require(Identifier("rootfs")),
                version: nil, size: UInt64(payload.count), digest: digest, windowSize: 8192,
                table: TableReference(offset: 0, length: table.count, digest: SHA256.digest(of: table)),
                verityRoot: nil)
        ],
        reboot: .manual, healthDeadline: 60, tablesLength: table.count, payloadLength: UInt64(payload.count),
        meta: []
    ).bytes
    let section = try SignatureSection([]).encode()
    let header = try BundleHeader(
        envelopeLength: section.count, manifestLength: manifest.count, tablesLength: table.count,
        payloadLength: UInt64(payload.count))
    return header.encode() + section + manifest + table + payload + header.encodeEnd()
}

/// A trust store whose root and release roles have these keys.
func trustStore(
    root: SigningKey, release: [SigningKey], threshold: Int = 1, revoked: [Digest] = [], denied: [Digest] = []
) throws -> TrustStore {
    try TrustStore(
        rootFile: RootDocument.make(
            environment: .dev, created: 1_700_000_000, rootKeys: [(root.publicKey, "root")], rootThreshold: 1,
            releaseKeys: release.map { ($0.publicKey, "release") }, releaseThreshold: threshold, revoked: revoked,
            deniedReleases: denied, signedBy: [root]))
}

/// A key loads without a passphrase.
func noPassphrase() throws(SigningError) -> [UInt8] {
    throw .passphrase(path: "test", why: "it was asked for")
}
