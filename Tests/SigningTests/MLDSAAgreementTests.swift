import BundleFormat
import Platform
import Signing
import Testing
import Trust

/// The same process must have an OpenSSL with ML-DSA; the `openssl` that belongs to it may stand elsewhere.
@Suite(
    "ML-DSA keys",
    .enabled(if: SignatureAlgorithm.mlDSA65.isSupported, "needs OpenSSL 3.5 (tools/newer-openssl)"))
struct MLDSAAgreementTests {
    let directory: TemporaryDirectory
    private static let algorithms: [SignatureAlgorithm] = [.mlDSA65, .mlDSA87]
    private static let openssl =
        ProcessInformation.environment("KEDGE_NEWER_OPENSSL").map { "\($0)/openssl" } ?? "openssl"

    init() throws { directory = try TemporaryDirectory() }

    @discardableResult
    private func openssl(_ arguments: String...) throws -> Bool {
        try ChildProcess.run([Self.openssl] + arguments, milliseconds: 60_000).succeeded
    }

    @Test("A new key signs, and its signatures differ each time", arguments: algorithms)
    func generate(algorithm: SignatureAlgorithm) throws {
        let key = try SigningKey.generate(algorithm)
        #expect(key.publicKey.algorithm == algorithm)
        let (one, two) = (try key.sign([1, 2, 3]), try key.sign([1, 2, 3]))
        #expect(one.count == algorithm.signatureLength && one != two)
        for signature in [one, two] { try key.publicKey.verify(signature, over: [1, 2, 3]) }
    }

    @Test("A key comes back from its file, open and encrypted", arguments: algorithms, [false, true])
    func files(algorithm: SignatureAlgorithm, encrypted: Bool) throws {
        let key = try SigningKey.generate(algorithm)
        let secret = Array("a passphrase".utf8)
        let path = directory.file("key")
        try key.write(to: path, passphrase: encrypted ? secret : nil)
        let again = try SigningKey.load(path: path) { () throws(SigningError) in secret }
        #expect(again.publicKey == key.publicKey)
        #expect(try PublicKey.load(path: path + ".pub") == key.publicKey)
        try key.publicKey.verify(again.sign([7]), over: [7])
    }

    @Test(
        "openssl verifies our signature, and we use the key and the signature that openssl made", arguments: algorithms)
    func agreement(algorithm: SignatureAlgorithm) throws {
        let (message, signature) = (directory.file("message"), directory.file("signature"))
        try FileSystem.replace(message, with: Array("some release".utf8))
        let ours = try SigningKey.generate(algorithm)
        try ours.write(to: directory.file("ours"))
        var bytes = try ours.sign(FileSystem.bytes(message))
        func accepted() throws -> Bool {
            try FileSystem.replace(signature, with: bytes)
            return try openssl(
                "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", directory.file("ours.pub"), "-in", message,
                "-sigfile", signature)
        }
        #expect(try accepted())
        bytes[40] ^= 1
        #expect(try !accepted())

        let theirs = directory.file("theirs")
        #expect(try openssl("genpkey", "-algorithm", algorithm.libraryName, "-out", theirs))
        #expect(try openssl("pkey", "-in", theirs, "-pubout", "-out", theirs + ".pub"))
        #expect(try openssl("pkeyutl", "-sign", "-rawin", "-inkey", theirs, "-in", message, "-out", signature))
        try FileMode.set(0o600, theirs)
        let key = try SigningKey.load(path: theirs, passphrase: noPassphrase)
        #expect(try PublicKey.load(path: theirs + ".pub") == key.publicKey)
        try key.publicKey.verify(FileSystem.bytes(signature), over: FileSystem.bytes(message))
    }

