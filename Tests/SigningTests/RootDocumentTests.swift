import BundleFormat
import Platform
import Signing
import StrictJSON
import Testing
import Trust

@Suite("Making trust roots")
struct RootDocumentTests {
    let keys: [SigningKey]

    init() throws { keys = try (0..<4).map { _ in try SigningKey.generate() } }

    private func make(
        root: [Int], rootThreshold: Int = 1, release: [Int], releaseThreshold: Int = 1, signers: [Int]
    ) throws(SigningError) -> [UInt8] {
        try RootDocument.make(
            environment: .prod, created: 5, rootKeys: root.map { (keys[$0].publicKey, "root \($0)") },
            rootThreshold: rootThreshold, releaseKeys: release.map { (keys[$0].publicKey, "release \($0)") },
            releaseThreshold: releaseThreshold, signedBy: signers.map { keys[$0] })
    }

    private func code(_ body: () throws -> [UInt8]) -> String? {
        (#expect(throws: SigningError.self) { try body() })?.code
    }

    @Test("A root with two root keys and three release keys is what was asked for")
    func make() throws {
        let store = try TrustStore(
            rootFile: make(root: [0, 1], rootThreshold: 2, release: [1, 2, 3], releaseThreshold: 2, signers: [0, 1]))
        #expect(store.root.version == 1 && store.root.environment == .prod && store.root.created == 5)
        // A key with two roles is listed once, under its first name.
        #expect(store.root.keys.map(\.name) == ["root 0", "root 1", "release 2", "release 3"])
        #expect(store.root.role(.root)?.keys == [keys[0], keys[1]].map(\.publicKey.id))
        #expect(store.root.role(.release)?.keys == [keys[1], keys[2], keys[3]].map(\.publicKey.id))
        #expect(store.root.role(.release)?.threshold == 2)
    }

    @Test("The file is one JSON object of the form that DSSE describes")
    func form() throws {
        let file = try JSONValue.parse(make(root: [0], release: [1], signers: [0]), limit: RootFile.limit)
        #expect(file["payloadType"]?.text == "application/vnd.kedge.root.v1+json")
        #expect(file["signatures"]?.elements?.first?["keyid"]?.text == keys[0].publicKey.id.hex)
        let payload = try #require(file["payload"]?.text.flatMap { Base64.decode($0) })
        #expect(try JSONValue.parse(payload, limit: RootFile.limit)["type"]?.text == "kedge.root")
    }

    @Test("A root that its own keys do not sign is refused when it is made")
    func signers() {
        #expect(code { try make(root: [0, 1], rootThreshold: 2, release: [2], signers: [0]) } == "trust.threshold")
        #expect(code { try make(root: [0, 1], rootThreshold: 2, release: [2], signers: [0, 0]) } == "trust.threshold")
        #expect(code { try make(root: [0], release: [2], signers: [2]) } == "trust.unknown-key")
        #expect(code { try make(root: [0], release: [2], signers: []) } == "trust.unsigned")
    }

    @Test("Thresholds and keys that make no sense are refused when it is made")
    func rules() {
        #expect(code { try make(root: [0], rootThreshold: 0, release: [1], signers: [0]) } == "trust.root-invalid")
        #expect(code { try make(root: [0], release: [1], releaseThreshold: 2, signers: [0]) } == "trust.root-invalid")
        #expect(code { try make(root: [0], release: [], signers: [0]) } == "trust.root-invalid")
        #expect(code { try make(root: [0], release: [1, 1], signers: [0]) } == "trust.root-invalid")
    }
}
