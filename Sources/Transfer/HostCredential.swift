/// What a device shows one host to be let in. It goes to that host only, never along with a redirect to another one,
/// and describes itself without its secret.
public struct HostCredential: Equatable, Sendable, CustomStringConvertible {
    /// The secret, by the scheme of RFC 7617 or RFC 6750.
    public enum Secret: Equatable, Sendable, CustomStringConvertible {
        case basic(user: String, password: String)
        case bearer(token: String)

        public var description: String {
            switch self {
            case .basic: "basic"
            case .bearer: "bearer"
            }
        }
    }

    /// `host` for its standard port, or `host:port`; compared without case.
    public let host: String
    public let secret: Secret
    /// Whether it may go over plain http, where everybody on the way can read it.
    public let allowsPlain: Bool

    public init(host: String, secret: Secret, allowsPlain: Bool = false) {
        self.host = host
        self.secret = secret
        self.allowsPlain = allowsPlain
    }

    public var description: String { "\(secret) for \(host)" }

    /// Whether it is meant for this address.
    func fits(_ address: HTTPAddress) -> Bool {
        if !address.isSecure && !allowsPlain { return false }
        let place = address.isStandardPort ? address.host : "\(address.host):\(address.port)"
        return lowered(Array(host.utf8)[...]) == lowered(Array(place.utf8)[...])
    }
}
