import BundleFormat
import Platform
import StrictJSON
import Testing
import Trust

@Suite("Trust roots")
struct TrustRootTests {
    private let golden: RootFile
    private let document: String

    init() throws {
        golden = try RootFile.decode(Fixture.bytes("trust/root.json"))
        document = String(decoding: golden.payload, as: UTF8.self)
    }

    /// The golden document with a piece of its text replaced; the first occurrence.
    private func changed(_ old: String, _ new: String) throws -> [UInt8] {
        let range = try #require(document.firstRange(of: old))
        return Array(document.replacingCharacters(in: range, with: new).utf8)
    }

    private let first = "bcd1d56b5845f21e54ce5b764fc1d5520cc2c462e08fade2668dae9353621237"
    private let second = "f1cde99f5266a116e0235e170f3fcd1a679732480eb5c1ecf4f179d02c72fbb8"
    private let third = "6ddd9d1e905243cee17328b54a8a7f1e6f40d37c6d994c2d3c965360b0562254"

    @Test("The golden root is read with every member, and written byte for byte")
    func goldenRoot() throws {
        let root = try TrustRoot.decode(golden.payload)
        #expect(root.version == 1 && root.environment == .dev && root.created == 1_700_000_000 && root.floor == 3)
        #expect(root.keys.map(\.name) == ["root", "release", "second release"])
        #expect(root.role(.root)?.keys.map(\.hex) == [first])
        #expect(root.role(.release)?.keys.map(\.hex) == [second, third])
        #expect(root.role(.release)?.threshold == 2)
        #expect(root.role(.channel) == nil && root.role(.override) == nil)
        #expect(root.bytes == golden.payload)
        #expect(golden.bytes == (try Fixture.bytes("trust/root.json")))
    }

    @Test("A root with all roles and lists comes back from its bytes")
    func roundTrip() throws {
        let keys = try (1...4).map { try TestKey($0) }
        let root = try TrustRoot(
            version: 7, environment: .prod, created: 1, keys: keys.map { .init($0.publicKey, name: "k") },
            roles: TrustRole.allCases.map { .init($0, keys: keys.map(\.id), threshold: 3) },
            revoked: [keys[0].id], deniedReleases: [SHA256.digest(of: [])], floor: .max)
        #expect(try TrustRoot.decode(root.bytes) == root)
    }

    @Test("Thresholds that could be met by nobody, or without anybody, are refused", arguments: [-1, 0, 3, 1 << 40])
    func threshold(value: Int64) throws {
        let bytes = try changed("\"threshold\":2", "\"threshold\":\(value)")
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == "trust.root-invalid")
    }

    @Test("One key listed twice under a role is refused")
    func twiceInRole() throws {
        let bytes = try changed(third, second)
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == "trust.root-invalid")
    }

    @Test("The same key bytes listed twice are refused, also under two names")
    func twiceInKeys() throws {
        let bytes = try changed(
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == "trust.root-invalid")
    }

    @Test("A role that names a key which is not listed is refused")
    func unknownKey() throws {
        let bytes = try changed(third, String(repeating: "0", count: 64))
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == "trust.root-invalid")
    }

    @Test("Revoking more keys than a threshold can spare is refused, because nobody could sign again")
    func unreachable() throws {
        let bytes = try changed("\"revoked\":[]", "\"revoked\":[\"\(second)\"]")
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == "trust.root-invalid")
    }

    @Test("A digest that is listed twice is refused", arguments: ["revoked", "deniedReleases"])
    func twiceInList(name: String) throws {
        let digest = String(repeating: "0", count: 64)
        let bytes = try changed("\"\(name)\":[]", "\"\(name)\":[\"\(digest)\",\"\(digest)\"]")
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == "trust.root-invalid")
    }

    @Test("A root without the roles root and release is refused", arguments: ["root", "release"])
    func missingRole(name: String) throws {
        let bytes = try changed("\"\(name)\":{", "\"channel\":{")
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == "trust.root-invalid")
    }

    @Test(
        "A member with a wrong value is refused",
        arguments: [
            ("kedge.root", "kedge.manifest", "json.bounds"), ("\"format\":1", "\"format\":2", "json.bounds"),
            ("\"version\":1", "\"version\":0", "json.bounds"), ("\"dev\"", "\"test\"", "json.bounds"),
            ("\"floor\":3", "\"floor\":4294967296", "json.bounds"), ("\"floor\":3", "\"floor\":null", "json.type"),
            ("\"floor\":3", "\"floor\":3,\"more\":1", "json.unknown"), ("\"revoked\":[],", "", "json.missing"),
            ("\"floor\":3", "\"floor\":3,\"floor\":3", "json.duplicate"), ("\"ed25519\"", "\"rsa\"", "json.bounds"),
            ("\"release\":{\"keys\"", "\"release\":{\"more\":1,\"keys\"", "json.unknown"),
            ("d75a9801", "D75A9801", "json.bounds"), ("d75a9801", "d75a98", "json.bounds"),
            ("\"name\":\"root\"", "\"name\":\"\"", "json.bounds"),
            ("\"roles\":{", "\"roles\":{\"boss\":{},", "json.unknown"),
            ("\"revoked\":[]", "\"revoked\":[\"\"]", "json.bounds"), ("\"keys\":[", "\"keys\":[null,", "json.type"),
        ])
    func members(old: String, new: String, code: String) throws {
        let bytes = try changed(old, new)
        #expect(trustError { try TrustRoot.decode(bytes) }?.code == code)
    }

    @Test("A root document that is cut off at any byte is a typed error")
    func truncated() {
        for count in 0..<golden.payload.count {
            #expect(trustError { try TrustRoot.decode(Array(golden.payload.prefix(count))) }?.code == "json.syntax")
        }
    }

    @Test(
        "A root file of another form is refused",
        arguments: [
            ("vnd.kedge.root.v1", "vnd.kedge.manifest.v1"), ("\"payload\":\"ey", "\"payload\":\"e-"),
            ("\"signatures\":[", "\"signatures\":[{},"), ("\"keyid\":\"b", "\"keyid\":\"B"), ("==\"}]", "\"}]"),
            ("\"signatures\":", "\"x\":1,\"signatures\":"), ("\"keyid\":", "\"more\":1,\"keyid\":"),
        ])
    func file(old: String, new: String) throws {
        let text = String(decoding: golden.bytes, as: UTF8.self)
        let range = try #require(text.firstRange(of: old))
        let bytes = Array(text.replacingCharacters(in: range, with: new).utf8)
        #expect(trustError { try RootFile.decode(bytes) } != nil)
    }
}

extension String {
    fileprivate func replacingCharacters(in range: Range<Index>, with new: String) -> String {
        var text = self
        text.replaceSubrange(range, with: new)
        return text
    }
}
