internal import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
internal import Trust

/// `kedge sign`.
struct SignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign",
        abstract: "Add signatures to a bundle, with keys here or in a room without network.",
        discussion: """
            With --key the bundle is signed here. Several people can sign one bundle after each other. A signature \
            that the same key made before is replaced. The bundle is replaced as a whole, or written to OUTPUT.

            With keys that never meet the network:
              kedge sign release.kedge --payload-out release.payload
              kedge sign --payload release.payload --key anna.key --signature-out anna.sig
              kedge sign release.kedge --add anna.sig --add ben.sig --root root.json
            The first two print what is signed and its SHA-256: compare both. A signature that openssl made over the \
            payload can be added too.
            """)

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String?
    @OptionGroup var keys: SigningKeyOptions
    @Option(name: .shortAndLong, help: "Where to write the signed bundle, instead of in place.", completion: .file())
    var output: String?
    @Option(help: "Write the bytes to be signed to this file, and sign nothing.", completion: .file())
    var payloadOut: String?
    @Option(help: "Sign this file of --payload-out instead of a bundle.", completion: .file())
    var payload: String?
    @Option(help: "Where to write the signature over --payload.", completion: .file())
    var signatureOut: String?
    @Option(
        help: ArgumentHelp("A signature made elsewhere, to be added; repeatable.", valueName: "file"),
        completion: .file())
    var add: [String] = []
    @Option(
        help: ArgumentHelp("A public key that may have made --add signatures; repeatable.", valueName: "file"),
        completion: .file())
    var publicKey: [String] = []
    @Option(
        help: """
            Let another program sign: words without quoting, run without a shell. It reads the payload, finds the key's \
            id in KEDGE_KEY_ID, and prints the signature. Needs one --public-key.
            """)
    var signer: String?
    @Option(
        help: "The trust root whose release keys may have made --add signatures.",
        completion: .file(extensions: ["json"]))
    var root: String?

    func validate() throws {
        if payload != nil {
            try require(bundle == nil, "--payload takes the place of the bundle.")
            try require(keys.key.count == 1 && signatureOut != nil, "--payload needs one --key and --signature-out.")
            try require(output == nil, "--output is for bundles; --payload has --signature-out.")
        } else {
            try require(bundle != nil, "Missing expected argument '<bundle>'")
            try require(signatureOut == nil, "--signature-out needs --payload.")
        }
        let ways = [payload != nil || !keys.key.isEmpty, payloadOut != nil, !add.isEmpty, signer != nil].filter { $0 }
            .count
        try require(ways > 0, "Missing expected argument '--key <file>', '--payload-out <file>' or '--add <file>'")
        try require(ways == 1, "Only one of --key, --payload-out, --add and --signer at once.")
        try require(payloadOut == nil || output == nil, "--payload-out does not change the bundle; no --output.")
        try require(
            signer == nil || publicKey.count == 1 && root == nil && signer?.contains { $0 != " " } == true,
            "--signer needs a command and one --public-key.")
        try require(
            signer != nil || add.isEmpty == (publicKey.isEmpty && root == nil),
            "--add and --public-key or --root go together.")
    }

    private func require(_ condition: Bool, _ message: String) throws {
        if !condition { throw ValidationError(message) }
    }

    func run() throws {
        if let payload, let signatureOut {
            try signPayload(payload, to: signatureOut)
        } else if let bundle, let payloadOut {
            try create(payloadOut, SigningPayload(bundle: bundle)) { $0.bytes }
        } else if let bundle {
            let signers =
                add.isEmpty ? try signer.map { try sign(bundle, by: $0) } ?? sign(bundle) : try attach(to: bundle)
            for signer in signers { StandardStream.output.line("\(output ?? bundle)  signed by \(signer.hex)") }
        }
    }

    private func sign(_ bundle: String) throws -> [Digest] {
        let signers = try keys.load()
        try BundleSigner.sign(bundle: bundle, with: signers, output: output)
        return signers.map(\.publicKey.id)
    }

    private func sign(_ bundle: String, by command: String) throws -> [Digest] {
        guard let file = publicKey.first,
            let signer = ExternalSigner(command: command, publicKey: try PublicKey.load(path: file))
        else { throw SigningError.noKey }
        try BundleSigner.sign(bundle: bundle, with: signer, output: output)
        return [signer.publicKey.id]
    }

    private func attach(to bundle: String) throws -> [Digest] {
        var known = try publicKey.map { try PublicKey.load(path: $0) }
        if let root { known += try TrustStore.load(path: root).root.releaseKeys }
        return try BundleSigner.attach(add, to: bundle, keys: known, output: output)
    }

    private func signPayload(_ path: String, to signature: String) throws {
        let payload = try SigningPayload(reading: path)
        let signers = try keys.load()
        for key in signers {
            try create(signature, payload) { try DetachedSignature(signing: $0, with: key).bytes }
            StandardStream.output.line("\(signature)  signed by \(key.publicKey.id.hex)")
        }
    }

    /// Says what is signed and writes a file about it, which must not exist: a wrong name must not cost a key.
    private func create(
        _ path: String, _ payload: SigningPayload, _ bytes: (SigningPayload) throws -> [UInt8]
    ) throws {
        if try FileSystem.kind(of: path) != nil { throw SigningError.exists(path: path) }
        for line in payload.lines { StandardStream.output.line(line) }
        try FileSystem.replace(path, with: try bytes(payload))
    }
}
