import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Testing
import Trust

@testable import UpdateEngine

// MARK: - Whose signatures count

extension AttackTests {
    /// A store whose release role asks for one Ed25519 and one P-256 key; the second key.
    private func requireHybrid() throws -> SigningKey {
        let second = try SigningKey.generate(.ecdsaP256)
        var draft = RootDraft(environment: .dev, created: 1, rootThreshold: 1, releaseThreshold: 1)
        try draft.add(device.key.publicKey, name: "root", to: .root)
        for key in [device.key.publicKey, second.publicKey] { try draft.add(key, name: "release", to: .release) }
        try draft.requireEachAlgorithm(of: .release)
        device.trust = try TrustStore(rootFile: RootDocument.sign(draft.root(), by: [device.key]))
        return second
    }

    @Test("Hybrid downgrade: a release without one of its two algorithms is refused, however often the other signs")
    func strippedHybrid() throws {
        let attack = Attack("Hybrid", "one algorithm's signature stripped")
        let second = try requireHybrid()
        let forgery = Forgery(image: image)
        let one = try forgery.signature(by: device.key)
        let other = ManifestSignature(
            algorithm: 2, keyID: second.publicKey.id,
            signature: try second.sign(
                SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: forgery.manifest)))
        for kept in [[one], [other], [ManifestSignature](repeating: one, count: 8)] {
            #expect(try refusal(try forgery.bundle(kept)) == "trust.threshold")
        }
        let path = device.directory + "/both.kedge"
        try FileSystem.replace(path, with: try forgery.bundle([one, other]))
        #expect(try installing(path) == "installed")
        try attack.record("refused trust.threshold")
    }

    @Test("go-tuf GHSA-3633-5h82-39pq: one key under two ids is one key, for releases and for roots")
    func oneKeyTwoIDs() throws {
        let attack = Attack("GHSA-3633-5h82-39pq", "go-tuf: one key under two ids")
        let second = try requireTwo()
        let forgery = Forgery(image: image)
        let one = try forgery.signature(by: device.key)
        for algorithm: UInt8 in [1, 2, 3, 200] {
            let twin = ManifestSignature(algorithm: algorithm, keyID: second.publicKey.id, signature: one.signature)
            let code = try refusal(try forgery.bundle([one, twin]), "algorithm \(algorithm)")
            #expect(code == (algorithm == 1 ? "trust.bad-signature" : "trust.threshold"))
        }
        // An id is the digest of the key: no document can give a key another one.
        let other = SHA256.digest(of: [2] + device.key.publicKey.bytes)
        let named = ManifestSignature(algorithm: 1, keyID: other, signature: one.signature)
        #expect(try refusal(try forgery.bundle([one, named])) == "trust.threshold")
        let root = try TrustRoot(
            version: 1, environment: .dev, created: 1,
            keys: [device.key.publicKey, second.publicKey].map { .init($0, name: "k") },
            roles: [TrustRole.root, .release].map {
                .init($0, keys: [device.key.publicKey.id, second.publicKey.id], threshold: 2)
            })
        let unsigned = RootFile(payload: root.bytes, signatures: [])
        let signature = try device.key.sign(unsigned.signedBytes)
        for id in [device.key.publicKey.id, second.publicKey.id, other] {
            let file = RootFile(
                payload: root.bytes,
                signatures: [device.key.publicKey.id, id].map { .init(keyID: $0, signature: signature) })
            let error = #expect(throws: TrustError.self) { try TrustStore(rootFile: file.bytes) }
            #expect(error?.code == (id == second.publicKey.id ? "trust.bad-signature" : "trust.threshold"))
        }
        try attack.record("refused trust.threshold, trust.bad-signature")
    }

    @Test("python-tuf GHSA-pwqf-9h7j-7mv8: a root lists no key twice, under whatever name")
    func keyListedTwice() throws {
        let attack = Attack("GHSA-pwqf-9h7j-7mv8", "python-tuf: one key listed twice in a root")
        let id = device.key.publicKey.id.hex
        #expect(
            try rootRefusal((old: "\"keys\":[\"\(id)\"]", new: "\"keys\":[\"\(id)\",\"\(id)\"]"))
                == "trust.root-invalid")
        let key = "{\"algorithm\":\"ed25519\",\"public\":\"\(Hex.encode(device.key.publicKey.bytes))\""
        #expect(
            try rootRefusal((old: "\"keys\":[\(key)", new: "\"keys\":[\(key),\"name\":\"again\"},\(key)"))
                == "trust.root-invalid")
        let groups =
            "{\"all\":[{\"name\":\"a\",\"keys\":[\"\(id)\"],\"threshold\":1},"
            + "{\"name\":\"b\",\"keys\":[\"\(id)\"],\"threshold\":1}]}"
        #expect(
            try rootRefusal((old: "{\"keys\":[\"\(id)\"],\"threshold\":1}", new: groups)) == "trust.root-invalid")
        try attack.record("refused trust.root-invalid")
    }

    @Test("mbedTLS CVE-2025-49600: an error inside the library is a refusal, not success")
    func innerErrors() throws {
        let attack = Attack("CVE-2025-49600", "mbedTLS: inner return codes ignored")
        // These y have no x on the curve (RFC 8032 section 5.1.3): decoding them fails inside OpenSSL.
        for y: UInt8 in [2, 7, 8, 11, 12, 13, 17, 20, 22, 31] {
            let bytes = [y] + [UInt8](repeating: 0, count: 31)
            guard let key = PublicKey(algorithm: .ed25519, bytes: bytes) else { continue }
            for fill: UInt8 in [0, 1, 0xff] {
                let error = #expect(throws: TrustError.self) {
                    try key.verify([UInt8](repeating: fill, count: 64), over: [1])
                }
                #expect(error == .badSignature(key: key.id), "y \(y)")
            }
            #expect(throws: TrustError.self) { try key.verify(device.key.sign([1]), over: [1]) }
        }
        // A key whose algorithm the library may lack.
        let foreign = try #require(PublicKey(algorithm: .mlDSA65, bytes: [UInt8](repeating: 1, count: 1952)))
        let error = #expect(throws: TrustError.self) {
            try foreign.verify([UInt8](repeating: 0, count: 3309), over: [1])
        }
        #expect(error == .algorithm(.mlDSA65) || error == .badSignature(key: foreign.id))
        try attack.record("refused trust.bad-signature, trust.algorithm")
    }

    @Test("U-Boot CVE-2020-10648: the unsigned header cannot choose which part the signature is for")
    func otherPart() throws {
        let attack = Attack("CVE-2020-10648", "U-Boot: signature not bound to what is used")
        let good = Forgery(image: image)
        var evil = Forgery(image: noise(image.count, seed: 5))
        evil.release = "evil"
        let signatures = [try good.signature(by: device.key)]
        let section = try SignatureSection(signatures).encode()
        // Both manifests stand in the bundle; the header says which bytes are one.
        for (first, second) in [(good, evil), (evil, good)] {
            let both = first.manifest + second.manifest
            for length in [first.manifest.count, second.manifest.count, both.count] {
                let header = try BundleHeader(
                    envelopeLength: section.count, manifestLength: length,
                    tablesLength: both.count - length + evil.table.count, payloadLength: evil.payloadLength)
                let bundle = header.encode() + section + both + evil.table + evil.payload + header.encodeEnd()
                let code = try refusal(bundle, "\(first.release) \(length)")
                #expect(code == "trust.bad-signature" || code == "bundle.malformed")
            }
        }
        try attack.record("refused trust.bad-signature, bundle.malformed")
    }

    @Test(
        "OpenSSL CVE-2025-15467, CVE-2026-34182, CVE-2026-34180: no CMS, PKCS#7 or archive parser is in the device's program",
        .enabled(if: FileManager.default.fileExists(atPath: "/usr/bin/nm"), "needs nm (apt: binutils)"))
    func noParsers() throws {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let program = FileSystem.parent(of: tests) + "/kedged"
        let names = "EVP_DigestVerify$|^CMS_|^PKCS7_|^PKCS12_|^TS_|^OCSP_|^X509_verify|^SMIME_|^RSA_|^archive_"
        let outcome = try ChildProcess.run(
            [
                "sh", "-c", "nm -D --undefined-only \"$0\" | sed 's/.* U //; s/@.*//' | grep -E \"$1\"", program,
                names,
            ],
            milliseconds: 60_000)
        #expect(outcome.output == "EVP_DigestVerify\n")
        for id in ["CVE-2025-15467", "CVE-2026-34182", "CVE-2026-34180"] {
            try Attack(id, "OpenSSL: CMS parsers on what strangers wrote").record("not there: kedged links no CMS")
        }
        for id in ["CVE-2026-11940", "CVE-2026-17106", "CVE-2026-42496", "CVE-2021-31566"] {
            try Attack(id, "archives whose links leave their place").record("not there: no archive is unpacked")
        }
    }
}

