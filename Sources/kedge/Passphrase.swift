internal import ArgumentParser
internal import Glibc
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

/// Asks on the terminal of the process, whatever standard input is, and shows nothing of the answer.
enum TerminalPrompt {
    static func ask(_ question: String, path: String) throws(SigningError) -> [UInt8] {
        let terminal = try open(path)
        var settings = termios()
        guard unsafe tcgetattr(terminal.number, &settings) == 0 else { throw cannotHide(path) }
        var hidden = settings
        hidden.c_lflag &= ~tcflag_t(ECHO)
        guard unsafe tcsetattr(terminal.number, TCSAFLUSH, &hidden) == 0 else { throw cannotHide(path) }
        StandardStream.error.write(question)
        var answer: [UInt8] = []
        var byte: UInt8 = 0
        while unsafe Glibc.read(terminal.number, &byte, 1) == 1, byte != 0x0a {
            if answer.count < 1024 { answer.append(byte) }
        }
        // There is nobody to tell when echo does not come back but the user, who sees it.
        _ = unsafe tcsetattr(terminal.number, TCSAFLUSH, &settings)
        StandardStream.error.line("")
        if answer.isEmpty { throw .passphrase(path: path, why: "nothing was typed") }
        return answer
    }

    private static func open(_ path: String) throws(SigningError) -> Descriptor {
        do throws(SystemError) {
            return try Descriptor(open: "/dev/tty", [.read, .write])
        } catch {
            throw .passphrase(
                path: path, why: "it is encrypted, and there is no --passphrase-file, KEDGE_PASSPHRASE or terminal")
        }
    }

    private static func cannotHide(_ path: String) -> SigningError {
        .passphrase(path: path, why: "the terminal cannot hide what is typed")
    }
}
