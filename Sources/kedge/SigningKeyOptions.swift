internal import ArgumentParser
internal import Signing

/// Private keys named on the command line.
struct SigningKeyOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A private key file to sign with, or the pkcs11: URI of a key that stays in its token; can be given several \
            times.
            """, valueName: "file"),
        completion: .file())
    var key: [String] = []

    @OptionGroup var passphrases: PassphraseOptions

    @Option(
        help: """
            A file whose first line is the PIN of the tokens. Without it KEDGE_PIN is taken, or the PIN is asked for \
            on the terminal.
            """,
        completion: .file())
    var pinFile: String?
    @Option(
        help: "The PKCS#11 library of the tokens; without it all that p11-kit knows are searched.",
        completion: .file())
    var pkcs11Module: String?

    /// Loads all of them, so that a wrong passphrase shows before any work is done.
    func load() throws -> [SigningKey] {
        try key.map { name in
            if name.hasPrefix("pkcs11:") {
                return try SigningKey.open(token: name, module: pkcs11Module) { () throws(SigningError) in
                    try SecretSource(file: pinFile, variable: "KEDGE_PIN", option: "--pin-file").secret(
                        of: name, question: "PIN of \(name): ")
                }
            }
            return try SigningKey.load(path: name) { () throws(SigningError) in try passphrases.passphrase(of: name) }
        }
    }
}
