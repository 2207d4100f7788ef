import BundleFormat
import Platform
import Testing
import Trust

@Suite("Verifying bundles")
struct TrustStoreVerifyTests {
    let one: TestKey
    let two: TestKey
    let stranger: TestKey
    let manifest: [UInt8]

    init() throws {
        one = try TestKey(2)
        two = try TestKey(3)
        stranger = try TestKey(4)
        manifest = try Fixture.manifest()
    }

    /// What verifying the golden manifest with these signatures gives.
    private func outcome(_ root: TrustRoot, _ signatures: [ManifestSignature]) throws -> TrustError? {
        let store = try trustStore(root)
        let bytes = try head(manifest, signatures)
        return trustError { try store.verify(bytes) }
    }

    @Test("The golden bundle, signed with openssl, is verified by the golden root")
    func golden() throws {
        let bundle = try Fixture.bytes("bundle/bundle.kedge")
        let verified = try TrustStore(rootFile: Fixture.bytes("trust/root.json")).verify(bundle)
        #expect(verified.manifest.releaseID == "2025.11-gateway")
        #expect(verified.digest == SHA256.digest(of: manifest))
        #expect(verified.signers.count == 2)
        let tables = Array(bundle[verified.header.tablesOffset..<Int(verified.header.payloadOffset)])
        #expect(try verified.chunkTables(tables).map(\.table.windows.count) == [3])
    }

    @Test("The head alone is enough, and what follows it is not looked at")
    func headAlone() throws {
        let store = try trustStore(testRoot(release: [one]))
        let bytes = try head(manifest, [one.signature(manifest)])
        #expect(try store.verify(bytes).signers == [one.id])
        #expect(try store.verify(bytes + [UInt8](repeating: 0xff, count: 999)).signers == [one.id])
    }

