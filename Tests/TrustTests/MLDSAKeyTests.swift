import BundleFormat
import Platform
import Testing
import Trust

/// One line of Fixtures/trust/ml-dsa.txt.
struct MLDSAVector: CustomTestStringConvertible, Sendable {
    let algorithm: SignatureAlgorithm
    let key: PublicKey
    let message: [UInt8]
    let signature: [UInt8]

    var testDescription: String { "\(algorithm.name), \(message.count) bytes" }

    static func all() throws -> [MLDSAVector] {
        let text = String(decoding: try Fixture.bytes("trust/ml-dsa.txt"), as: UTF8.self)
        return try text.split(separator: "\n").map { line in
            let fields = line.split(separator: " ").map { String($0) }
            let algorithm = try #require(SignatureAlgorithm(name: fields[0]))
            let key = try #require(Hex.decode(fields[2]))
            return MLDSAVector(
                algorithm: algorithm, key: try #require(PublicKey(algorithm: algorithm, bytes: key)),
                message: fields[3] == "-" ? [] : try #require(Hex.decode(fields[3])),
                signature: try #require(Hex.decode(fields[4])))
        }
    }
}

extension Trait where Self == ConditionTrait {
    /// Debian 12 has OpenSSL 3.0; tools/test runs these suites with a newer one.
    static var hasMLDSA: Self {
        .enabled(
            if: SignatureAlgorithm.mlDSA65.isSupported && SignatureAlgorithm.mlDSA87.isSupported,
            "needs OpenSSL 3.5 (tools/newer-openssl)")
    }
    static var lacksMLDSA: Self {
        .enabled(if: !SignatureAlgorithm.mlDSA65.isSupported, "needs an OpenSSL before 3.5")
    }
}

@Suite("ML-DSA keys, with any OpenSSL")
struct MLDSAKeyTests {
    private let vectors: [MLDSAVector]

    init() throws { vectors = try MLDSAVector.all() }

    @Test("Keys and signatures have the lengths of FIPS 204 table 2")
    func lengths() {
        #expect(vectors.map(\.algorithm) == [.mlDSA65, .mlDSA65, .mlDSA87, .mlDSA87])
        #expect(vectors.map(\.key.bytes.count) == [1952, 1952, 2592, 2592])
        #expect(vectors.map(\.signature.count) == [3309, 3309, 4627, 4627])
    }

    @Test("A key can be held and named without an OpenSSL that knows it")
    func identity() {
        for vector in vectors {
            #expect(vector.key.id == SHA256.digest(of: [vector.algorithm.rawValue] + vector.key.bytes))
        }
    }

    @Test("A key has exactly its length", arguments: [0, 32, 1312, 1951, 1953, 2591, 2593])
    func keyLength(count: Int) {
        let bytes = [UInt8](repeating: 7, count: count)
        #expect(PublicKey(algorithm: .mlDSA65, bytes: bytes) == nil)
        #expect(PublicKey(algorithm: .mlDSA87, bytes: bytes) == nil)
    }

    @Test("A key whose t1 is zero is refused: anybody could sign for it")
    func zeroKey() {
        for vector in vectors {
            let zero = Array(vector.key.bytes[..<32]) + [UInt8](repeating: 0, count: vector.key.bytes.count - 32)
            #expect(PublicKey(algorithm: vector.algorithm, bytes: zero) == nil)
        }
    }

    @Test("The golden hybrid root document is read with its groups, and written byte for byte")
    func document() throws {
        let file = try RootFile.decode(Fixture.bytes("trust/hybrid-root.json"))
        let root = try TrustRoot.decode(file.payload)
        #expect(root.bytes == file.payload)
        #expect(root.role(.root)?.groups.map(\.name?.text) == ["ed25519", "ml-dsa-87"])
        #expect(root.role(.release)?.groups.map(\.name?.text) == ["ed25519", "ml-dsa-65"])
        #expect(root.role(.release)?.groups.map(\.threshold) == [1, 1])
        #expect(root.role(.release)?.threshold == 2)
    }
}

@Suite("ML-DSA signatures, with an OpenSSL that has them", .hasMLDSA)
struct MLDSASignatureTests {
    private let vectors: [MLDSAVector]

