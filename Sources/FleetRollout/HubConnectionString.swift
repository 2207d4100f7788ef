internal import BundleFormat
internal import Platform

/// `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`: what opens a hub's service API. It holds a secret, so it
/// describes itself without it and no error repeats its text.
public struct HubConnectionString: Sendable, CustomStringConvertible {
    /// The host, and the port where there is one.
    let host: String
    let policy: String
    private let key: [UInt8]

    public var description: String { "\(policy) at \(host)" }

    public init(_ text: String) throws(RolloutError) {
        var fields: [String: String] = [:]
        for part in text.split(separator: ";") {
            let halves = part.split(separator: "=", maxSplits: 1)
            guard halves.count == 2 else { throw .connectionString(why: "a part has no '='") }
            guard fields.updateValue(String(halves[1]), forKey: String(halves[0])) == nil else {
                throw .connectionString(why: "a part is there twice")
            }
        }
        guard let host = fields["HostName"], let policy = fields["SharedAccessKeyName"],
            let encoded = fields["SharedAccessKey"]
        else {
            let isDevice = fields["DeviceId"] != nil
            throw .connectionString(
                why: isDevice
                    ? "it is that of a device, not of a service policy"
                    : "HostName, SharedAccessKeyName and SharedAccessKey are needed")
        }
        let isHost = host.utf8.allSatisfy {
            (0x61...0x7a).contains($0) || (0x41...0x5a).contains($0) || (0x30...0x39).contains($0)
                || [0x2e, 0x2d, 0x3a, 0x5b, 0x5d].contains($0)
        }
        guard isHost else { throw .connectionString(why: "HostName is no host name") }
        guard let key = Base64.decode(encoded), !key.isEmpty else {
            throw .connectionString(why: "SharedAccessKey is not base64")
        }
        self.host = host
        self.policy = policy
        self.key = key
    }

    /// A token for all of the service API until `expiry`, seconds since 1970.
    func token(expiry: Int64) -> String {
        let resource = PercentEncoding.encode(host)
        let code = SHA256.authenticationCode(of: "\(resource)\n\(expiry)", key: key)
        let signature = PercentEncoding.encode(Base64.encode(code))
        return "SharedAccessSignature sr=\(resource)&sig=\(signature)&se=\(expiry)&skn="
            + PercentEncoding.encode(policy)
    }
}
