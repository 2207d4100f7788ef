import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Slots
import Testing
import Trust

@testable import UpdateEngine

/// Attacks that worked on somebody, done to this engine: each test is one exhibit of the museum. The attacker has
/// everything but the keys, and where a test signs, a careless signer is the attacker.
@Suite("Attack museum")
struct AttackTests {
    let device: TestDevice
    let image = noise(2 * Forgery.windowSize)

    init() throws {
        device = try TestDevice()
        // Small slots: many exhibits compare them again and again.
        try resizeSlots(65_536)
    }

    /// Makes both rootfs slots this large.
    func resizeSlots(_ size: UInt64) throws {
        for set in SlotSet.allCases {
            try Descriptor(open: device.slotPath("rootfs", set), [.read, .write]).truncate(to: size)
        }
    }

    /// The stable code with which the device refuses these bytes; nothing it has may change.
    func refusal(_ bundle: [UInt8], _ what: String = "") throws -> String {
        let path = device.directory + "/attack.kedge"
        try Data(bundle).write(to: URL(fileURLWithPath: path))
        let before = try device.contents("rootfs", .b)
        let code = try installing(path)
        #expect(code != "installed", "\(what)")
        #expect(try device.contents("rootfs", .b) == before, "\(what) \(code): the slot was written")
        #expect(try device.boot.load().active == .a, "\(what)")
        #expect(try device.boot.load().acceptedSequence == 0, "\(what)")
        return code
    }

    /// Installs and gives `installed` or the code of the failure.
    func installing(_ path: String, observer: (any EngineObserver)? = nil) throws -> String {
        let engine = try device.engine(observer)
        do {
            try engine.install(path)
            return "installed"
        } catch { return error.code }
    }

    /// Signs the forgery as a careless release manager would, and expects this refusal.
    func expect(_ attack: Attack, _ forgery: Forgery, _ code: String, _ what: String = "") throws {
        #expect(try refusal(try forgery.bundle(by: device.key), what) == code, "\(attack.id) \(what)")
    }

    /// A trust store from the text of a root document, signed by the device's key; the error's code, or nil.
    func rootRefusal(_ edit: (old: String, new: String)) throws -> String? {
        let text = String(decoding: device.trust.root.bytes, as: UTF8.self)
        let changed = Array(text.replacingOccurrences(of: edit.old, with: edit.new).utf8)
        try #require(changed != device.trust.root.bytes)
        let file = RootFile(payload: changed, signatures: [])
        let signature = RootFile.Signature(
            keyID: device.key.publicKey.id, signature: try device.key.sign(file.signedBytes))
        do throws(TrustError) {
            _ = try TrustStore(rootFile: RootFile(payload: changed, signatures: [signature]).bytes)
            return nil
        } catch { return error.code }
    }

    /// A store in which two release keys must sign.
    func requireTwo() throws -> SigningKey {
        let second = try SigningKey.generate()
        device.trust = try TrustStore(
            rootFile: RootDocument.make(
                environment: .dev, created: 1, rootKeys: [(device.key.publicKey, "root")], rootThreshold: 1,
                releaseKeys: [(device.key.publicKey, "one"), (second.publicKey, "two")], releaseThreshold: 2,
                signedBy: [device.key]))
        return second
    }

    @Test("The forgery that the exhibits start from is accepted as long as nothing is wrong with it")
    func control() throws {
        let path = device.directory + "/good.kedge"
        try FileSystem.replace(path, with: try Forgery(image: image).bundle(by: device.key))
        #expect(try installing(path) == "installed")
        #expect(Array(try device.contents("rootfs", .b).prefix(image.count)) == image)
    }

    @Test("Every attack of the lists is shown by a test, or named with the reason why not")
    func complete() throws {
        let shown = try AttackTable.shown()
        let named = AttackTable.waiting + AttackTable.elsewhere + AttackTable.notApplicable
        for id in AttackTable.list {
            let count = (shown.contains(id) ? 1 : 0) + named.count { $0.attack.id == id }
            #expect(count == 1, "\(id) is shown or named \(count) times")
        }
        for entry in named { try entry.attack.record(entry.reason) }
    }
}

// MARK: - Who signed

extension AttackTests {
    @Test("fwupd CVE-2020-10759: no signature at all is not \"no error\"")
    func zeroSignatures() throws {
        let attack = Attack("CVE-2020-10759", "fwupd: zero signatures")
        #expect(try refusal(try Forgery(image: image).bundle([])) == "trust.unsigned")
        try attack.record("refused trust.unsigned")
    }

