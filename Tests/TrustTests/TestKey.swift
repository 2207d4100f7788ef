import BundleFormat
import COpenSSL
import Platform
import Testing
import Trust

/// A private key for tests, from a seed, by OpenSSL and not by the Signing module.
final class TestKey {
    let publicKey: PublicKey
    private let raw: OpaquePointer

    /// `number` chooses one of 255 keys.
    init(_ number: UInt8) throws {
        let seed = [UInt8](repeating: number, count: 32)
        raw = try #require(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nil, seed, seed.count))
        var bytes = [UInt8](repeating: 0, count: 32)
        var length = bytes.count
        try #require(EVP_PKEY_get_raw_public_key(raw, &bytes, &length) == 1)
        publicKey = try #require(PublicKey(algorithm: .ed25519, bytes: bytes))
    }

    deinit { EVP_PKEY_free(raw) }

    var id: Digest { publicKey.id }

    func sign(_ message: [UInt8]) throws -> [UInt8] {
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var signature = [UInt8](repeating: 0, count: 64)
        var length = signature.count
        try #require(EVP_DigestSignInit(context, nil, nil, nil, raw) == 1)
        try #require(EVP_DigestSign(context, &signature, &length, message, message.count) == 1)
        return signature
    }

    /// A signature as bundles carry it.
    func signature(_ payload: [UInt8], type: String = SignatureSection.payloadType) throws -> ManifestSignature {
        let message = SignatureSection.preAuthentication(type: type, payload: payload)
        return ManifestSignature(algorithm: 1, keyID: id, signature: try sign(message))
    }
}

/// A root document for tests: key 1 is the root key, the others are for releases.
func testRoot(
    release: [TestKey], threshold: Int = 1, revoked: [Digest] = [], denied: [Digest] = [], unlisted: [TestKey] = []
) throws -> TrustRoot {
    let root = try TestKey(1)
    return try TrustRoot(
        version: 1, environment: .dev, created: 0,
        keys: ([root] + release + unlisted).map { TrustRoot.Key($0.publicKey, name: "test") },
        roles: [
            .init(.root, keys: [root.id], threshold: 1),
            .init(.release, keys: release.map(\.id), threshold: threshold),
        ], revoked: revoked, deniedReleases: denied)
}

/// A root file of this document, signed by these keys, or by key 1.
func rootFile(_ payload: [UInt8], by keys: [TestKey]? = nil) throws -> [UInt8] {
    let signatures = try (keys ?? [TestKey(1)]).map { key in
        RootFile.Signature(
            keyID: key.id, signature: try key.signature(payload, type: TrustRoot.payloadType).signature)
    }
    return RootFile(payload: payload, signatures: signatures).bytes
}

func trustStore(_ root: TrustRoot) throws -> TrustStore { try TrustStore(rootFile: rootFile(root.bytes)) }

/// The head of a bundle with any manifest and signatures.
func head(
    _ manifest: [UInt8], _ signatures: [ManifestSignature], tables: Int = 187, payload: UInt64 = 4114
) throws -> [UInt8] {
    let section = try SignatureSection(signatures).encode()
    let header = try BundleHeader(
        envelopeLength: section.count, manifestLength: manifest.count, tablesLength: tables,
        payloadLength: payload)
    return header.encode() + section + manifest
}

/// Golden vectors (Fixtures/README.md).
enum Fixture {
    static func bytes(_ name: String) throws -> [UInt8] {
        let tests = FileSystem.parent(of: FileSystem.parent(of: #filePath))
        return try FileSystem.read("\(FileSystem.parent(of: tests))/Fixtures/\(name)", limit: 1 << 20)
    }
    /// The golden manifest: tables of 187 bytes and a payload of 4114.
    static func manifest() throws -> [UInt8] { try bytes("bundle/manifest.json") }
}

/// The error that `body` throws.
func trustError<R: ~Copyable>(_ body: () throws -> R) -> TrustError? {
    do {
        _ = try body()
        return nil
    } catch let error as TrustError {
        return error
    } catch {
        Issue.record(error)
        return nil
    }
}
