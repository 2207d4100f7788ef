import BundleFormat
import Platform
import Testing
import Trust

@Suite("Roles that ask for each of several groups")
struct KeyGroupTests {
    private let keys: [TestKey]
    private let manifest: [UInt8]

    init() throws {
        keys = try (1...6).map { try TestKey($0) }
        manifest = try Fixture.manifest()
    }

    private func group(_ name: String, _ numbers: [Int], _ threshold: Int) -> TrustRoot.KeyGroup {
        .init(name: Identifier(name), keys: numbers.map { keys[$0].id }, threshold: threshold)
    }

    private func root(_ groups: [TrustRoot.KeyGroup], revoked: [Int] = []) throws -> TrustRoot {
        try TrustRoot(
            version: 1, environment: .dev, created: 0, keys: keys.map { .init($0.publicKey, name: "test") },
            roles: [.init(.root, keys: [keys[0].id], threshold: 1), .init(.release, all: groups)],
            revoked: revoked.map { keys[$0].id })
    }

    /// 2 of keys 1 to 3, and 1 of keys 4 and 5.
    private func twoGroups(revoked: [Int] = []) throws -> TrustStore {
        try trustStore(root([group("vendor", [1, 2, 3], 2), group("operator", [4, 5], 1)], revoked: revoked))
    }

    private func outcome(_ store: TrustStore, _ signers: [Int]) throws -> TrustError? {
        let signatures = try signers.map { try keys[$0].signature(manifest) }
        return trustError { try store.verify(head(manifest, signatures)) }
    }

