import BundleFormat
import Platform
import Testing
import Trust

@Suite("Loading the trust root")
struct TrustStoreLoadTests {
    private let path: String

    init() throws {
        let above = ProcessInformation.environment("TMPDIR") ?? "/tmp"
        path = "\(above)/kedge-\(Hex.encode(try SystemRandom().bytes(8))).json"
    }

    /// Loads these bytes from a file, which is removed again.
    private func load(_ bytes: [UInt8]) throws -> TrustStore {
        try FileSystem.replace(path, with: bytes)
        defer { try? FileSystem.remove(path) }
        return try TrustStore.load(path: path)
    }

    @Test("The golden root file is loaded")
    func golden() throws {
        #expect(try load(Fixture.bytes("trust/root.json")).root.floor == 3)
    }

    @Test("A root that is not there is told as missing, and a directory is a storage error")
    func missing() {
        let absent = trustError { try TrustStore.load(path: path) }
        #expect(absent == .rootMissing(path: path))
        #expect(absent?.category == .trust)
        let directory = trustError { try TrustStore.load(path: "/") }
        #expect(directory?.category == .storage)
    }

    @Test("A file longer than 128 KiB is not read")
    func tooLarge() throws {
        let golden = try Fixture.bytes("trust/root.json")
        let padding = [UInt8](repeating: 0x20, count: RootFile.limit - golden.count)
        #expect(try load(golden + padding).root.version == 1)
        #expect(trustError { try load(golden + padding + [0x20]) }?.category == .storage)
        #expect(trustError { try TrustStore(rootFile: golden + padding + [0x20]) }?.code == "json.too-large")
    }

    @Test("A change of any bit of the root file never gives a store with another root")
    func flipped() throws {
        let golden = try Fixture.bytes("trust/root.json")
        let root = try TrustStore(rootFile: golden).root
        for place in golden.indices {
            for bit in 0..<8 {
                var bytes = golden
                bytes[place] ^= 1 << bit
                guard let store = try? TrustStore(rootFile: bytes) else { continue }
                Issue.record("byte \(place) bit \(bit) was accepted")
                #expect(store.root == root)
            }
        }
    }

    @Test("A root file that is cut off at any byte is a typed error")
    func truncated() throws {
        let golden = try Fixture.bytes("trust/root.json")
        for count in golden.indices {
            #expect(trustError { try TrustStore(rootFile: Array(golden[0..<count])) } != nil)
        }
    }

    @Test("A root without signatures is refused")
    func unsigned() throws {
        let root = try testRoot(release: [TestKey(2)])
        #expect(trustError { try TrustStore(rootFile: rootFile(root.bytes, by: [])) } == .unsigned)
    }

    @Test("A root that only a release key signed is refused")
    func releaseKey() throws {
        let key = try TestKey(2)
        let root = try testRoot(release: [key])
        #expect(trustError { try TrustStore(rootFile: rootFile(root.bytes, by: [key])) } == .unknownKey(role: .root))
    }

    @Test("A root must be signed by the threshold of its root role, counted in keys and not in signatures")
    func threshold() throws {
        let keys = try (1...3).map { try TestKey($0) }
        let root = try TrustRoot(
            version: 1, environment: .prod, created: 0, keys: keys.map { .init($0.publicKey, name: "k") },
            roles: [
                .init(.root, keys: keys.map(\.id), threshold: 2), .init(.release, keys: [keys[2].id], threshold: 1),
            ])
        let needed = TrustError.threshold(role: .root, present: 1, needed: 2)
        #expect(trustError { try TrustStore(rootFile: rootFile(root.bytes, by: [keys[0]])) } == needed)
        #expect(trustError { try TrustStore(rootFile: rootFile(root.bytes, by: [keys[0], keys[0]])) } == needed)
        #expect(try TrustStore(rootFile: rootFile(root.bytes, by: [keys[0], keys[2]])).root == root)
    }

    @Test("A root that its revoked key signed is refused")
    func revoked() throws {
        let keys = try (1...2).map { try TestKey($0) }
        let root = try TrustRoot(
            version: 1, environment: .prod, created: 0, keys: keys.map { .init($0.publicKey, name: "k") },
            roles: [
                .init(.root, keys: keys.map(\.id), threshold: 1), .init(.release, keys: [keys[1].id], threshold: 1),
            ], revoked: [keys[0].id])
        #expect(
            trustError { try TrustStore(rootFile: rootFile(root.bytes, by: [keys[0]])) }
                == .revokedKey(key: keys[0].id))
        #expect(try TrustStore(rootFile: rootFile(root.bytes, by: keys)).root == root)
    }

    @Test("A signature that was made for a manifest does not sign a root")
    func typeConfusion() throws {
        let key = try TestKey(1)
        let payload = try testRoot(release: [TestKey(2)]).bytes
        let file = RootFile(
            payload: payload,
            signatures: [.init(keyID: key.id, signature: try key.signature(payload).signature)])
        #expect(trustError { try TrustStore(rootFile: file.bytes) } == .badSignature(key: key.id))
    }
}
