internal import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
internal import Trust

/// `kedge sign`.
struct SignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign",
        abstract: "Add signatures to a bundle.",
        discussion: """
            Several people can sign one bundle after each other. A signature that the same key made before is \
            replaced. The bundle is replaced as a whole, or written to OUTPUT.
            """)

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String
    @OptionGroup var keys: SigningKeyOptions
    @Option(name: .shortAndLong, help: "Where to write the signed bundle, instead of in place.", completion: .file())
    var output: String?

    func validate() throws {
        if keys.key.isEmpty { throw ValidationError("Missing expected argument '--key <file>'") }
    }

    func run() throws {
        let signers = try keys.load()
        try BundleSigner.sign(bundle: bundle, with: signers, output: output)
        for signer in signers {
            StandardStream.output.line("\(output ?? bundle)  signed by \(signer.publicKey.id.hex)")
        }
    }
}