    private func missing(_ group: String, _ present: Int, _ needed: Int) throws -> TrustError {
        .groupThreshold(role: .release, group: try #require(Identifier(group)), present: present, needed: needed)
    }

    @Test("Every group must meet its own threshold, in any order of signatures")
    func met() throws {
        let store = try twoGroups()
        for signers in [[1, 2, 4], [5, 3, 1], [1, 2, 3, 4, 5]] { #expect(try outcome(store, signers) == nil) }
        let verified = try store.verify(head(manifest, [1, 4, 2].map { try keys[$0].signature(manifest) }))
        #expect(Set(verified.signers) == Set([1, 2, 4].map { keys[$0].id }))
    }

    @Test("Many signatures of one group do not make up for the other group")
    func unmet() throws {
        let store = try twoGroups()
        #expect(try outcome(store, [1, 2, 3]) == missing("operator", 0, 1))
        #expect(try outcome(store, [4, 5]) == missing("vendor", 0, 2))
        #expect(try outcome(store, [1, 4, 5]) == missing("vendor", 1, 2))
        #expect(try outcome(store, [1, 1, 1, 4]) == missing("vendor", 1, 2))
        #expect(try outcome(store, []) == .unsigned)
        #expect(try outcome(store, [0]) == .unknownKey(role: .release))
    }

    @Test("A revoked key counts in no group")
    func revoked() throws {
        let store = try twoGroups(revoked: [1, 4])
        #expect(try outcome(store, [1, 2, 4]) == missing("vendor", 1, 2))
        #expect(try outcome(store, [2, 3, 4]) == missing("operator", 0, 1))
        #expect(try outcome(store, [2, 3, 5]) == nil)
    }

    @Test("The root role can have groups, and the next root must meet those of both")
    func succession() throws {
        func grouped(_ version: UInt32, _ one: [Int], _ other: [Int]) throws -> TrustRoot {
            try TrustRoot(
                version: version, environment: .dev, created: 0, keys: keys.map { .init($0.publicKey, name: "test") },
                roles: [
                    .init(.root, all: [group("a", one, 1), group("b", other, 1)]),
                    .init(.release, keys: [keys[5].id], threshold: 1),
                ])
        }
        let signers = [keys[0], keys[1]]
        #expect(
            trustError { try TrustStore(rootFile: rootFile(grouped(1, [0], [1]).bytes, by: [keys[0]])) }?.code
                == "trust.threshold")
        let store = try TrustStore(rootFile: rootFile(grouped(1, [0], [1]).bytes, by: signers))
        let next = try grouped(2, [0], [2])
        for missing in [[0, 1], [0, 2], [1, 2]] {
            let file = try rootFile(next.bytes, by: missing.map { keys[$0] })
            #expect(trustError { try store.succeeded(by: file) }?.code == "trust.threshold", "\(missing)")
        }
        #expect(try store.succeeded(by: rootFile(next.bytes, by: [keys[0], keys[1], keys[2]])).root == next)
    }

    @Test("A root with groups comes back from its bytes, and one without is written as ever")
    func roundTrip() throws {
        let root = try root([group("vendor", [1, 2], 2), group("operator", [4], 1)])
        #expect(try TrustRoot.decode(root.bytes) == root)
        let text = String(decoding: root.bytes, as: UTF8.self)
        #expect(text.contains("\"release\":{\"all\":[{\"name\":\"vendor\",\"keys\":["))
        #expect(text.contains("\"root\":{\"keys\":["))
    }

    @Test("Groups that contradict the rules are refused")
    func rules() throws {
        let vendor = group("vendor", [1, 2], 1)
        let bad: [[TrustRoot.KeyGroup]] = [
            [], [vendor], [vendor, group("vendor", [3], 1)], [vendor, group("operator", [2], 1)],
            [vendor, group("operator", [3, 3], 1)], [vendor, group("operator", [], 0)],
            [vendor, group("operator", [], 1)], [vendor, group("operator", [3], 0)],
            [vendor, group("operator", [3], 2)], [vendor, group("operator", [3], -1)],
            [vendor, group("operator", [3], .max)],
            [vendor, .init(name: nil, keys: [keys[3].id], threshold: 1)],
        ]
        for groups in bad { #expect(trustError { try root(groups) }?.code == "trust.root-invalid", "\(groups.count)") }
        #expect(
            trustError { try root([vendor, group("operator", [3], 1)], revoked: [3]) }?.code == "trust.root-invalid")
    }

    @Test(
        "A role is either one list or groups, and says so in one way",
        arguments: [
            ("{\"all\":[", "{\"threshold\":1,\"all\":["), ("{\"all\":[", "{\"keys\":[],\"all\":["),
            ("{\"all\":[", "{\"any\":["), ("{\"all\":[", "{\"all\":[[],"), ("{\"all\":[", "{\"all\":[{},"),
            ("\"name\":\"vendor\"", "\"name\":\"\""), ("\"name\":\"vendor\"", "\"name\":\"Vendor\""),
            ("\"name\":\"vendor\",", ""), ("\"name\":\"vendor\"", "\"more\":1,\"name\":\"vendor\""),
            ("\"root\":{", "\"root\":{\"name\":\"root\","), ("\"threshold\":2", "\"threshold\":\"2\""),
            ("\"threshold\":2", "\"threshold\":2.0"), ("\"threshold\":2", "\"all\":[],\"threshold\":2"),
        ])
    func strict(old: String, new: String) throws {
        let bytes = try root([group("vendor", [1, 2], 2), group("operator", [4], 1)]).bytes
        let text = String(decoding: bytes, as: UTF8.self)
        let range = try #require(text.firstRange(of: old))
        var changed = text
        changed.replaceSubrange(range, with: new)
        let code = trustError { try TrustRoot.decode(Array(changed.utf8)) }?.code
        #expect(code?.hasPrefix("json.") == true, "\(code ?? "accepted")")
    }

    @Test("A root has at most eight groups for a role")
    func most() throws {
        let numbers = (10...18).map { UInt8($0) }
        let many = try numbers.map { try TestKey($0) }
        func decoded(_ count: Int) throws -> TrustError? {
            let root = try root([group("vendor", [1, 2], 2), group("operator", [4], 1)])
            var text = String(decoding: root.bytes, as: UTF8.self)
            let listed = many[..<count].map { key in
                "{\"algorithm\":\"ed25519\",\"public\":\"\(Hex.encode(key.publicKey.bytes))\",\"name\":\"k\"}"
            }
            let groups = many[..<count].enumerated().map { index, key in
                "{\"name\":\"g\(index)\",\"keys\":[\"\(key.id.hex)\"],\"threshold\":1}"
            }
            let start = try #require(text.firstRange(of: "\"all\":[")).upperBound
            let end = try #require(text.firstRange(of: "]}},\"revoked\"")).lowerBound
            text.replaceSubrange(start..<end, with: groups.joined(separator: ","))
            text = text.replacing(
                "\"keys\":[{", with: "\"keys\":[\(listed.joined(separator: ",")),{", maxReplacements: 1)
            return trustError { try TrustRoot.decode(Array(text.utf8)) }
        }
        #expect(try decoded(8) == nil)
        #expect(try decoded(9)?.code == "json.bounds")
    }
}
