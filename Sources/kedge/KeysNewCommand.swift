public import ArgumentParser
public import BundleFormat
internal import Platform
internal import Signing
public import Trust

/// Whose keys to make.
enum KeyRole: String, ExpressibleByArgument, CaseIterable {
    case root, release, both
}

extension TrustRoot.Environment: ExpressibleByArgument {}

extension SignatureAlgorithm: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }
    public var defaultValueDescription: String { name }
    public static var allValueStrings: [String] { allCases.map(\.name) }
}

/// `kedge keys new`.
struct KeysNewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new",
        abstract: "Make keys, and the trust root of a first release.",
        discussion: """
            Writes root.key, release.key, their public halves (root.key.pub, release.key.pub) and root.json, which \
            goes to every device. With --role root or --role release only that key is made; kedge keys root then \
            makes root.json from the public halves of several people. Nothing that exists is overwritten.
            """)

    @Argument(help: "The directory for the keys; made when it is not there.", completion: .directory)
    var directory: String
    @Option(help: "Which keys to make: root, release or both.")
    var role: KeyRole = .both
    @Option(help: "What the keys sign with; ecdsa-p256 is for where Ed25519 is not allowed, ml-dsa needs OpenSSL 3.5.")
    var algorithm: SignatureAlgorithm = .ed25519
    @Option(help: "Whom the trust root is for: prod (devices in the field) or dev.")
    var environment: TrustRoot.Environment = .prod
    @Flag(help: "Encrypt the private keys with a passphrase.")
    var encrypt = false
    @OptionGroup var passphrases: PassphraseOptions

    func validate() throws {
        if passphrases.passphraseFile != nil && !encrypt {
            throw ValidationError("--passphrase-file needs --encrypt here.")
        }
    }

    func run() throws {
        let names = role == .both ? ["root", "release"] : [role.rawValue]
        let paths = names.map { "\(directory)/\($0).key" }
        let document = "\(directory)/root.json"
        // All at once, so that a name that is taken leaves no half set behind.
        for path in paths.flatMap({ [$0, $0 + ".pub"] }) + (role == .both ? [document] : [])
        where try FileSystem.kind(of: path) != nil {
            throw SigningError.exists(path: path)
        }
        let passphrase = encrypt ? try passphrases.newPassphrase(for: paths[0]) : nil
        try FileSystem.makeDirectories(directory, mode: 0o700)
        var keys: [SigningKey] = []
        for path in paths {
            let key = try SigningKey.generate(algorithm)
            try key.write(to: path, passphrase: passphrase)
            StandardStream.output.line("\(path)  \(key.publicKey.id.hex)")
            keys.append(key)
        }
        guard role == .both else { return }
        let bytes = try RootDocument.make(
            environment: environment, created: SystemTime().realSeconds(),
            rootKeys: [(key: keys[0].publicKey, name: "root")], rootThreshold: 1,
            releaseKeys: [(key: keys[1].publicKey, name: "release")], releaseThreshold: 1, signedBy: [keys[0]])
        try FileSystem.replace(document, with: bytes)
        StandardStream.output.line("\(document)  for devices")
    }
}