    init() throws { vectors = try MLDSAVector.all() }

    private func refused(_ vector: MLDSAVector, _ signature: [UInt8], _ message: [UInt8]? = nil) -> Bool {
        trustError { try vector.key.verify(signature, over: message ?? vector.message) }
            == .badSignature(key: vector.key.id)
    }

    @Test("Signatures that another implementation made are verified")
    func vectorsVerify() throws {
        for vector in vectors { try vector.key.verify(vector.signature, over: vector.message) }
    }

    @Test("A change of any byte of the signature is refused")
    func flipped() {
        for vector in vectors {
            for place in stride(from: 0, to: vector.signature.count, by: vector.message.isEmpty ? 41 : 3) {
                var signature = vector.signature
                signature[place] ^= 1 << UInt8(place % 8)
                #expect(refused(vector, signature), "byte \(place)")
            }
            // Padding behind the last hint: any other value is a second spelling.
            var signature = vector.signature
            let hints = signature.count - (vector.algorithm == .mlDSA65 ? 61 : 83)
            signature[hints + 50] ^= 1
            #expect(refused(vector, signature))
        }
    }

    @Test("A signature has exactly its length")
    func length() {
        for vector in vectors {
            for wrong in [
                [], vector.signature + [0], Array(vector.signature.dropLast()), Array(vector.signature[..<64]),
            ] { #expect(refused(vector, wrong)) }
        }
    }

    @Test("Another message, and a signature of another key or algorithm, are refused")
    func others() {
        for (index, vector) in vectors.enumerated() {
            #expect(refused(vector, vector.signature, vector.message + [0]))
            #expect(refused(vector, vectors[(index + 1) % 4].signature))
        }
    }

    @Test("A device loads the golden hybrid root and verifies the golden hybrid bundle")
    func golden() throws {
        let store = try TrustStore(rootFile: Fixture.bytes("trust/hybrid-root.json"))
        let verified = try store.verify(Fixture.bytes("bundle/hybrid.kedge"))
        #expect(verified.signers == store.root.role(.release)?.keys)
    }

    @Test("Without either of the two signatures the bundle and the root are refused, and say which group is missing")
    func stripped() throws {
        let bytes = try Fixture.bytes("trust/hybrid-root.json")
        let store = try TrustStore(rootFile: bytes)
        let bundle = try UnverifiedHead(inspecting: Fixture.bytes("bundle/hybrid.kedge"))
        let signatures = bundle.signatures.signatures
        for (kept, missing) in [(0, "ml-dsa-65"), (1, "ed25519")] {
            for copies in [1, 2, 7] {
                let stripped = [ManifestSignature](repeating: signatures[kept], count: copies)
                let error = trustError { try store.verify(head(bundle.manifestBytes, stripped, payload: 4106)) }
                let group = try #require(Identifier(missing))
                #expect(error == .groupThreshold(role: .release, group: group, present: 0, needed: 1))
                #expect(error?.code == "trust.threshold" && error?.context.contains(missing) == true)
            }
        }
        let file = try RootFile.decode(bytes)
        for kept in file.signatures {
            let stripped = RootFile(payload: file.payload, signatures: [kept])
            #expect(trustError { try TrustStore(rootFile: stripped.bytes) }?.code == "trust.threshold")
        }
    }

    @Test("A wrong signature of one algorithm is not excused by the right one of the other")
    func wrongHalf() throws {
        let store = try TrustStore(rootFile: Fixture.bytes("trust/hybrid-root.json"))
        let bundle = try UnverifiedHead(inspecting: Fixture.bytes("bundle/hybrid.kedge"))
        for index in 0..<2 {
            var signatures = bundle.signatures.signatures
            var bytes = signatures[index].signature
            bytes[9] ^= 4
            signatures[index] = ManifestSignature(
                algorithm: signatures[index].algorithm, keyID: signatures[index].keyID, signature: bytes)
            #expect(
                trustError { try store.verify(head(bundle.manifestBytes, signatures, payload: 4106)) }
                    == .badSignature(key: signatures[index].keyID))
        }
    }
}

@Suite("ML-DSA where OpenSSL lacks it", .lacksMLDSA)
struct MLDSAMissingTests {
    private let vector: MLDSAVector
    private let keys: [TestKey]

