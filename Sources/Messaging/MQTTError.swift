public import Platform

/// Why a connection to a hub cannot be made or ended.
public enum MQTTError: StableError, Equatable, Sendable {
    /// libmosquitto is not there.
    case library(String)
    /// Authorities, certificate or key cannot be used.
    case credentials(String)
    /// The name, the route or the line.
    case unreachable(host: String, String)
    /// The handshake: nobody vouches for the server, it has another name, or it did not take our certificate.
    case tls(host: String, String)
    /// We said good-bye.
    case closed

    public var code: String {
        switch self {
        case .library: "hub.library"
        case .credentials: "hub.credentials"
        case .unreachable: "hub.unreachable"
        case .tls: "hub.tls"
        case .closed: "hub.closed"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .library, .credentials: .configuration
        case .unreachable, .tls, .closed: .network
        }
    }
    public var context: String {
        switch self {
        case .library(let why): "libmosquitto cannot be used: \(why)"
        case .credentials(let why): "the certificate, key or authorities for the hub cannot be used: \(why)"
        case .unreachable(let host, let why): "no connection to \(host): \(why)"
        case .tls(let host, let why): "no secure connection to \(host): \(why)"
        case .closed: "the connection was closed"
        }
    }
    public var remedy: String {
        switch self {
        case .library: "Install libmosquitto1, or use kedged run --agent stdio with an agent of your own"
        case .credentials: "Correct ca, certificate, key and key-secret in [azure]"
        case .unreachable: "It is tried again; check host, port 8883 in the firewall, and name resolution"
        case .tls: "Check the clock, ca and host in [azure], and whether the hub knows this device's certificate"
        case .closed: "It is made again when it is needed"
        }
    }
}
