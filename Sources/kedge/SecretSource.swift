internal import Platform
internal import Signing

/// Where a secret comes from: the first line of a file, an environment variable or the terminal. Never an argument,
/// which every user of the machine could read.
struct SecretSource {
    let file: String?
    let variable: String
    /// The option that names the file, for messages.
    let option: String

    /// The secret if a file or the environment gives one.
    func given() throws(SigningError) -> [UInt8]? {
        if let file {
            let bytes: [UInt8]
            do throws(SystemError) { bytes = try FileSystem.read(file, limit: 4096) } catch { throw .system(error) }
            var line = Array(bytes.prefix { $0 != 0x0a })
            if line.last == 0x0d { line.removeLast() }
            if line.isEmpty { throw .passphrase(path: file, why: "its first line is empty") }
            return line
        }
        guard let text = ProcessInformation.environment(variable), !text.isEmpty else { return nil }
        return Array(text.utf8)
    }

    /// The secret, from wherever it can be had.
    func secret(of key: String, question: String) throws(SigningError) -> [UInt8] {
        if let bytes = try given() { return bytes }
        return try TerminalPrompt.ask(question, path: key, otherwise: "\(option), \(variable)")
    }
}