    @Test("A change of any bit of a signed head is refused")
    func flipped() throws {
        let store = try trustStore(testRoot(release: [one]))
        let bytes = try head(manifest, [one.signature(manifest)])
        _ = try store.verify(bytes)
        for place in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[place] ^= 1 << bit
                if trustError({ try store.verify(changed) }) == nil {
                    Issue.record("byte \(place) bit \(bit) was accepted")
                }
            }
        }
    }

    @Test("A change of any byte of a head that two must sign is refused")
    func flippedThreshold() throws {
        let store = try TrustStore(rootFile: Fixture.bytes("trust/root.json"))
        let bytes = Array(try Fixture.bytes("bundle/bundle.kedge").prefix(64 + 202 + manifest.count))
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 0x10
            if trustError({ try store.verify(changed) }) == nil { Issue.record("byte \(place) was accepted") }
        }
    }

    @Test("A head that is cut off at any byte is told as truncated, or as no bundle")
    func truncated() throws {
        let store = try trustStore(testRoot(release: [one]))
        let bytes = try head(manifest, [one.signature(manifest)])
        for count in bytes.indices {
            let code = trustError { try store.verify(Array(bytes[0..<count])) }?.code
            #expect(code == (count < 8 ? "bundle.not-a-bundle" : "bundle.truncated"))
        }
    }

    @Test("No signature at all is told as unsigned")
    func unsigned() throws {
        #expect(try outcome(testRoot(release: [one]), []) == .unsigned)
    }

    @Test("A stranger's good signature is told as an unknown key")
    func unknownKey() throws {
        let error = try outcome(testRoot(release: [one]), [stranger.signature(manifest)])
        #expect(error == .unknownKey(role: .release))
    }

    @Test("A key that the root lists for no role, or only for the root role, signs no release")
    func otherRole() throws {
        let root = try testRoot(release: [one], unlisted: [two])
        #expect(try outcome(root, [two.signature(manifest)]) == .unknownKey(role: .release))
        #expect(try outcome(root, [TestKey(1).signature(manifest)]) == .unknownKey(role: .release))
    }

    @Test("A stranger's signature under a trusted key's id is a bad signature")
    func stolenID() throws {
        let forged = ManifestSignature(
            algorithm: 1, keyID: one.id, signature: try stranger.signature(manifest).signature)
        #expect(try outcome(testRoot(release: [one]), [forged]) == .badSignature(key: one.id))
    }

    @Test("A wrong signature of a trusted key refuses the bundle although another one would suffice")
    func oneBadOfTwo() throws {
        let bad = ManifestSignature(algorithm: 1, keyID: two.id, signature: [UInt8](repeating: 0, count: 64))
        let error = try outcome(testRoot(release: [one, two]), [one.signature(manifest), bad])
        #expect(error == .badSignature(key: two.id))
    }

    @Test("Signatures of strangers and of unknown algorithms beside a good one are left alone")
    func ignored() throws {
        let unknown = ManifestSignature(algorithm: 99, keyID: one.id, signature: [1, 2, 3])
        let signatures = [try stranger.signature(manifest), unknown, try one.signature(manifest)]
        #expect(try outcome(testRoot(release: [one]), signatures) == nil)
    }

    @Test("A good signature under another algorithm's number counts for nothing", arguments: [0, 2, 255] as [UInt8])
    func unknownAlgorithm(number: UInt8) throws {
        let good = try one.signature(manifest)
        let signature = ManifestSignature(algorithm: number, keyID: good.keyID, signature: good.signature)
        #expect(try outcome(testRoot(release: [one]), [signature]) == .unknownKey(role: .release))
    }

    @Test("Two signatures of one key are one of two")
    func duplicates() throws {
        let root = try testRoot(release: [one, two], threshold: 2)
        let same = try one.signature(manifest)
        #expect(try outcome(root, [same, same]) == .threshold(role: .release, present: 1, needed: 2))
        let all = [ManifestSignature](repeating: same, count: 16)
        #expect(try outcome(root, all) == .threshold(role: .release, present: 1, needed: 2))
        #expect(try outcome(root, [same, two.signature(manifest)]) == nil)
    }

    @Test("A revoked key counts for nothing, and is named when there is no other")
    func revoked() throws {
        let root = try testRoot(release: [one, two], revoked: [one.id])
        #expect(try outcome(root, [one.signature(manifest)]) == .revokedKey(key: one.id))
        #expect(try outcome(root, [one.signature(manifest), two.signature(manifest)]) == nil)
        let three = try TestKey(5)
        let strict = try testRoot(release: [one, two, three], threshold: 2, revoked: [one.id])
        #expect(
            try outcome(strict, [one.signature(manifest), two.signature(manifest)])
                == .threshold(role: .release, present: 1, needed: 2))
    }

    @Test("A revoked key that the root no longer lists is still told as revoked")
    func revokedAndGone() throws {
        let root = try testRoot(release: [one], revoked: [stranger.id])
        #expect(try outcome(root, [stranger.signature(manifest)]) == .revokedKey(key: stranger.id))
    }

    @Test("A release that the root denies is refused although it is signed")
    func denied() throws {
        let digest = SHA256.digest(of: manifest)
        let root = try testRoot(release: [one], denied: [digest])
        #expect(try outcome(root, [one.signature(manifest)]) == .deniedRelease(manifest: digest))
    }

    @Test("A signature over a root document does not sign a manifest, even for the same bytes and key")
    func typeConfusion() throws {
        let replayed = try one.signature(manifest, type: TrustRoot.payloadType)
        #expect(try outcome(testRoot(release: [one]), [replayed]) == .badSignature(key: one.id))
    }

    @Test("A root document with its own signature is not a manifest")
    func rootAsManifest() throws {
        let key = try TestKey(1)
        let root = try TrustRoot(
            version: 1, environment: .dev, created: 0, keys: [.init(key.publicKey, name: "both")],
            roles: [.init(.root, keys: [key.id], threshold: 1), .init(.release, keys: [key.id], threshold: 1)])
        let store = try trustStore(root)
        let replayed = try head(root.bytes, [key.signature(root.bytes, type: TrustRoot.payloadType)])
        #expect(trustError { try store.verify(replayed) } == .badSignature(key: key.id))
        // And when its holder did sign it as a manifest, it still is none.
        let signed = try head(root.bytes, [key.signature(root.bytes)])
        #expect(trustError { try store.verify(signed) }?.code == "bundle.manifest")
    }

    @Test("A signature without the pre-authentication encoding is refused")
    func bareSignature() throws {
        let bare = ManifestSignature(algorithm: 1, keyID: one.id, signature: try one.sign(manifest))
        #expect(try outcome(testRoot(release: [one]), [bare]) == .badSignature(key: one.id))
    }

    @Test("Header lengths that are not the signed ones are refused", arguments: [(186, 4114), (187, 4113), (0, 0)])
    func lengths(tables: Int, payload: UInt64) throws {
        let store = try trustStore(testRoot(release: [one]))
        let bytes = try head(manifest, [one.signature(manifest)], tables: tables, payload: payload)
        #expect(trustError { try store.verify(bytes) }?.code == "bundle.malformed")
    }

    @Test("Nothing of a manifest is parsed before its signatures hold")
    func order() throws {
        let garbage = Array("{not json".utf8)
        let digest = SHA256.digest(of: garbage)
        let store = try trustStore(testRoot(release: [one]))
        let denying = try trustStore(testRoot(release: [one], denied: [digest]))
        let unsigned = try head(garbage, [])
        let foreign = try head(garbage, [stranger.signature(garbage)])
        let signed = try head(garbage, [one.signature(garbage)])
        #expect(trustError { try store.verify(unsigned) } == .unsigned)
        #expect(trustError { try store.verify(foreign) } == .unknownKey(role: .release))
        #expect(trustError { try denying.verify(signed) } == .deniedRelease(manifest: digest))
        #expect(trustError { try store.verify(signed) }?.code == "bundle.manifest")
    }

    @Test("Chunk tables that are not the signed ones are refused")
    func tables() throws {
        let store = try trustStore(testRoot(release: [one]))
        let verified = try store.verify(try head(manifest, [one.signature(manifest)]))
        let table = try Fixture.bytes("bundle/table.bin")
        #expect(try verified.chunkTables(table).count == 1)
        for place in table.indices {
            var changed = table
            changed[place] ^= 1
            let error = #expect(throws: FormatError.self) { try verified.chunkTables(changed) }
            #expect(error?.code == "bundle.damaged")
        }
        #expect(throws: FormatError.self) { try verified.chunkTables(Array(table.dropLast())) }
        #expect(throws: FormatError.self) { try verified.chunkTables(table + [0]) }
    }

    @Test("Looking at an unsigned bundle shows what it claims")
    func inspect() throws {
        let seen = try UnverifiedHead(inspecting: head(manifest, []))
        #expect(seen.manifest.releaseID == "2025.11-gateway")
        #expect(seen.manifestBytes == manifest && seen.manifestDigest == SHA256.digest(of: manifest))
        #expect(seen.signatures.signatures.isEmpty)
        #expect(
            trustError { try UnverifiedHead(inspecting: head(manifest, [], tables: 1)) }?.code == "bundle.malformed")
    }

    @Test("Every refusal has a code, a context and a remedy")
    func messages() {
        let digest = SHA256.digest(of: [])
        let errors: [TrustError] = [
            .unsigned, .unknownKey(role: .release), .badSignature(key: digest),
            .threshold(role: .release, present: 1, needed: 2), .revokedKey(key: digest),
            .deniedRelease(manifest: digest), .rootInvalid("why"), .rootMissing(path: "/etc/root.json"),
        ]
        #expect(Set(errors.map(\.code)).count == errors.count)
        for error in errors {
            #expect(error.code.hasPrefix("trust.") && error.category == .trust)
            #expect(!error.context.isEmpty && !error.remedy.isEmpty)
        }
        #expect(errors[3].context == "1 of 2 needed release signatures are there")
    }
}
