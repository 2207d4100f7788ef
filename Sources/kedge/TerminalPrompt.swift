internal import Glibc
internal import Platform
internal import Signing

/// Asks on the terminal of the process, whatever standard input is, and shows nothing of the answer.
enum TerminalPrompt {
    /// `otherwise` names what could have given the answer, for the message when there is no terminal.
    static func ask(_ question: String, path: String, otherwise: String) throws(SigningError) -> [UInt8] {
        let terminal = try open(path, otherwise)
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

    private static func open(_ path: String, _ otherwise: String) throws(SigningError) -> Descriptor {
        do throws(SystemError) {
            return try Descriptor(open: "/dev/tty", [.read, .write])
        } catch {
            throw .passphrase(
                path: path, why: "it is locked, and there is no \(otherwise) or terminal")
        }
    }

    private static func cannotHide(_ path: String) -> SigningError {
        .passphrase(path: path, why: "the terminal cannot hide what is typed")
    }
}
