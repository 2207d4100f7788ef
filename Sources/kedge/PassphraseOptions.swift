internal import ArgumentParser
internal import Signing

/// Where a passphrase comes from: a file, the environment or the terminal. Never an argument, which every user of
/// the machine could read.
struct PassphraseOptions: ParsableArguments {
    @Option(
        help: """
            A file whose first line is the passphrase of the keys. Without it KEDGE_PASSPHRASE is taken, or the \
            passphrase is asked for on the terminal.
            """,
        completion: .file())
    var passphraseFile: String?

    private var source: SecretSource {
        SecretSource(file: passphraseFile, variable: "KEDGE_PASSPHRASE", option: "--passphrase-file")
    }

    /// The passphrase of an encrypted key, from wherever it can be had.
    func passphrase(of path: String) throws(SigningError) -> [UInt8] {
        try source.secret(of: path, question: "Passphrase of \(path): ")
    }

    /// A new passphrase, typed twice.
    func newPassphrase(for path: String) throws -> [UInt8] {
        if let bytes = try source.given() { return bytes }
        let first = try source.secret(of: path, question: "New passphrase: ")
        if try source.secret(of: path, question: "Again: ") != first {
            throw SigningError.passphrase(path: path, why: "the two are not the same")
        }
        return first
    }
}
