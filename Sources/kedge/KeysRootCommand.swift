internal import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
internal import Trust

/// `kedge keys root`.
struct KeysRootCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "root",
        abstract: "Make a trust root from the keys of several people.",
        discussion: """
            --root and --release take public halves (NAME.key.pub), --key the private root keys that sign. The result \
            must meet its own threshold of root signatures. Nothing that exists is overwritten.
            """)

    @Option(name: .shortAndLong, help: "Where to write the trust root.", completion: .file())
    var output: String
    @Option(name: .customLong("root"), help: ArgumentHelp("A root key's public half; repeatable.", valueName: "file"))
    var rootKeys: [String]
    @Option(
        name: .customLong("release"), help: ArgumentHelp("A release key's public half; repeatable.", valueName: "file"))
    var releaseKeys: [String]
    @Option(help: "How many root keys must sign a trust root.")
    var rootThreshold = 1
    @Option(help: "How many release keys must sign a release.")
    var releaseThreshold = 1
    @Option(help: "Whom the trust root is for: prod (devices in the field) or dev.")
    var environment: TrustRoot.Environment = .prod
    @OptionGroup var keys: SigningKeyOptions

    func run() throws {
        if try FileSystem.kind(of: output) != nil { throw SigningError.exists(path: output) }
        let load = { (paths: [String]) in try paths.map { (key: try PublicKey.load(path: $0), name: Self.name($0)) } }
        let bytes = try RootDocument.make(
            environment: environment, created: SystemTime().realSeconds(), rootKeys: try load(rootKeys),
            rootThreshold: rootThreshold, releaseKeys: try load(releaseKeys), releaseThreshold: releaseThreshold,
            signedBy: try keys.load())
        try FileSystem.replace(output, with: bytes)
        StandardStream.output.line("\(output)  for devices")
    }

    /// The file's name without its directory and endings: a name for people.
    private static func name(_ path: String) -> String {
        let file = path.split(separator: "/").last.map { String($0) } ?? path
        return String(file.split(separator: ".").first ?? "key")
    }
}
