import BundleFormat
import Platform
import Testing
import Trust

@Suite("A newer trust root")
struct TrustSuccessionTests {
    private let first: TrustStore

    init() throws {
        first = try TrustStore(rootFile: signed(numberedRoot(1, root: [1, 2, 3], threshold: 2), by: [1, 2]))
    }

    private func refusal(_ root: TrustRoot, by keys: [UInt8]) throws -> TrustError? {
        let file = try signed(root, by: keys)
        return trustError { try first.succeeded(by: file) }
    }

    @Test("It is taken when a threshold of the former and of its own root keys signed it")
    func accepted() throws {
        let next = try numberedRoot(2, root: [3, 4, 5], threshold: 2)
        #expect(try first.succeeded(by: signed(next, by: [1, 2, 4, 5])).root == next)
        // One holder may count on both sides.
        #expect(try first.succeeded(by: signed(next, by: [2, 3, 4])).root == next)
    }

    @Test("It is refused when the former keys did not agree, or too few of them", arguments: [[4, 5], [1, 4, 5]])
    func withoutFormer(keys: [UInt8]) throws {
        let present = keys.count - 2
        #expect(
            try refusal(numberedRoot(2, root: [4, 5], threshold: 2), by: keys)
                == (present == 0
                    ? .unknownKey(role: .root) : .threshold(role: .root, present: present, needed: 2)))
    }

    @Test("It is refused when its own keys did not agree, or too few of them", arguments: [[1, 2], [1, 2, 4]])
    func withoutOwn(keys: [UInt8]) throws {
        let present = keys.count - 2
        #expect(
            try refusal(numberedRoot(2, root: [4, 5], threshold: 2), by: keys)
                == (present == 0
                    ? .unknownKey(role: .root) : .threshold(role: .root, present: present, needed: 2)))
    }

    @Test("One key that signs twice counts once, on either side")
    func twice() throws {
        let next = try numberedRoot(2, root: [4, 5], threshold: 2)
        #expect(try refusal(next, by: [1, 1, 4, 5]) == .threshold(role: .root, present: 1, needed: 2))
        #expect(try refusal(next, by: [1, 2, 4, 4]) == .threshold(role: .root, present: 1, needed: 2))
    }

    @Test("Its version is exactly one more", arguments: [UInt32(1), 3, 4, .max])
    func version(value: UInt32) throws {
        #expect(
            try refusal(numberedRoot(value, root: [1, 2, 3], threshold: 2), by: [1, 2])
                == .rootVersion(found: value, expected: 2))
    }

    @Test("An older root that was right once is refused when it is offered again")
    func replay() throws {
        let former = try signed(numberedRoot(1, root: [1, 2, 3], threshold: 2), by: [1, 2])
        let second = try first.succeeded(by: signed(numberedRoot(2, root: [1, 2, 3], threshold: 2), by: [1, 2]))
        #expect(trustError { try second.succeeded(by: former) } == .rootVersion(found: 1, expected: 3))
    }

    @Test("There is nothing after the last version")
    func lastVersion() throws {
        let last = try TrustStore(rootFile: signed(numberedRoot(.max)))
        let again = try signed(numberedRoot(.max))
        #expect(trustError { try last.succeeded(by: again) }?.code == "trust.root-invalid")
    }

    @Test("A document that the former keys did not sign is not parsed: its garbage is not what is told")
    func notParsed() throws {
        let file = try rootFile(Array("{ no root".utf8), by: [TestKey(7)])
        #expect(trustError { try first.succeeded(by: file) } == .unknownKey(role: .root))
        let agreed = try rootFile(Array("{ no root".utf8), by: [TestKey(1), TestKey(2)])
        #expect(trustError { try first.succeeded(by: agreed) }?.code == "json.syntax")
    }

    @Test("A wrong signature of a key of either side refuses it, even when others suffice", arguments: [UInt8(3), 4])
    func wrongSignature(key: UInt8) throws {
        let next = try numberedRoot(2, root: [4, 5, 6], threshold: 2)
        let message = RootFile(payload: next.bytes, signatures: []).signedBytes
        var signatures = try [UInt8(1), 2, 5, 6].map { number in
            RootFile.Signature(keyID: try TestKey(number).id, signature: try TestKey(number).sign(message))
        }
        let good = RootFile(payload: next.bytes, signatures: signatures).bytes
        #expect(try first.succeeded(by: good).root == next)
        signatures.append(.init(keyID: try TestKey(key).id, signature: try TestKey(key).sign(message + [0])))
        let bad = RootFile(payload: next.bytes, signatures: signatures).bytes
        #expect(trustError { try first.succeeded(by: bad) } == .badSignature(key: try TestKey(key).id))
    }

    @Test("A key that it revokes may sign its own leave, but does not count for the new root")
    func leaving() throws {
        let next = try numberedRoot(2, root: [2, 3, 4], threshold: 2, revoked: [1])
        #expect(try first.succeeded(by: signed(next, by: [1, 2, 4])).root == next)
        #expect(try refusal(next, by: [1, 2]) == .threshold(role: .root, present: 1, needed: 2))
    }

    @Test("A key that the former root revokes does not count any more")
    func revokedBefore() throws {
        let second = try first.succeeded(
            by: signed(numberedRoot(2, root: [1, 2, 3], threshold: 1, revoked: [1]), by: [1, 2]))
        let third = try numberedRoot(3, root: [1, 2, 3], threshold: 1, revoked: [1])
        let byRevoked = try signed(third, by: [1])
        #expect(trustError { try second.succeeded(by: byRevoked) } == .revokedKey(key: try TestKey(1).id))
        #expect(try second.succeeded(by: signed(third, by: [2])).root == third)
    }

    @Test("Signatures under another payload type do not count")
    func otherType() throws {
        let next = try numberedRoot(2, root: [1, 2, 3], threshold: 2)
        let signatures = try [UInt8(1), 2].map { number in
            RootFile.Signature(
                keyID: try TestKey(number).id, signature: try TestKey(number).signature(next.bytes).signature)
        }
        let file = RootFile(payload: next.bytes, signatures: signatures).bytes
        #expect(trustError { try first.succeeded(by: file) } == .badSignature(key: try TestKey(1).id))
    }

    @Test("A file over 128 KiB is refused before anything in it is read")
    func tooLarge() throws {
        let good = try signed(numberedRoot(2, root: [1, 2, 3], threshold: 2), by: [1, 2])
        let padded = good + [UInt8](repeating: 0x20, count: RootFile.limit - good.count)
        #expect(try first.succeeded(by: padded).root.version == 2)
        #expect(trustError { try first.succeeded(by: padded + [0x20]) }?.code == "json.too-large")
    }

    @Test("A change of any bit never gives another root")
    func flipped() throws {
        let file = try signed(numberedRoot(2, root: [1, 2, 3], threshold: 2), by: [1, 2])
        for place in file.indices {
            for bit in 0..<8 {
                var bytes = file
                bytes[place] ^= 1 << bit
                #expect((try? first.succeeded(by: bytes)) == nil, "byte \(place) bit \(bit)")
            }
        }
    }

    @Test("Floor, revoked keys and denied releases may grow")
    func tightens() throws {
        let release = SHA256.digest(of: [1])
        let strict = try TrustStore(
            rootFile: signed(numberedRoot(1, revoked: [50], denied: [release], floor: 4)))
        let next = try numberedRoot(
            2, revoked: [51, 50], denied: [SHA256.digest(of: [2]), release], floor: 5)
        #expect(try strict.succeeded(by: signed(next)).root == next)
    }

    @Test("It may not forget: lower floor, missing revocation, missing denial, another environment")
    func loosens() throws {
        let release = SHA256.digest(of: [1])
        let strict = try TrustStore(
            rootFile: signed(numberedRoot(1, revoked: [50], denied: [release], floor: 4)))
        for loose in [
            try numberedRoot(2, revoked: [50], denied: [release], floor: 3),
            try numberedRoot(2, revoked: [51], denied: [release], floor: 4),
            try numberedRoot(2, revoked: [50], denied: [SHA256.digest(of: [2])], floor: 4),
            try numberedRoot(2, revoked: [50], denied: [release], floor: 4, environment: .dev),
        ] {
            let file = try signed(loose)
            #expect(trustError { try strict.succeeded(by: file) }?.code == "trust.root-loosens")
        }
    }
}