    @Test("A bundle takes as many ML-DSA-87 signatures as its signature section has room for, and says when it is full")
    func full() throws {
        let bundle = directory.file("release.kedge")
        try FileSystem.replace(bundle, with: try unsignedBundle())
        let keys = try (0..<15).map { _ in try SigningKey.generate(.mlDSA87) }
        // 2 + 14 * (36 + 4627) = 65284 of 65536 bytes.
        try BundleSigner.sign(bundle: bundle, with: Array(keys[..<14]))
        let store = try trustStore(root: SigningKey.generate(), release: keys, threshold: 14)
        #expect(try store.verify(FileSystem.bytes(bundle)).signers.count == 14)
        let before = try FileSystem.bytes(bundle)
        let error = #expect(throws: SigningError.self) {
            try BundleSigner.sign(bundle: bundle, with: [keys[14]])
        }
        #expect(error?.code == "bundle.too-large")
        #expect(try FileSystem.bytes(bundle) == before)
    }

    @Test("A root of three root and three release holders, with ML-DSA-87 for each, fits its file also in a rotation")
    func rootSize() throws {
        let pairs = try (0..<7).map { _ in (try SigningKey.generate(), try SigningKey.generate(.mlDSA87)) }
        var draft = RootDraft(environment: .prod, created: 1, rootThreshold: 2, releaseThreshold: 2)
        for (index, pair) in pairs[..<6].enumerated() {
            for key in [pair.0, pair.1] {
                try draft.add(key.publicKey, name: "holder \(index)", to: index < 3 ? .root : .release)
            }
        }
        try draft.requireEachAlgorithm(of: .root)
        try draft.requireEachAlgorithm(of: .release)
        var one = RootSignatures(draft: try draft.root())
        for pair in pairs[..<3] { for key in [pair.0, pair.1] { try one.sign(with: key, former: nil) } }
        let store = try TrustStore(rootFile: one.bytes)
        var next = RootDraft(from: store.root, version: 2, created: 2)
        try next.replace(pairs[0].0.publicKey.id, by: pairs[6].0.publicKey, name: "new")
        try next.replace(pairs[0].1.publicKey.id, by: pairs[6].1.publicKey, name: "new")
        var two = RootSignatures(draft: try next.root())
        for pair in pairs[..<3] + pairs[6...] {
            for key in [pair.0, pair.1] { try two.sign(with: key, former: store.root) }
        }
        #expect(two.bytes.count > 65536 && two.bytes.count < RootFile.limit)
        #expect(try store.succeeded(by: two.bytes).root.version == 2)
    }
}

@Suite(
    "ML-DSA keys where OpenSSL lacks them",
    .enabled(if: !SignatureAlgorithm.mlDSA65.isSupported, "needs an OpenSSL before 3.5"))
struct MLDSAMissingKeyTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private static func fixture(_ name: String) throws -> [UInt8] {
        let tests = FileSystem.parent(of: FileSystem.parent(of: #filePath))
        return try FileSystem.bytes("\(FileSystem.parent(of: tests))/Fixtures/\(name)")
    }

    private func pem(_ label: String, _ der: [UInt8]) -> [UInt8] {
        let text = Array(Base64.encode(der))
        let lines = stride(from: 0, to: text.count, by: 64).map { String(text[$0..<min($0 + 64, text.count)]) }
        return Array(
            "-----BEGIN \(label)-----\n\(lines.joined(separator: "\n"))\n-----END \(label)-----\n".utf8)
    }

    @Test("No key is made, and the error names the library and what to do")
    func generate() {
        let error = #expect(throws: SigningError.self) { try SigningKey.generate(.mlDSA87) }
        #expect(error == .algorithm(.mlDSA87))
        #expect(error?.code == "key.algorithm" && error?.category == .configuration)
        #expect(error?.context.contains("OpenSSL 3.") == true && error?.remedy.contains("3.5") == true)
    }

    @Test("The public half can be listed in a trust root all the same")
    func publicHalf() throws {
        let line = try #require(
            String(decoding: Self.fixture("trust/ml-dsa.txt"), as: UTF8.self).split(separator: "\n").first)
        let bytes = try #require(Hex.decode(String(line.split(separator: " ")[2])))
        let path = directory.file("key.pub")
        try FileSystem.replace(path, with: pem("PUBLIC KEY", SignatureAlgorithm.mlDSA65.publicKeyPrefix + bytes))
        #expect(try PublicKey.load(path: path) == PublicKey(algorithm: .mlDSA65, bytes: bytes))
        try FileSystem.replace(path, with: pem("PUBLIC KEY", SignatureAlgorithm.mlDSA65.publicKeyPrefix + bytes + [0]))
        let error = #expect(throws: SigningError.self) { try PublicKey.load(path: path) }
        #expect(error?.code == "key.invalid")
    }

    @Test("A private key is refused by its algorithm's name")
    func privateHalf() throws {
        // PKCS#8 (RFC 5958) with id-ml-dsa-65 and a seed of zeros (RFC 9881 section 6).
        let seed = [0x80, 0x20] + [UInt8](repeating: 0, count: 32)
        let identifier: [UInt8] = [0x30, 0x0b, 0x06, 0x09] + SignatureAlgorithm.mlDSA65.objectIdentifier
        let body = [0x02, 0x01, 0x00] + identifier + [0x04, UInt8(seed.count)] + seed
        let path = directory.file("key")
        try FileSystem.replace(path, with: pem("PRIVATE KEY", [0x30, UInt8(body.count)] + body))
        try FileMode.set(0o600, path)
        let error = #expect(throws: SigningError.self) { try SigningKey.load(path: path, passphrase: noPassphrase) }
        #expect(error == .algorithm(.mlDSA65))
    }
}
