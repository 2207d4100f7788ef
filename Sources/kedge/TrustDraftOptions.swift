public import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
public import Trust

extension TrustRole: ExpressibleByArgument {}

/// A trust root on disk, and where its successor goes.
struct TrustDraftOptions: ParsableArguments {
    @Argument(help: "A signed trust root, or a draft that nobody has signed.", completion: .file(extensions: ["json"]))
    var root: String
    @Option(name: .shortAndLong, help: "Where to write the draft, instead of beside.", completion: .file())
    var output: String?

    /// Makes the next draft, or changes an unsigned one; prints where it is. A draft that some have signed is
    /// refused: their signatures would be lost.
    func edit(_ body: (inout RootDraft) throws -> Void) throws {
        let present = try Self.read(root)
        let now = SystemTime().realSeconds()
        var draft = RootDraft(from: present.root, created: now)
        var target = output ?? root
        if !present.isUnsigned {
            let store = try TrustStore(rootFile: present.bytes)
            let (next, overflow) = store.root.version.addingReportingOverflow(1)
            if overflow { throw TrustError.rootInvalid("there is no version after \(store.root.version)") }
            draft = RootDraft(from: store.root, version: next, created: now)
            target = output ?? Self.neighbor(of: root, version: next)
            if try FileSystem.kind(of: target) != nil { throw SigningError.exists(path: target) }
        }
        try body(&draft)
        try Self.write(RootSignatures(draft: draft.root()), to: target)
        StandardStream.output.line("\(target)  draft of version \(draft.version); sign it with kedge trust sign")
    }

    static func read(_ path: String) throws -> RootSignatures {
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.read(path, limit: RootFile.limit)
        } catch let error where error.number == SystemError.notFound {
            throw TrustError.rootMissing(path: path)
        }
        return try RootSignatures(inspecting: bytes)
    }

    static func write(_ root: RootSignatures, to path: String) throws {
        try FileSystem.replace(path, with: root.bytes)
    }

    /// `root.N.json` in the same directory.
    static func neighbor(of path: String, version: UInt32) -> String {
        path.contains("/")
            ? FileSystem.parent(of: path) + "/root.\(version).json" : "root.\(version).json"
    }

    /// The file's name without its directory and endings: a name for people.
    static func name(_ path: String) -> String {
        let file = path.split(separator: "/").last.map { String($0) } ?? path
        return String(file.split(separator: ".").first ?? "key")
    }

    /// A key id, or the id of a public key file.
    static func keyID(_ text: String) throws -> Digest {
        if let id = Digest(hex: text) { return id }
        return try PublicKey.load(path: text).id
    }
}