// MARK: - Which root and which release

extension AttackTests {
    private func root(_ version: UInt32, by signers: [SigningKey], release: SigningKey) throws -> [UInt8] {
        try RootDocument.make(
            version: version, environment: .dev, created: 1, rootKeys: [(device.key.publicKey, "root")],
            rootThreshold: 1, releaseKeys: [(release.publicKey, "release")], releaseThreshold: 1, signedBy: signers)
    }

    @Test("go-tuf CVE-2022-29173: an older root, or the same again, is never taken")
    func rootRollback() throws {
        let attack = Attack("CVE-2022-29173", "go-tuf: rollback of metadata")
        let roots = try (1...3).map { try root(UInt32($0), by: [device.key], release: device.key) }
        var chain = try TrustChain(anchor: roots[0])
        for next in roots[1...] { try chain.extend(with: next) }
        for former in roots {
            let error = #expect(throws: TrustError.self) { try chain.extend(with: former) }
            #expect(error?.code == "trust.root-version")
        }
        #expect(chain.trust.root.version == 3)
        try attack.record("refused trust.root-version")
    }

    @Test("tough CVE-2025-2885: the next root has exactly the next version")
    func rootSkipped() throws {
        let attack = Attack("CVE-2025-2885", "tough: version of the next root not checked")
        let store = try TrustStore(rootFile: root(1, by: [device.key], release: device.key))
        for version: UInt32 in [1, 3, 4, .max] {
            let next = try root(version, by: [device.key], release: device.key)
            let error = #expect(throws: TrustError.self) { try store.succeeded(by: next) }
            #expect(error == .rootVersion(found: version, expected: 2))
        }
        try attack.record("refused trust.root-version")
    }

