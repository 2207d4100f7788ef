public import Platform

/// Why a deployment of Azure Device Update is refused before the engine hears of it.
public enum DeviceUpdateError: StableError, Equatable, Sendable {
    /// The root-key package is not signed by the roots that this device knows, or is older than the one it has.
    case rootKeys(String)
    /// The manifest's signature, or the chain behind it, does not hold.
    case signature(String)
    /// The signed document is not one that this device can carry out.
    case manifest(String)
    /// The desired section is not what the service writes.
    case service(String)

    public var code: String {
        switch self {
        case .rootKeys: "device-update.root-keys"
        case .signature: "device-update.signature"
        case .manifest: "device-update.manifest"
        case .service: "device-update.service"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .rootKeys, .signature: .trust
        case .manifest: .policy
        case .service: .usage
        }
    }
    public var context: String {
        switch self {
        case .rootKeys(let why), .signature(let why), .manifest(let why), .service(let why): why
        }
    }
    public var remedy: String {
        switch self {
        case .rootKeys: "Deploy again; if it persists, install a release with the service's present root keys"
        case .signature: "Deploy again from the service; do not trust who wrote this section"
        case .manifest: "Import the bundle with the manifest that kedge export adu writes"
        case .service: "Deploy again from the service"
        }
    }

    /// A result code extension (ERC): facility 3 (content handler), a component of Kedge's own, the exit status class.
    static func extended(_ category: ErrorCategory) -> String {
        let value = 0x3ed0_0000 | UInt32(category.rawValue)
        var out = ""
        for shift in [24, 16, 8, 0] { out += Hex.digits(of: UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
        return out
    }
}
