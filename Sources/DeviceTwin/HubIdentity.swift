internal import BundleFormat
internal import Platform

/// Who this device is at its hub.
public struct HubIdentity: Equatable, Sendable {
    /// The hub's own host name, which stands in user names and tokens even behind a gateway.
    public let hub: String
    public let device: String
    /// A module of the device, if it is one.
    public let module: String?

    public init(hub: String, device: String, module: String? = nil) {
        self.hub = hub
        self.device = device
        self.module = module
    }

    /// What IoT Hub allows in identities, which is more than a host name may have.
    public static func isName(_ text: String) -> Bool {
        let others = Array("-.%_#*?!(),:=@$'".utf8)
        return (1...255).contains(text.utf8.count)
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
                    || others.contains($0)
            }
    }

    /// The version of the API that the user name asks for.
    private static let version = "2021-04-12"

    /// MQTT's client identifier.
    public var clientIdentifier: String { module.map { device + "/" + $0 } ?? device }

    /// MQTT's user name; `model` is a DTDL model id to announce.
    public func user(agent: String, model: String?) -> String {
        let model = model.map { "&model-id=" + PercentEncoding.encode($0) } ?? ""
        return "\(hub)/\(clientIdentifier)/?api-version=\(Self.version)"
            + "&DeviceClientType=\(PercentEncoding.encode(agent))\(model)"
    }

    /// What a token of this identity opens.
    public var resource: String {
        let device = "\(hub)/devices/\(device)"
        return module.map { "\(device)/modules/\($0)" } ?? device
    }
}

/// Shared access signatures (Microsoft's "Control access to IoT Hub with SAS").
public enum SharedAccessSignature {
    /// A token that opens `resource` until `expiry` (seconds since 1970). `policy` names a shared access policy, such as
    /// `registration` of a provisioning service.
    public static func token(
        resource: String, key: [UInt8], expiry: Int64, policy: String? = nil
    ) -> String {
        let place = PercentEncoding.encode(resource)
        let code = PercentEncoding.encode(Base64.encode(SHA256.authenticationCode(of: "\(place)\n\(expiry)", key: key)))
        let token = "SharedAccessSignature sr=\(place)&sig=\(code)&se=\(expiry)"
        return policy.map { token + "&skn=" + $0 } ?? token
    }

    /// The key of one device in an enrollment group: that of the group over its registration id.
    public static func deviceKey(group: [UInt8], registration: String) -> [UInt8] {
        SHA256.authenticationCode(of: registration, key: group)
    }
}
