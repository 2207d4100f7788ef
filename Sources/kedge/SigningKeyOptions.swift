internal import ArgumentParser
internal import Signing

/// Private keys named on the command line.
struct SigningKeyOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "A private key file to sign with; can be given several times.", valueName: "file"),
        completion: .file())
    var key: [String] = []

    @OptionGroup var passphrases: PassphraseOptions

    /// Loads all of them, so that a wrong passphrase shows before any work is done.
    func load() throws -> [SigningKey] {
        try key.map { path in
            try SigningKey.load(path: path) { () throws(SigningError) in try passphrases.passphrase(of: path) }
        }
    }
}
