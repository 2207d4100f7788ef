import BundleFormat
import COpenSSL
import Platform
import Testing
import Trust

@Suite("ECDSA P-256 keys and signatures")
struct ECDSAKeyTests {
    /// One line of RFC 6979 appendix A.2.5.
    struct Vector {
        let key: PublicKey
        let message: [UInt8]
        let r: [UInt8]
        let s: [UInt8]
        /// In the form that bundles carry.
        let signature: [UInt8]
    }

    let vectors: [Vector]

    /// The order of the curve (SEC 2 section 2.4.2), and the prime of its field.
    private static let order = bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    private static let prime = bytes("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff")
    private static let zero = [UInt8](repeating: 0, count: 32)
    /// The y of the point with x = 0.
    private static let yOfZero = bytes("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4")

    init() throws {
        let text = String(decoding: try Fixture.bytes("trust/rfc6979-p256.txt"), as: UTF8.self)
        vectors = try text.split(separator: "\n").map { line in
            let fields = line.split(separator: " ").map { Self.bytes(String($0)) }
            return Vector(
                key: try #require(PublicKey(algorithm: .ecdsaP256, bytes: fields[0])), message: fields[1],
                r: fields[2], s: fields[3],
                signature: try #require(P256Signature(r: fields[2], s: fields[3])).bytes)
        }
    }

    private static func bytes(_ text: String) -> [UInt8] { Hex.decode(text) ?? [] }

    /// `left - right` of 32 bytes each, big endian.
    private static func difference(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
        var out = left
        var borrow = 0
        for index in (0..<32).reversed() {
            let value = Int(left[index]) - Int(right[index]) - borrow
            borrow = value < 0 ? 1 : 0
            out[index] = UInt8(value & 0xff)
        }
        return out
    }

    private func refused(_ vector: Vector, _ signature: [UInt8], _ message: [UInt8]? = nil) -> Bool {
        trustError { try vector.key.verify(signature, over: message ?? vector.message) }
            == .badSignature(key: vector.key.id)
    }

    @Test("The signatures of RFC 6979 appendix A.2.5 are verified with the low one of their two s")
    func vectorsVerify() throws {
        #expect(vectors.count == 2)
        for vector in vectors { try vector.key.verify(vector.signature, over: vector.message) }
        #expect(vectors[0].signature == vectors[0].r + Self.difference(Self.order, vectors[0].s))
        #expect(vectors[1].signature == vectors[1].r + vectors[1].s)
    }

    @Test("The other s of the same signature is refused, although it fulfils the equation")
    func highS() {
        #expect(refused(vectors[0], vectors[0].r + vectors[0].s))
        #expect(refused(vectors[1], vectors[1].r + Self.difference(Self.order, vectors[1].s)))
    }

    @Test("A change of any bit of the signature is refused")
    func flippedSignature() {
        for vector in vectors {
            for place in 0..<512 {
                var signature = vector.signature
                signature[place / 8] ^= 1 << (place % 8)
                #expect(refused(vector, signature))
            }
        }
    }

    @Test("Another message, a shorter and a longer one are refused")
    func otherMessage() {
        for vector in vectors {
            #expect(refused(vector, vector.signature, vector.message + [0]))
            #expect(refused(vector, vector.signature, Array(vector.message.dropLast())))
            #expect(refused(vector, vector.signature, []))
        }
        #expect(refused(vectors[0], vectors[1].signature))
    }

    @Test("A signature has exactly its length", arguments: [0, 1, 63, 65, 70, 71, 72, 128])
    func length(count: Int) {
        let vector = vectors[0]
        #expect(refused(vector, Array((vector.signature + vector.signature).prefix(count))))
    }

    @Test("The DER form that openssl writes is no signature of a bundle")
    func derForm() {
        let vector = vectors[1]
        #expect(refused(vector, [0x30, 0x45, 0x02, 0x21, 0x00] + vector.r + [0x02, 0x20] + vector.s))
    }

    @Test("r and s are from 1 to n - 1, and s at most n/2")
    func ranges() throws {
        let one = [UInt8](repeating: 0, count: 31) + [1]
        let most = Self.difference(Self.order, one)
        let half = Self.bytes("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8")
        let above = Self.bytes("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a9")
        #expect(P256Signature(one + one)?.bytes == one + one)
        #expect(P256Signature(most + half)?.bytes == most + half)
        let all = [UInt8](repeating: 0xff, count: 32)
        for bad in [Self.zero, Self.order, all] {
            #expect(P256Signature(bad + one) == nil)
            #expect(P256Signature(one + bad) == nil)
            #expect(P256Signature(r: bad, s: one) == nil)
            #expect(P256Signature(r: one, s: bad) == nil)
            #expect(refused(vectors[1], bad + vectors[1].s))
            #expect(refused(vectors[1], vectors[1].r + bad))
        }
        #expect(P256Signature(one + above) == nil)
        #expect(P256Signature(one + most) == nil)
        #expect(P256Signature(r: one, s: above)?.bytes == one + half)
        #expect(P256Signature(r: one, s: most)?.bytes == one + one)
        #expect(P256Signature(r: one, s: half)?.bytes == one + half)
        #expect(P256Signature(r: [1], s: one) == nil)
        #expect(P256Signature(r: [0] + one, s: one) == nil)
    }

    @Test("Signatures whose r or s has leading zeros are verified")
    func shortNumbers() throws {
        // About one signature in a hundred has one; the DER form of it is shorter.
        let key = try P256TestKey()
        var found = 0
        for number in 0..<4000 where found < 4 {
            let message = Array("message \(number)".utf8)
            let signature = try key.sign(message)
            guard signature[0] == 0 || signature[32] == 0 else { continue }
            found += 1
            try key.publicKey.verify(signature, over: message)
        }
        #expect(found == 4)
    }

    @Test("A key has exactly its length", arguments: [0, 1, 32, 33, 64, 66])
    func keyLength(count: Int) {
        let key = vectors[0].key.bytes
        #expect(PublicKey(algorithm: .ecdsaP256, bytes: Array((key + key).prefix(count))) == nil)
    }

    @Test("Only the uncompressed form of a point is a key", arguments: [0, 1, 2, 3, 5, 6, 7, 0x84] as [UInt8])
    func pointForm(first: UInt8) {
        let key = vectors[0].key.bytes
        #expect(PublicKey(algorithm: .ecdsaP256, bytes: [first] + key.dropFirst()) == nil)
    }

    @Test("A point beside the curve is no key, whichever bit is wrong", arguments: 0..<64)
    func besideCurve(byte: Int) {
        for bit in 0..<8 {
            var key = vectors[0].key.bytes
            key[1 + byte] ^= 1 << bit
            #expect(PublicKey(algorithm: .ecdsaP256, bytes: key) == nil)
        }
    }

    @Test("Coordinates that are not below the prime are refused, although they name a point")
    func coordinates() {
        #expect(PublicKey(algorithm: .ecdsaP256, bytes: [4] + Self.zero + Self.yOfZero) != nil)
        #expect(PublicKey(algorithm: .ecdsaP256, bytes: [4] + Self.prime + Self.yOfZero) == nil)
        #expect(PublicKey(algorithm: .ecdsaP256, bytes: [4] + Self.zero + Self.zero) == nil)
        #expect(PublicKey(algorithm: .ecdsaP256, bytes: [4] + Self.prime + Self.prime) == nil)
    }

    @Test("A key's id is the SHA-256 of the byte 2 and its bytes")
    func identity() {
        let key = vectors[0].key
        #expect(key.id == SHA256.digest(of: [2] + key.bytes))
    }

    @Test("A trust root with both kinds of keys accepts a bundle that both signed, and counts each once")
    func bothKinds() throws {
        let (root, edwards, weierstrass) = (try TestKey(1), try TestKey(2), try P256TestKey())
        let document = try TrustRoot(
            version: 1, environment: .dev, created: 0,
            keys: [root.publicKey, edwards.publicKey, weierstrass.publicKey].map { .init($0, name: "test") },
            roles: [
                .init(.root, keys: [root.id], threshold: 1),
                .init(.release, keys: [edwards.id, weierstrass.publicKey.id], threshold: 2),
            ])
        let store = try trustStore(document)
        #expect(store.root == document)
        let manifest = try Fixture.manifest()
        let (one, other) = (try edwards.signature(manifest), try weierstrass.signature(manifest))
        let verified = try store.verify(head(manifest, [one, other]))
        #expect(Set(verified.signers) == [edwards.id, weierstrass.publicKey.id])
        // ECDSA signs with chance: two signatures of one key are still one holder.
        let twice = try head(manifest, [other, weierstrass.signature(manifest)])
        #expect(trustError { try store.verify(twice) } == .threshold(role: .release, present: 1, needed: 2))
        let renamed = ManifestSignature(algorithm: 1, keyID: other.keyID, signature: other.signature)
        #expect(
            trustError { try store.verify(head(manifest, [one, renamed])) }
                == .threshold(role: .release, present: 1, needed: 2))
    }
}

