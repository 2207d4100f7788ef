internal import ArgumentParser
internal import Platform
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

    /// The passphrase if a file or the environment gives one.
    func given() throws -> [UInt8]? {
        if let passphraseFile {
            let bytes = try FileSystem.read(passphraseFile, limit: 4096)
            var line = Array(bytes.prefix { $0 != 0x0a })
            if line.last == 0x0d { line.removeLast() }
            if line.isEmpty { throw SigningError.passphrase(path: passphraseFile, why: "its first line is empty") }
            return line
        }
        guard let text = ProcessInformation.environment("KEDGE_PASSPHRASE"), !text.isEmpty else { return nil }
        return Array(text.utf8)
    }

    /// The passphrase of an encrypted key, from wherever it can be had.
    func passphrase(of path: String) throws(SigningError) -> [UInt8] {
        do {
            if let bytes = try given() { return bytes }
        } catch let error as SigningError {
            throw error
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            throw .passphrase(path: path, why: "\(error)")
        }
        return try TerminalPrompt.ask("Passphrase of \(path): ", path: path)
    }

    /// A new passphrase, typed twice.
    func newPassphrase(for path: String) throws -> [UInt8] {
        if let bytes = try given() { return bytes }
        let first = try TerminalPrompt.ask("New passphrase: ", path: path)
        if try TerminalPrompt.ask("Again: ", path: path) != first {
            throw SigningError.passphrase(path: path, why: "the two are not the same")
        }
        return first
    }
}
