internal import Platform
internal import StrictJSON

/// Who an identity is: a device, or a module on one.
struct HubIdentityName: Hashable, Comparable, Sendable {
    let device: String
    let module: String?

    /// The client id: `device` or `device/module`.
    var text: String { module.map { "\(device)/\($0)" } ?? device }

    init(device: String, module: String? = nil) {
        self.device = device
        self.module = module
    }

    /// From a client id; nil for one that no identity can have.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { String($0) }
        guard parts.count <= 2, parts.allSatisfy({ Self.isValid($0) }) else { return nil }
        self.init(device: parts[0], module: parts.count > 1 ? parts[1] : nil)
    }

    /// Up to 128 characters of letters, digits and `-:.+%_#*?!(),=@;$'`, as the registry asks for.
    static func isValid(_ id: String) -> Bool {
        let others = Array("-:.+%_#*?!(),=@;$'".utf8)
        let bytes = id.utf8
        return !bytes.isEmpty && bytes.count <= 128
            && bytes.allSatisfy {
                switch $0 {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
                default: others.contains($0)
                }
            }
    }

    static func < (left: Self, right: Self) -> Bool { left.text < right.text }
}

/// How an identity proves who it is.
enum HubCredential: Equatable, Sendable {
    /// Two keys, so that one can be renewed while the other is in use.
    case keys(primary: [UInt8], secondary: [UInt8])
    /// SHA-1 or SHA-256 of its certificate in lower-case hexadecimal.
    case thumbprints(primary: String, secondary: String)
    /// Any certificate that the hub's authorities signed for its device id.
    case authority

    /// As the registry names it.
    var kind: String {
        switch self {
        case .keys: "sas"
        case .thumbprints: "selfSigned"
        case .authority: "certificateAuthority"
        }
    }
}

/// The certificate that a client showed in the TLS handshake.
public struct PeerCertificate: Equatable, Sendable {
    public let commonName: String
    /// Lower-case hexadecimal.
    public let sha1: String
    public let sha256: String
    /// Whether one of the authorities that the server was started with signed it.
    public let isTrusted: Bool

    public init(commonName: String, sha1: String, sha256: String, isTrusted: Bool) {
        self.commonName = commonName
        self.sha1 = sha1
        self.sha256 = sha256
        self.isTrusted = isTrusted
    }
}

/// One entry of the registry with its twin.
struct HubIdentity: Equatable, Sendable {
    let name: HubIdentityName
    var credential: HubCredential
    var isEnabled = true
    /// Differs for each identity that ever had this name.
    var generation: String
    /// Rises with each change of the registry's part.
    var revision: Int64 = 1
    var twin = HubTwin()
    /// The model that the client announced (IoT Plug and Play).
    var modelID = ""
    /// Seconds since 1970; 0: never.
    var lastActivity: Int64 = 0
    /// How often a second client with this identity took the connection over.
    var takeovers: Int64 = 0
    /// Messages of the device to the cloud.
    var telemetryCount: Int64 = 0
}

/// A twin as the hub keeps it: `$version` and `$metadata` are no part of its sections.
struct HubTwin: Equatable, Sendable {
    var tags: JSONValue = .emptyObject
    var desired: JSONValue = .emptyObject
    var desiredVersion: Int64 = 1
    var reported: JSONValue = .emptyObject
    var reportedVersion: Int64 = 1
    /// Rises with each change of any section: what an ETag of the twin is made of.
    var revision: Int64 = 1
    /// Automatic configurations that target this twin, by id: whether all of its content is applied.
    var configurations: [String: Bool] = [:]
    var desiredUpdated: Int64 = 0
    var reportedUpdated: Int64 = 0

    var desiredWithVersion: JSONValue { desired.setting("$version", .integer(desiredVersion)) }
    var reportedWithVersion: JSONValue { reported.setting("$version", .integer(reportedVersion)) }
}