/// A fresh P-256 key, by OpenSSL and not by the Signing module.
private final class P256TestKey {
    let publicKey: PublicKey
    private let raw: OpaquePointer

    init() throws {
        let context = try #require(EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil))
        defer { EVP_PKEY_CTX_free(context) }
        var made: OpaquePointer?
        try #require(EVP_PKEY_keygen_init(context) == 1)
        try #require(EVP_PKEY_CTX_set_group_name(context, "P-256") == 1)
        try #require(EVP_PKEY_keygen(context, &made) == 1)
        raw = try #require(made)
        var point = [UInt8](repeating: 0, count: 65)
        var length = 0
        try #require(
            EVP_PKEY_get_octet_string_param(raw, OSSL_PKEY_PARAM_PUB_KEY, &point, point.count, &length) == 1)
        try #require(length == 65)
        publicKey = try #require(PublicKey(algorithm: .ecdsaP256, bytes: point))
    }

    deinit { EVP_PKEY_free(raw) }

    func sign(_ message: [UInt8]) throws -> [UInt8] {
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        var der = [UInt8](repeating: 0, count: 72)
        var length = der.count
        try #require(EVP_DigestSignInit(context, nil, EVP_sha256(), nil, raw) == 1)
        try #require(EVP_DigestSign(context, &der, &length, message, message.count) == 1)
        let first = Int(der[3])
        let (r, s) = (der[4..<(4 + first)], der[(6 + first)..<length])
        return try #require(P256Signature(r: Self.number(r), s: Self.number(s))).bytes
    }

    func signature(_ payload: [UInt8]) throws -> ManifestSignature {
        let message = SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: payload)
        return ManifestSignature(algorithm: 2, keyID: publicKey.id, signature: try sign(message))
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> [UInt8] {
        [UInt8](repeating: 0, count: max(0, 32 - digits.count)) + digits.suffix(32)
    }
}