    @Test(
        "OnePlus CVE-2017-5948, CVE-2017-8850, CVE-2017-8851: no older release, no sister product, no other model",
        arguments: [
            ("CVE-2017-5948", "OnePlus: any older signed release", "\"sequence\":5", "\"sequence\":4", "policy.older"),
            (
                "CVE-2017-8850", "OnePlus: a release of the sister product", "\"class\":\"edge\"",
                "\"class\":\"edge-cn\"", "policy.wrong-product"
            ),
            (
                "CVE-2017-8851", "OnePlus: a release of another model", "\"hardware\":[1,3]", "\"hardware\":[0,1]",
                "policy.wrong-hardware"
            ),
        ])
    func onePlus(id: String, title: String, old: String, new: String, code: String) throws {
        var forgery = Forgery(image: image)
        forgery.edits = [(old, new)]
        let path = device.directory + "/other.kedge"
        try FileSystem.replace(path, with: try forgery.bundle(by: device.key))
        device.boot.records[0].acceptedSequence = 5
        #expect(try installing(path) == code)
        #expect(device.boot.records.count == 1)
        try Attack(id, title).record("refused \(code)")
    }

    @Test("Windows CVE-2024-21302: an old release that got into the spare slot by other means is not switched to")
    func reintroduced() throws {
        let attack = Attack("CVE-2024-21302", "Windows: old signed code brought back past the installer")
        let old = Forgery(image: image)
        let head = try old.head([old.signature(by: device.key)])
        let file = try Descriptor(open: device.slotPath("rootfs", .b), [.read, .write])
        try file.write(image.rawBytes, at: 0)
        device.state.heads[.b] = head
        let failure = #expect(throws: Failure.self) { try device.engine().rollBack() }
        #expect(failure?.code == "engine.nothing-to-roll-back", "\(failure?.code ?? "")")
        try device.powerOn()
        #expect(device.running == .a)
        try attack.record("refused \(failure?.code ?? "")")
    }

