internal import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
internal import StrictJSON
internal import Trust

/// The root before another one.
struct FormerRootOptions: ParsableArguments {
    @Option(help: "The former root; otherwise root.(N-1).json beside it.", completion: .file(extensions: ["json"]))
    var former: String?

    /// The former root of a root at `path`; nil for version 1, and where none was named and none is there.
    func load(for root: TrustRoot, at path: String) throws -> TrustRoot? {
        if let former { return try TrustStore.load(path: former).root }
        if root.version == 1 { return nil }
        let beside = TrustDraftOptions.neighbor(of: path, version: root.version - 1)
        return try FileSystem.kind(of: beside) == nil ? nil : TrustStore.load(path: beside).root
    }
}

/// `kedge trust sign`.
struct TrustSignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign",
        abstract: "Add signatures to a trust root.",
        discussion: """
            Several people can sign one after each other. Print what changes with kedge trust verify first. A new root \
            needs the threshold of the former root's root keys and of its own; a key that is in both counts for both.
            """)

    @Argument(help: "The draft, root.N.json; it is changed in place.", completion: .file(extensions: ["json"]))
    var root: String
    @OptionGroup var keys: SigningKeyOptions
    @OptionGroup var former: FormerRootOptions

    func validate() throws {
        if keys.key.isEmpty { throw ValidationError("Missing expected argument '--key <file>'") }
    }

    func run() throws {
        var document = try TrustDraftOptions.read(root)
        let before = try former.load(for: document.root, at: root)
        try before.map { try document.root.checkSucceeds($0) }
        let signers = try keys.load()
        for signer in signers { try document.sign(with: signer, former: before) }
        try TrustDraftOptions.write(document, to: root)
        for signer in signers { StandardStream.output.line("\(root)  signed by \(signer.publicKey.id.hex)") }
        for judge in [before, document.root].compactMap({ $0 }) {
            for line in document.progress(for: judge).lines { StandardStream.output.line(line) }
        }
        if before == nil, document.root.version > 1 {
            StandardStream.output.line("root keys of version \(document.root.version - 1): not known, see --former")
        }
    }
}

/// `kedge trust verify`.
struct TrustVerifyCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check a trust root against the former one as a device does, and print what changes.",
        discussion:
            "The changes are printed also when signatures are missing yet. Exit status 4 when devices refuse it.")

    @Argument(help: "The former root, root.N.json.", completion: .file(extensions: ["json"]))
    var old: String
    @Argument(help: "The new root, root.(N+1).json.", completion: .file(extensions: ["json"]))
    var new: String
    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let former = try TrustStore.load(path: old)
        let document = try TrustDraftOptions.read(new)
        let changes = RootChanges(from: former.root, to: document.root)
        if !json {
            StandardStream.output.line("version \(changes.from) to \(changes.to)")
            for line in changes.lines { StandardStream.output.line("  " + line) }
        }
        _ = try former.succeeded(by: document.bytes)
        StandardStream.output.line(json ? changes.json.prettyText : "devices accept it")
    }
}

/// `kedge trust show`.
struct TrustShowCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print a trust root and who has signed it.")

    @Argument(help: "The trust root.", completion: .file(extensions: ["json"]))
    var root: String
    @Flag(help: "Print the root document as JSON.")
    var json = false
    @OptionGroup var former: FormerRootOptions

    func run() throws {
        let document = try TrustDraftOptions.read(root)
        if json { return StandardStream.output.line(document.root.json.prettyText) }
        let shown = document.root
        StandardStream.output.line("version \(shown.version)  \(shown.environment.rawValue)  floor \(shown.floor)")
        for role in shown.roles {
            for (index, group) in role.groups.enumerated() {
                let name = group.name.map { ", group \($0)" } ?? ""
                StandardStream.output.line(
                    "\(index == 0 ? "" : "and ")\(role.role.rawValue)\(name)  \(group.threshold) of \(group.keys.count)"
                )
                for id in group.keys {
                    let key = shown.key(id)
                    StandardStream.output.line(
                        "  \(id.hex)  \(key?.name ?? "")  \(key?.publicKey.algorithm.name ?? "")")
                }
            }
        }
        for id in shown.revoked { StandardStream.output.line("revoked  \(id.hex)") }
        for digest in shown.deniedReleases { StandardStream.output.line("denied  \(digest.hex)") }
        for judge in [try former.load(for: shown, at: root), shown].compactMap({ $0 }) {
            for line in document.progress(for: judge).lines { StandardStream.output.line("signed: " + line) }
        }
    }
}
