import Foundation

/// The scripted server (`hostile-server.py`) in its own process.
public final class HostileServer: @unchecked Sendable {
    /// What the server saw of one request.
    public struct Seen {
        public let address: String
        public let authorization: String?
        public let ifRange: String?
        public let range: String?
        public let acceptEncoding: String?
        public let proxyAuthorization: String?
    }

    public static let isAvailable = ScriptProcess.isAvailable

    public let port: Int
    /// The port with TLS; 0 without a certificate.
    public let securePort: Int
    private let log: String
    private let process: ScriptProcess

    /// Serves a file, or the pattern of 300,000 bytes; with TLS beside it where `certificate` names a PEM file with key
    /// and certificate. `prefix` is a command that starts it.
    public init(object: String? = nil, certificate: String? = nil, prefix: [String] = []) throws {
        process = try ScriptProcess(
            "hostile-server.py",
            (object.map { ["--object", $0] } ?? []) + (certificate.map { ["--certificate", $0] } ?? []), prefix: prefix)
        let words = process.words
        guard words.count == 3, let port = Int(words[0]), let securePort = Int(words[2]) else {
            throw ScriptProcess.Failure()
        }
        self.port = port
        self.securePort = securePort
        log = words[1]
    }

    /// A URL of a scenario that no other test uses, and the key to find its requests.
    public func url(
        _ scenario: String, credentials: String = "", host: String = "127.0.0.1", isSecure: Bool = false,
        key: String = UUID().uuidString
    ) -> (text: String, key: String) {
        let place = isSecure ? "https://\(credentials)\(host):\(securePort)" : "http://\(credentials)\(host):\(port)"
        return ("\(place)/\(scenario)/\(key)", key)
    }

    /// The requests with this key, in order.
    public func requests(_ key: String) throws -> [Seen] {
        let text = try String(contentsOfFile: log, encoding: .utf8)
        return text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "\t").map(String.init)
            guard fields[0].hasSuffix(key) else { return nil }
            let values = fields.map { $0 == "-" ? nil : $0 }
            return Seen(
                address: fields[1], authorization: values[2], ifRange: values[3], range: values[4],
                acceptEncoding: values[5], proxyAuthorization: values[6])
        }
    }
}
