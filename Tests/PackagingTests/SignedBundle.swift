import BundleFormat
import Packaging
import Platform
import Signing
import Trust

/// Keys and the trust store that goes with them.
struct TestTrust {
    let key: SigningKey
    let store: TrustStore

    init() throws {
        key = try SigningKey.generate()
        let named = [(key: key.publicKey, name: "test")]
        store = try TrustStore(
            rootFile: RootDocument.make(
                environment: .dev, created: 1, rootKeys: named, rootThreshold: 1, releaseKeys: named,
                releaseThreshold: 1, signedBy: [key]))
    }
}

/// A bundle of one component put together by hand, so that a test can sign what the builder would never write.
struct HandmadeBundle {
    var image: [UInt8]
    var windows: [WindowEntry]
    var payload: [UInt8]
    var digest: Digest
    let windowSize = 4096

    /// Two windows of noise, stored as they are.
    init() {
        var source = FixedBytes(seed: 99)
        image = source.noise(2 * 4096)
        payload = image
        digest = SHA256.digest(of: image)
        windows = []
        for start in [0, 4096] {
            let plain = SHA256.digest(of: Array(image[start..<(start + 4096)]))
            windows.append(
                WindowEntry(
                    codec: .stored, plainDigest: plain, storedDigest: plain, storedOffset: UInt64(start),
                    storedLength: 4096))
        }
    }

    func write(to path: String, key: SigningKey) throws {
        let table = try ChunkTable(windowSize: windowSize, imageSize: UInt64(image.count), windows: windows).encode()
        guard let id = Identifier("rootfs"), let updater = DottedVersion("0.1.0") else { return }
        let component = Component(
            id: id, kind: .rootfs, target: id, version: nil, size: UInt64(image.count), digest: digest,
            windowSize: windowSize,
            table: TableReference(offset: 0, length: table.count, digest: SHA256.digest(of: table)), verityRoot: nil)
        let manifest = Manifest(
            releaseID: "hand", version: "1", sequence: 1, securityVersion: 1,
            product: Product(vendor: "acme", deviceClass: "edge", hardware: 1...1), minimumUpdater: updater,
            created: 1, notBefore: nil, expires: nil, update: .feature, advisories: [], sbomDigest: nil,
            sbomFormat: nil, components: [component], reboot: .automatic, healthDeadline: 60,
            tablesLength: table.count, payloadLength: UInt64(payload.count), meta: []
        ).bytes
        let section = try SignatureSection([]).encode()
        let header = try BundleHeader(
            envelopeLength: section.count, manifestLength: manifest.count, tablesLength: table.count,
            payloadLength: UInt64(payload.count))
        try FileSystem.replace(
            path, with: header.encode() + section + manifest + table + payload + header.encodeEnd())
        try BundleSigner.sign(bundle: path, with: [key])
    }
}
