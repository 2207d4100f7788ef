import BundleFormat
import Signing
import Testing
import Trust

@Suite("Drafts of trust roots with groups")
struct RootDraftGroupTests {
    private let edwards: [SigningKey]
    private let curves: [SigningKey]
    private let first: TrustRoot

    init() throws {
        edwards = try (0..<3).map { _ in try SigningKey.generate() }
        curves = try (0..<2).map { _ in try SigningKey.generate(.ecdsaP256) }
        var draft = RootDraft(environment: .prod, created: 7, rootThreshold: 1, releaseThreshold: 1)
        try draft.add(edwards[0].publicKey, name: "root", to: .root)
        for key in [edwards[1], curves[0], edwards[2]] {
            try draft.add(key.publicKey, name: "release", to: .release)
        }
        try draft.requireEachAlgorithm(of: .release)
        first = try draft.root()
    }

    private func next(_ body: (inout RootDraft) throws -> Void) throws -> TrustRoot {
        var draft = RootDraft(from: first, version: 2, created: 8)
        try body(&draft)
        return try draft.root()
    }

    private func refusal(_ body: (inout RootDraft) throws -> Void) -> SigningError? {
        #expect(throws: SigningError.self) { _ = try next(body) }
    }

    private func groups(_ root: TrustRoot) -> [[Digest]] { root.role(.release)?.groups.map(\.keys) ?? [] }

    @Test("A role is parted by algorithm, and each group takes the threshold over")
    func parted() throws {
        #expect(first.role(.release)?.groups.map(\.name?.text) == ["ed25519", "ecdsa-p256"])
        #expect(groups(first) == [[edwards[1].publicKey.id, edwards[2].publicKey.id], [curves[0].publicKey.id]])
        #expect(first.role(.release)?.groups.map(\.threshold) == [1, 1])
        #expect(first.role(.root)?.isGrouped == false)
    }

    @Test("A new key goes to the group of its algorithm or to the named one, which may be new")
    func add() throws {
        let root = try next { try $0.add(curves[1].publicKey, name: "new", to: .release) }
        #expect(groups(root)[1] == curves.map(\.publicKey.id))
        let extra = try next {
            try $0.add(curves[1].publicKey, name: "new", to: .release, group: Identifier("operator"))
        }
        #expect(extra.role(.release)?.groups.map(\.name?.text) == ["ed25519", "ecdsa-p256", "operator"])
        #expect(extra.role(.release)?.groups[2].threshold == 1)
        #expect(
            refusal { try $0.add(curves[1].publicKey, name: "x", to: .root, group: Identifier("operator")) }?.code
                == "trust.root-invalid")
    }

    @Test("A rotated key stays in its group, and a group is never emptied")
    func rotate() throws {
        let root = try next { try $0.replace(curves[0].publicKey.id, by: curves[1].publicKey, name: "new") }
        #expect(groups(root) == [[edwards[1].publicKey.id, edwards[2].publicKey.id], [curves[1].publicKey.id]])
        #expect(root.key(curves[0].publicKey.id) == nil)
        #expect(refusal { try $0.revoke(curves[0].publicKey.id) }?.context.contains("group ecdsa-p256") == true)
    }

    @Test("Thresholds are those of groups, and a role without groups has none by name")
    func threshold() throws {
        let root = try next { try $0.setThreshold(2, of: .release, group: Identifier("ed25519")) }
        #expect(root.role(.release)?.groups.map(\.threshold) == [2, 1])
        #expect(refusal { try $0.setThreshold(1, of: .release) }?.context.contains("ed25519, ecdsa-p256") == true)
        #expect(refusal { try $0.setThreshold(1, of: .root, group: Identifier("ed25519")) } != nil)
        #expect(refusal { try $0.setThreshold(2, of: .release, group: Identifier("ecdsa-p256")) } != nil)
    }

    @Test("Groups become one list that asks for as many signatures; one algorithm alone cannot be parted")
    func any() throws {
        let root = try next { try $0.requireAny(of: .release) }
        #expect(root.role(.release)?.isGrouped == false && root.role(.release)?.threshold == 2)
        #expect(refusal { try $0.requireAny(of: .root) } != nil)
        #expect(refusal { try $0.requireEachAlgorithm(of: .root) }?.context.contains("one algorithm") == true)
        #expect(refusal { try $0.requireEachAlgorithm(of: .release) } != nil)
        #expect(refusal { try $0.requireEachAlgorithm(of: .channel) } != nil)
    }

    @Test("Changes of groups are told in lines")
    func changes() throws {
        let any = try next { try $0.requireAny(of: .release) }
        #expect(
            RootChanges(from: first, to: any).lines == [
                "release: 1 of 2 ed25519 and 1 of 1 ecdsa-p256 becomes 2 of 3"
            ])
        let two = try next { try $0.setThreshold(2, of: .release, group: Identifier("ed25519")) }
        #expect(
            RootChanges(from: first, to: two).lines == ["release: threshold of the group ed25519 1 becomes 2"])
    }

    @Test("Signatures are shown by group, and a device accepts the root when every group has enough")
    func progress() throws {
        var draft = RootDraft(from: first, created: 7)
        try draft.add(curves[0].publicKey, name: "root", to: .root)
        try draft.requireEachAlgorithm(of: .root)
        let root = try draft.root()
        var document = RootSignatures(draft: root)
        try document.sign(with: edwards[0], former: nil)
        #expect(
            document.progress(for: root).lines == [
                "root keys of version 1: 1 of 1 needed signatures in the group ed25519",
                "root keys of version 1: 0 of 1 needed signatures in the group ecdsa-p256",
            ])
        #expect(!document.progress(for: root).isMet)
        #expect(throws: TrustError.self) { try TrustStore(rootFile: document.bytes) }
        try document.sign(with: curves[0], former: nil)
        #expect(document.progress(for: root).isMet)
        #expect(try TrustStore(rootFile: document.bytes).root == root)
    }
}