    init() throws {
        vector = try MLDSAVector.all()[0]
        keys = try (1...3).map { try TestKey($0) }
    }

    /// Key 1 is the root key, key 2 and the ML-DSA key are for releases.
    private func root(_ version: UInt32 = 1, _ release: (Digest, Digest) -> TrustRoot.Role) throws -> TrustRoot {
        try TrustRoot(
            version: version, environment: .dev, created: 0,
            keys: [keys[0].publicKey, keys[1].publicKey, vector.key].map { .init($0, name: "test") },
            roles: [.init(.root, keys: [keys[0].id], threshold: 1), release(keys[1].id, vector.key.id)])
    }

    private func hybrid(_ one: Digest, _ other: Digest) -> TrustRoot.Role {
        .init(
            .release,
            all: [
                .init(name: Identifier("ed25519"), keys: [one], threshold: 1),
                .init(name: Identifier("ml-dsa-65"), keys: [other], threshold: 1),
            ])
    }

    @Test("A signature cannot be verified, and that is neither a good nor a bad signature")
    func verify() {
        let error = trustError { try vector.key.verify(vector.signature, over: vector.message) }
        #expect(error == .algorithm(.mlDSA65))
        #expect(error?.code == "trust.algorithm" && error?.category == .trust)
        #expect(error?.context.contains("ML-DSA-65") == true && error?.context.contains("OpenSSL 3.") == true)
    }

    @Test("A built-in root that needs ML-DSA for its own signatures or for releases is refused by that name")
    func builtIn() throws {
        #expect(
            trustError { try TrustStore(rootFile: Fixture.bytes("trust/hybrid-root.json")) } == .algorithm(.mlDSA87))
        #expect(trustError { try trustStore(root(1, hybrid)) } == .algorithm(.mlDSA65))
        let both = try root { .init(.release, keys: [$0, $1], threshold: 2) }
        #expect(trustError { try trustStore(both) } == .algorithm(.mlDSA65))
    }

    @Test("A newer root that needs ML-DSA for releases is not taken, so that the device can still be updated")
    func newer() throws {
        let store = try trustStore(root { one, _ in .init(.release, keys: [one], threshold: 1) })
        let next = try rootFile(root(2, hybrid).bytes)
        #expect(trustError { try store.succeeded(by: next) } == .algorithm(.mlDSA65))
        let manifest = try Fixture.manifest()
        let foreign = ManifestSignature(algorithm: 3, keyID: vector.key.id, signature: vector.signature)
        #expect(try store.verify(head(manifest, [foreign, keys[1].signature(manifest)])).signers == [keys[1].id])
    }

    @Test("Where either key is enough, the one that can be verified decides, and the other counts for nothing")
    func either() throws {
        let store = try trustStore(root { .init(.release, keys: [$0, $1], threshold: 1) })
        let manifest = try Fixture.manifest()
        let unverified = ManifestSignature(algorithm: 3, keyID: vector.key.id, signature: vector.signature)
        let good = try keys[1].signature(manifest)
        #expect(try store.verify(head(manifest, [unverified, good])).signers == [keys[1].id])
        #expect(trustError { try store.verify(head(manifest, [unverified])) } == .algorithm(.mlDSA65))
        let bad = ManifestSignature(algorithm: 1, keyID: keys[1].id, signature: [UInt8](repeating: 0, count: 64))
        #expect(trustError { try store.verify(head(manifest, [unverified, bad])) } == .badSignature(key: keys[1].id))
    }
}