    @Test("A1: a stranger's release is not installed, under his own name or a trusted one")
    func arbitrary() throws {
        let attack = Attack("A1", "arbitrary installation")
        let stranger = try SigningKey.generate()
        let forgery = Forgery(image: image)
        let own = try forgery.signature(by: stranger)
        let stolen = ManifestSignature(algorithm: 1, keyID: device.key.publicKey.id, signature: own.signature)
        #expect(try refusal(try forgery.bundle([own])) == "trust.unknown-key")
        #expect(try refusal(try forgery.bundle([stolen])) == "trust.bad-signature")
        try attack.record("refused trust.unknown-key, trust.bad-signature")
    }

    @Test("SWUpdate CVE-2026-109399: a key of the same root that is for something else signs no release")
    func siblingKey() throws {
        let attack = Attack("CVE-2026-109399", "SWUpdate: sibling key of the same root")
        let release = try SigningKey.generate()
        device.trust = try TrustStore(
            rootFile: RootDocument.make(
                environment: .prod, created: 1, rootKeys: [(device.key.publicKey, "root")], rootThreshold: 1,
                releaseKeys: [(release.publicKey, "release")], releaseThreshold: 1, signedBy: [device.key]))
        try expect(attack, Forgery(image: image), "trust.unknown-key")
        try attack.record("refused trust.unknown-key")
    }

    @Test("A11: one stolen key that signs many times is one key")
    func oneKeyTwice() throws {
        let attack = Attack("A11", "key compromise: fewer keys than the threshold")
        let second = try requireTwo()
        let forgery = Forgery(image: image)
        let one = try forgery.signature(by: device.key)
        let renamed = ManifestSignature(algorithm: 1, keyID: second.publicKey.id, signature: one.signature)
        #expect(try refusal(try forgery.bundle([one])) == "trust.threshold")
        #expect(try refusal(try forgery.bundle([ManifestSignature](repeating: one, count: 16))) == "trust.threshold")
        #expect(try refusal(try forgery.bundle([one, renamed])) == "trust.bad-signature")
        let key = "{\"algorithm\":\"ed25519\",\"public\":\"\(Hex.encode(device.key.publicKey.bytes))\""
        #expect(
            try rootRefusal((old: "\"keys\":[\(key)", new: "\"keys\":[\(key),\"name\":\"again\"},\(key)"))
                == "trust.root-invalid")
        try attack.record("refused trust.threshold, trust.bad-signature, trust.root-invalid")
    }

    @Test(
        "go-tuf CVE-2026-23992: a root whose threshold is none is no root",
        arguments: ["0", "-1", "2", "2147483648", "9223372036854775807", "-9223372036854775808"])
    func threshold(value: String) throws {
        let code = try rootRefusal((old: "\"threshold\":1}}", new: "\"threshold\":\(value)}}"))
        #expect(code == "trust.root-invalid")
        if value == "0" {
            try Attack("CVE-2026-23992", "go-tuf: threshold 0").record("refused trust.root-invalid")
        }
    }

    @Test("SWUpdate 3dc458f5: a revoked key counts for nothing, without a network and without a clock")
    func revoked() throws {
        let attack = Attack("SWUpdate 3dc458f5", "revoked key")
        let second = try SigningKey.generate()
        let root = device.trust.root
        device.clock = 0
        device.trust = try TrustStore(
            rootFile: RootDocument.sign(
                TrustRoot(
                    version: 2, environment: .dev, created: 1,
                    keys: root.keys + [TrustRoot.Key(second.publicKey, name: "new")],
                    roles: [
                        .init(.root, keys: [second.publicKey.id], threshold: 1),
                        .init(.release, keys: [second.publicKey.id], threshold: 1),
                    ], revoked: [device.key.publicKey.id]), by: [second]))
        try expect(attack, Forgery(image: image), "trust.revoked-key")
        try attack.record("refused trust.revoked-key")
    }

    @Test("Mender MEN-9055: a signature has its length, and no second spelling")
    func signatureLength() throws {
        let attack = Attack("MEN-9055", "Mender: signature with bytes behind its end")
        let forgery = Forgery(image: image)
        let good = try forgery.signature(by: device.key)
        // L, the order of the group: adding it to S gives the same point (RFC 8032 section 5.1.7).
        let order = try #require(Hex.decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010"))
        var twin = good.signature
        var carry = 0
        for index in order.indices {
            let sum = Int(twin[32 + index]) + Int(order[index]) + carry
            twin[32 + index] = UInt8(sum & 255)
            carry = sum >> 8
        }
        let zeros = [UInt8](repeating: 0, count: 64)
        for bytes in [good.signature + [0], Array(good.signature.dropLast()), [], zeros, twin] {
            let changed = ManifestSignature(algorithm: 1, keyID: good.keyID, signature: bytes)
            #expect(try refusal(try forgery.bundle([changed]), "\(bytes.count)") == "trust.bad-signature")
        }
        try attack.record("refused trust.bad-signature")
    }

    @Test("Type confusion: a signature over a root document is none over a manifest")
    func typeConfusion() throws {
        let attack = Attack("DSSE", "type confusion between documents")
        let forgery = Forgery(image: image)
        let replayed = try forgery.signature(by: device.key, type: TrustRoot.payloadType)
        #expect(try refusal(try forgery.bundle([replayed])) == "trust.bad-signature")
        try attack.record("refused trust.bad-signature")
    }
}