    @Test("A4: a stolen key cannot push the sequence out of reach, and what it pushed is taken back with the key")
    func fastForward() throws {
        let attack = Attack("A4", "fast-forward")
        let path = device.directory + "/forward.kedge"
        func outcome(_ sequence: UInt64, by key: SigningKey) throws -> String {
            var forgery = Forgery(image: image)
            forgery.edits = [("\"sequence\":5", "\"sequence\":\(sequence)")]
            forgery.release = "release \(sequence)"
            try FileSystem.replace(path, with: try forgery.bundle(by: key))
            let outcome = try installing(path)
            if outcome == "installed" {
                try device.powerOn()
                try device.engine().recover()
            }
            return outcome
        }
        #expect(try outcome(5, by: device.key) == "installed")
        for far: UInt64 in [5 + 1 << 20 + 1, 1 << 32, 1 << 53 - 1] {
            #expect(try outcome(far, by: device.key) == "policy.sequence-jump", "\(far)")
        }
        #expect(try outcome(5 + 1 << 20, by: device.key) == "installed")
        #expect(try outcome(6, by: device.key) == "policy.older")
        let next = try SigningKey.generate()
        device.trust = try TrustStore(
            rootFile: RootDocument.make(
                version: 2, environment: .dev, created: 1, rootKeys: [(next.publicKey, "root")], rootThreshold: 1,
                releaseKeys: [(next.publicKey, "release")], releaseThreshold: 1, revoked: [device.key.publicKey.id],
                signedBy: [next]))
        #expect(try outcome(7, by: device.key) == "trust.revoked-key")
        #expect(try outcome(6, by: next) == "installed")
        try attack.record("refused policy.sequence-jump; taken back by a root")
    }

    @Test("A13: a device that was offline for ten years takes every root in turn, and a release from a stick")
    func longOffline() throws {
        let attack = Attack("A13", "drop-request: years without a word")
        device.clock += 10 * 365 * 86_400
        let keys = try (0..<11).map { _ in try SigningKey.generate() }
        var chain = try TrustChain(anchor: root(1, by: [device.key], release: keys[0]))
        for version in 2...11 {
            try chain.extend(with: root(UInt32(version), by: [device.key], release: keys[version - 1]))
        }
        device.trust = chain.trust
        let path = device.directory + "/stick.kedge"
        let forgery = Forgery(image: image)
        try FileSystem.replace(path, with: try forgery.bundle(by: keys[0]))
        #expect(try installing(path) == "trust.unknown-key")
        try FileSystem.replace(path, with: try forgery.bundle(by: keys[10]))
        #expect(try installing(path) == "installed")
        try attack.record("installed by media; a stale channel is told (ChannelTests)")
    }
}

// MARK: - Secrets

extension AttackTests {
    @Test(
        "Mender CVE-2024-55959: a private key that others may read or write is not used",
        arguments: [0o640, 0o604, 0o660, 0o606, 0o644, 0o666, 0o601, 0o777] as [UInt32])
    func keyPermissions(mode: UInt32) throws {
        let path = device.directory + "/release.key"
        try device.key.write(to: path)
        var facts = stat()
        #expect(stat(path, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
        #expect(chmod(path, mode) == 0)
        let error = #expect(throws: SigningError.self) {
            try SigningKey.load(path: path) { () throws(SigningError) in [] }
        }
        #expect(error?.code == "key.permissions")
        if mode == 0o777 {
            try Attack("CVE-2024-55959", "Mender: permissions of key material").record("refused key.permissions")
        }
    }

    @Test("rpm-ostree CVE-2024-2905: what a device keeps for itself is its owner's alone, whatever the umask")
    func keptFiles() throws {
        let attack = Attack("CVE-2024-2905", "rpm-ostree: kept files readable by the world")
        let former = umask(0)
        defer { umask(former) }
        let anchor = try root(1, by: [device.key], release: device.key)
        let home = TrustHome(TrustDirectory(device.directory))
        try home.store(home.load(anchor: anchor), anchor: anchor)
        for slot in 0..<2 {
            var facts = stat()
            #expect(stat("\(device.directory)/trust.\(slot)", &facts) == 0 && facts.st_mode & 0o777 == 0o600)
        }
        try attack.record("kept with mode 600")
    }
}
