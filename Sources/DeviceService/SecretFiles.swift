internal import Platform
internal import Transfer

/// Files with secrets. Nobody but their owner may read them, and nothing of them reaches a message.
enum SecretFiles {
    private static let limit = 64 * 1024

    /// The first line of a file: a passphrase or a PIN.
    static func secret(_ path: String) throws(ServiceError) -> String {
        let bytes = try read(path)
        let line = bytes.prefix { $0 != 0x0a && $0 != 0x0d }
        if line.isEmpty || line.contains(0) { throw .secret(path: path, why: "its first line holds no secret") }
        return String(decoding: line, as: UTF8.self)
    }

    /// Credentials by host: a section for each, with `user` and `password`, or `token`; `[proxy]` is the proxy's.
    static func credentials(
        _ path: String
    ) throws(ServiceError) -> (hosts: [HostCredential], proxy: HostCredential.Secret?) {
        let text = String(decoding: try read(path), as: UTF8.self)
        let document: INIDocument
        do throws(INIDocument.Problem) {
            document = try INIDocument(parsing: text)
        } catch {
            throw .secret(path: path, why: "it is not INI, or a name is there twice")
        }
        var hosts: [HostCredential] = []
        var proxy: HostCredential.Secret?
        for section in document.sections {
            let (secret, allowsPlain) = try credential(section, path)
            if section.name == "proxy" {
                guard case .basic = secret else { throw .secret(path: path, why: "[proxy] needs user and password") }
                proxy = secret
            } else {
                hosts.append(HostCredential(host: section.name, secret: secret, allowsPlain: allowsPlain))
            }
        }
        return (hosts, proxy)
    }

    private static func credential(
        _ section: INIDocument.Section, _ path: String
    ) throws(ServiceError) -> (HostCredential.Secret, Bool) {
        var user: String?
        var password: String?
        var token: String?
        var allowsPlain = false
        for entry in section.entries {
            switch entry.name {
            case "user": user = entry.value
            case "password": password = entry.value
            case "token": token = entry.value
            case "plain" where entry.value == "yes" || entry.value == "no": allowsPlain = entry.value == "yes"
            default: throw .secret(path: path, why: "[\(section.name)] \(entry.name) is not known")
            }
        }
        if let token, user == nil, password == nil, !token.isEmpty { return (.bearer(token: token), allowsPlain) }
        if let user, let password, token == nil { return (.basic(user: user, password: password), allowsPlain) }
        throw .secret(path: path, why: "[\(section.name)] needs user and password, or token")
    }

    private static func read(_ path: String) throws(ServiceError) -> [UInt8] {
        let mode: UInt32
        let bytes: [UInt8]
        do throws(SystemError) {
            // The open file's own mode, whatever the path names by the time it is read.
            let file = try Descriptor(open: path, [.read])
            mode = try file.mode()
            bytes = try file.readBytes(at: 0, count: limit)
        } catch {
            throw .secret(path: path, why: error.text)
        }
        if mode & 0o077 != 0 { throw .secret(path: path, why: "others than its owner may use it") }
        return bytes
    }
}