// MARK: - Which release

extension AttackTests {
    @Test("A2: what is older, or below the floor, stays out although it is signed")
    func rollback() throws {
        let attack = Attack("A2", "rollback")
        let path = device.directory + "/old.kedge"
        try FileSystem.replace(path, with: try Forgery(image: image).bundle(by: device.key))
        device.boot.records[0].acceptedSequence = 6
        #expect(try installing(path) == "policy.older")
        device.boot.records[0].acceptedSequence = 0
        device.boot.records[0].floor = 6
        #expect(try installing(path) == "policy.below-floor")
        #expect(device.boot.records.count == 1)
        try attack.record("refused policy.older, policy.below-floor")
    }

    @Test("tough CVE-2025-2888: a sequence from a release that was never confirmed is not remembered")
    func persistAfterCheck() throws {
        let attack = Attack("CVE-2025-2888", "tough: remembered before it was checked")
        var forgery = Forgery(image: image)
        forgery.edits = [("\"sequence\":5", "\"sequence\":9007199254740991")]
        forgery.payload[5000] ^= 1
        let path = device.directory + "/far.kedge"
        try FileSystem.replace(path, with: try forgery.bundle(by: device.key))
        #expect(try installing(path) == "payload.damaged")
        #expect(try device.boot.load().acceptedSequence == 0)
        try attack.record("refused payload.damaged, sequence not kept")
    }

    @Test("A3: an expired release stays out, and setting the clock back does not bring it in")
    func freeze() throws {
        let attack = Attack("A3", "indefinite freeze")
        var forgery = Forgery(image: image)
        forgery.edits = [("\"created\":1650000000", "\"created\":1650000000,\"expires\":1699999999")]
        try expect(attack, forgery, "policy.expired")
        device.clock = 0
        try expect(attack, forgery, "policy.expired", "clock set back")
        try attack.record("refused policy.expired")
    }

    @Test("A9: a good release of another model or revision is not for this device")
    func otherDevice() throws {
        let attack = Attack("A9", "wrong hardware")
        for (old, new, code) in [
            ("\"acme\"", "\"other\"", "policy.wrong-product"), ("\"edge\"", "\"core\"", "policy.wrong-product"),
            ("[1,3]", "[3,4294967295]", "policy.wrong-hardware"),
        ] {
            var forgery = Forgery(image: image)
            forgery.edits = [(old, new)]
            try expect(attack, forgery, code)
        }
        try attack.record("refused policy.wrong-product, policy.wrong-hardware")
    }

    @Test("A8: a component of one release does not go with the manifest of another")
    func mixAndMatch() throws {
        let attack = Attack("A8", "mix and match of releases")
        let one = Forgery(image: image)
        let two = Forgery(image: noise(image.count, seed: 2))
        let signatures = [try one.signature(by: device.key)]
        let start = try one.header(signatures)
        let section = try SignatureSection(signatures).encode()
        let tables = start.encode() + section + one.manifest + two.table + two.payload + start.encodeEnd()
        #expect(try refusal(tables, "tables and payload") == "bundle.damaged")
        let payload = try one.head(signatures) + two.payload + start.encodeEnd()
        #expect(try refusal(payload, "payload") == "payload.damaged")
        try attack.record("refused bundle.damaged, payload.damaged")
    }
}
