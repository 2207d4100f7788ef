import BundleFormat
import Signing
import Testing
import Trust

@Suite("Drafts of trust roots")
struct RootDraftTests {
    private let keys: [SigningKey]
    private let first: TrustRoot

    init() throws {
        keys = try (0..<5).map { _ in try SigningKey.generate() }
        var draft = RootDraft(environment: .prod, created: 7, rootThreshold: 2, releaseThreshold: 1)
        for index in 0..<3 { try draft.add(keys[index].publicKey, name: "root \(index)", to: .root) }
        try draft.add(keys[3].publicKey, name: "release", to: .release)
        first = try draft.root()
    }

    private func id(_ index: Int) -> Digest { keys[index].publicKey.id }

    private func next(_ body: (inout RootDraft) throws -> Void) throws -> TrustRoot {
        var draft = RootDraft(from: first, version: 2, created: 8)
        try body(&draft)
        return try draft.root()
    }

    private func code(_ body: (inout RootDraft) throws -> Void) -> String? {
        let error = #expect(throws: SigningError.self) { _ = try next(body) }
        return error?.code
    }

    @Test("A new key takes every place of the old one, and the thresholds stay")
    func rotate() throws {
        let root = try next {
            try $0.add(keys[0].publicKey, name: "root 0", to: .release)
            try $0.replace(id(0), by: keys[4].publicKey, name: "new")
        }
        #expect(root.version == 2)
        #expect(root.role(.root)?.keys == [id(4), id(1), id(2)])
        #expect(root.role(.root)?.threshold == 2)
        #expect(root.role(.release)?.keys == [id(3), id(4)])
        #expect(root.key(id(0)) == nil && root.key(id(4))?.name == "new")
    }

    @Test("A revoked key leaves its roles; the threshold must still be met by others")
    func revoke() throws {
        let root = try next { try $0.revoke(id(2)) }
        #expect(root.role(.root)?.keys == [id(0), id(1)])
        #expect(root.revoked == [id(2)])
        #expect(
            code {
                try $0.revoke(id(2))
                try $0.revoke(id(1))
            } == "trust.root-invalid")
    }

    @Test("A key that is removed from one role keeps the other, and an empty optional role is nobody's")
    func remove() throws {
        let root = try next {
            try $0.add(keys[0].publicKey, name: "x", to: .channel)
            try $0.remove(id(0), from: .channel)
        }
        #expect(root.role(.channel) == nil && root.role(.root)?.keys.count == 3)
        #expect(code { try $0.remove(id(3)) } == "trust.root-invalid")
        #expect(code { try $0.remove(id(4)) } == "trust.root-invalid")
    }

    @Test("The floor rises and never falls, and a release is denied once")
    func floor() throws {
        let digest = SHA256.digest(of: [1])
        let root = try next {
            try $0.setFloor(4)
            $0.deny(digest)
            $0.deny(digest)
        }
        #expect(root.floor == 4 && root.deniedReleases == [digest])
        #expect(
            code {
                try $0.setFloor(4)
                try $0.setFloor(3)
            } == "trust.root-loosens")
    }

    @Test("Several people sign after each other until both thresholds are met, and a device then accepts it")
    func sign() throws {
        var one = RootSignatures(draft: first)
        #expect(one.isUnsigned)
        try one.sign(with: keys[0], former: nil)
        try one.sign(with: keys[0], former: nil)
        let progress = one.progress(for: first)
        #expect(progress.version == 1 && !progress.isMet)
        #expect(progress.lines == ["root keys of version 1: 1 of 2 needed signatures"])
        try one.sign(with: keys[1], former: nil)
        let store = try TrustStore(rootFile: one.bytes)

        let root = try next { try $0.replace(id(0), by: keys[4].publicKey, name: "new") }
        var two = try RootSignatures(inspecting: RootSignatures(draft: root).bytes)
        for (index, old, own) in [(0, 1, 0), (4, 1, 1), (1, 2, 2)] {
            #expect(throws: TrustError.self) { try store.succeeded(by: two.bytes) }
            try two.sign(with: keys[index], former: first)
            #expect(two.progress(for: first).parts.map(\.present) == [old])
            #expect(two.progress(for: root).parts.map(\.present) == [own])
        }
        #expect(two.progress(for: first).isMet && two.progress(for: root).isMet)
        #expect(try store.succeeded(by: two.bytes).root == root)
    }

    @Test("A key that cannot count is refused")
    func useless() throws {
        var document = RootSignatures(draft: first)
        let error = #expect(throws: SigningError.self) { try document.sign(with: keys[3], former: nil) }
        #expect(error?.code == "trust.unknown-key")
        #expect(document.isUnsigned)
    }

    @Test("Every change is told in a line")
    func changes() throws {
        let root = try next {
            try $0.replace(id(0), by: keys[4].publicKey, name: "new")
            try $0.revoke(id(0))
            try $0.setThreshold(1, of: .root)
            try $0.setFloor(9)
            $0.deny(id(1))
        }
        let changes = RootChanges(from: first, to: root)
        #expect(changes.from == 1 && changes.to == 2)
        #expect(
            changes.lines == [
                "root: adds key \(id(4).hex) (new)", "root: removes key \(id(0).hex) (root 0)",
                "root: threshold 2 becomes 1", "revokes key \(id(0).hex)", "denies release \(id(1).hex)",
                "floor 0 becomes 9",
            ])
        #expect(RootChanges(from: first, to: first).lines.isEmpty)
    }
}
