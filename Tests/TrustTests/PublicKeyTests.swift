import BundleFormat
import Platform
import Testing
import Trust

@Suite("Public keys")
struct PublicKeyTests {
    /// One line of RFC 8032 section 7.1.
    struct Vector {
        let key: PublicKey
        let message: [UInt8]
        let signature: [UInt8]
    }

    let vectors: [Vector]

    init() throws {
        let text = String(decoding: try Fixture.bytes("trust/rfc8032-ed25519.txt"), as: UTF8.self)
        vectors = try text.split(separator: "\n").map { line in
            let fields = line.split(separator: " ").map { $0 == "-" ? [] : Hex.decode(String($0)) }
            let bytes = try #require(fields[1])
            return Vector(
                key: try #require(PublicKey(algorithm: .ed25519, bytes: bytes)),
                message: try #require(fields[2]), signature: try #require(fields[3]))
        }
    }

    private func refused(_ vector: Vector, _ signature: [UInt8], _ message: [UInt8]) -> Bool {
        trustError { try vector.key.verify(signature, over: message) } == .badSignature(key: vector.key.id)
    }

    @Test("The signatures of RFC 8032 section 7.1 are verified")
    func vectorsVerify() throws {
        #expect(vectors.count == 4)
        for vector in vectors { try vector.key.verify(vector.signature, over: vector.message) }
    }

    @Test("A change of any bit of the signature is refused")
    func flippedSignature() {
        for vector in vectors {
            for place in 0..<512 {
                var signature = vector.signature
                signature[place / 8] ^= 1 << (place % 8)
                #expect(refused(vector, signature, vector.message))
            }
        }
    }

    @Test("Another message, a shorter and a longer one are refused")
    func otherMessage() {
        for vector in vectors {
            #expect(refused(vector, vector.signature, vector.message + [0]))
            if vector.message.isEmpty { continue }
            #expect(refused(vector, vector.signature, Array(vector.message.dropLast())))
            var message = vector.message
            message[0] ^= 1
            #expect(refused(vector, vector.signature, message))
        }
    }

    @Test("The signature of one key is not that of another")
    func otherKey() {
        for (index, vector) in vectors.enumerated() {
            let other = vectors[(index + 1) % vectors.count]
            #expect(refused(other, vector.signature, vector.message))
        }
    }

    @Test("A signature has exactly its length", arguments: [0, 1, 63, 65, 128])
    func length(count: Int) {
        let vector = vectors[0]
        #expect(refused(vector, Array((vector.signature + vector.signature).prefix(count)), vector.message))
    }

    @Test("The same signature with S + n·L is refused, although it fulfils the equation", arguments: 1...14)
    func nonCanonical(multiple: Int) {
        // L = 2^252 + 27742317777372353535851937790883648493 (RFC 8032 section 5.1), little endian.
        let order: [UInt8] =
            [0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14]
            + [UInt8](repeating: 0, count: 15) + [0x10]
        for vector in vectors {
            var signature = vector.signature
            for _ in 0..<multiple {
                var carry = 0
                for index in 0..<32 {
                    let sum = Int(signature[32 + index]) + Int(order[index]) + carry
                    signature[32 + index] = UInt8(sum & 0xff)
                    carry = sum >> 8
                }
                #expect(carry == 0)
            }
            #expect(signature != vector.signature)
            #expect(refused(vector, signature, vector.message))
        }
    }

    @Test("A key has exactly its length", arguments: [0, 31, 33, 64])
    func keyLength(count: Int) {
        #expect(PublicKey(algorithm: .ed25519, bytes: [UInt8](repeating: 9, count: count)) == nil)
    }

    @Test(
        "Points of small order, for which anybody can sign, are no keys, with either sign bit",
        arguments: [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ])
    func smallOrder(text: String) throws {
        var bytes = try #require(Hex.decode(text))
        #expect(PublicKey(algorithm: .ed25519, bytes: bytes) == nil)
        bytes[31] |= 0x80
        #expect(PublicKey(algorithm: .ed25519, bytes: bytes) == nil)
    }

    @Test("32 bytes that are no point of the curve verify nothing")
    func noPoint() throws {
        // y = 2 has no x on the curve.
        let key = try #require(PublicKey(algorithm: .ed25519, bytes: [2] + [UInt8](repeating: 0, count: 31)))
        let refusal = trustError { try key.verify(vectors[0].signature, over: []) }
        #expect(refusal == .badSignature(key: key.id))
    }

    @Test("A key's id is the SHA-256 of its algorithm's byte and its bytes")
    func identity() {
        let key = vectors[0].key
        #expect(key.id == SHA256.digest(of: [1] + key.bytes))
        #expect(key.id.hex == "bcd1d56b5845f21e54ce5b764fc1d5520cc2c462e08fade2668dae9353621237")
    }
}
