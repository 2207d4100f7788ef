internal import BundleFormat
internal import DeviceTwin
internal import Messaging
internal import Platform

/// `[azure]` in `device.ini`: the hub that `kedged run --agent iothub` talks to, and who we are there.
struct HubConfiguration: Equatable, Sendable {
    /// Who we are, as the file has it.
    enum Identity: Equatable, Sendable {
        /// A 0600 file with a connection string.
        case connectionString(file: String)
        case named(HubIdentity, keyFile: String?)
        /// A provisioning service names hub and device.
        case provisioned(ProvisioningConfiguration)
    }
    var identity: Identity
    /// Another host to connect to: an edge hub.
    var gateway: String?
    var port: UInt16
    var authorities: String?
    var certificate: String?
    var key: String?
    var keySecretFile: String?
    var tokenSeconds: UInt64
    var keepAliveSeconds: UInt16
    /// DTDL model to announce.
    var model: String?
    /// Root-key package of Azure Device Update, as a file.
    var rootKeys: String?
    /// File for how the connection goes; in memory, since it changes with the line.
    var status: String

    static let section = "azure"
    /// The least that a token may live: a hub's clock may be some minutes off.
    private static let tokenRange: ClosedRange<UInt64> = 10...31_536_000
    /// IoT Hub waits one and a half times this and no more than 1767 s.
    private static let keepAliveRange: ClosedRange<UInt64> = 5...1177

    /// Nil when there is no such section. Files are not looked at yet.
    init?(_ reader: inout ConfigurationReader) throws(ServiceError) {
        if !reader.sectionNames.contains(Self.section) { return nil }
        func optional(_ key: String) throws(ServiceError) -> String? {
            guard let value = reader.optional(Self.section, key) else { return nil }
            if value.isEmpty { throw reader.problem("[azure] \(key) is empty") }
            return value
        }
        certificate = try optional("certificate")
        key = try optional("key")
        keySecretFile = try optional("key-secret")
        if (certificate == nil) != (key == nil) {
            throw reader.problem("[azure] needs certificate and key, or neither")
        }
        let keyFile = try optional("access-key")
        if let service = try ProvisioningConfiguration(&reader, hasCertificate: certificate != nil) {
            if keyFile != nil { throw reader.problem("[azure] has dps-scope and access-key") }
            for name in ["host", "device", "module", "connection-string"]
            where reader.optional(Self.section, name) != nil {
                throw reader.problem("[azure] has dps-scope and \(name)")
            }
            identity = .provisioned(service)
        } else if let file = try optional("connection-string") {
            for name in ["host", "device", "module"] where reader.optional(Self.section, name) != nil {
                throw reader.problem("[azure] has connection-string and \(name)")
            }
            if keyFile != nil { throw reader.problem("[azure] has connection-string and access-key") }
            identity = .connectionString(file: file)
        } else {
            let host = try reader.required(Self.section, "host")
            let device = try reader.required(Self.section, "device")
            let named = HubIdentity(hub: host, device: device, module: try optional("module"))
            for part in [named.hub, named.device, named.module ?? "x"] where !HubIdentity.isName(part) {
                throw reader.problem("[azure] \(part) cannot be the name of a host, device or module")
            }
            if (keyFile == nil) == (certificate == nil) {
                throw reader.problem("[azure] needs connection-string, access-key, or certificate and key")
            }
            identity = .named(named, keyFile: keyFile)
        }
        gateway = try optional("gateway")
        port = UInt16(try reader.number(Self.section, "port", 1...65535, default: 8883))
        authorities = try optional("ca")
        tokenSeconds = try reader.number(Self.section, "token-seconds", Self.tokenRange, default: 3600)
        keepAliveSeconds = UInt16(try reader.number(Self.section, "keep-alive", Self.keepAliveRange, default: 120))
        model = try optional("model-id")
        rootKeys = try optional("root-keys")
        status = try optional("status") ?? "/run/kedge/hub.json"
    }

    /// The passphrase or PIN of the own key, if it has one.
    func keySecret() throws(ServiceError) -> String? {
        try keySecretFile.map { (path) throws(ServiceError) in try SecretFiles.secret(path) }
    }

    /// Whether a key says who we are at the hub, and not a certificate.
    var hasKey: Bool { certificate == nil }
}

/// The configuration with its secrets: all that a connection needs.
struct HubAccess: Sendable {
    let identity: HubIdentity
    /// Nil where a certificate says who we are.
    let key: [UInt8]?
    private let configuration: HubConfiguration
    private let gateway: String?
    private let keySecret: String?

    /// Reads the files with secrets; nil when a provisioning service has to be asked first.
    init?(_ configuration: HubConfiguration, assignment: Assignment?) throws(ServiceError) {
        self.configuration = configuration
        keySecret = try configuration.keySecret()
        switch configuration.identity {
        case .provisioned(let service):
            key = try service.key()
            guard let assignment else { return nil }
            identity = HubIdentity(hub: assignment.hub, device: assignment.device)
            gateway = configuration.gateway
        case .named(let identity, let keyFile):
            self.identity = identity
            key = try keyFile.map { (path) throws(ServiceError) in
                try Self.key(try SecretFiles.secret(path), path)
            }
            gateway = configuration.gateway
        case .connectionString(let path):
            let parts = try ConnectionString(try SecretFiles.secret(path), path)
            identity = parts.identity
            key = try parts.key.map { (text) throws(ServiceError) in try Self.key(text, path) }
            gateway = configuration.gateway ?? parts.gateway
            if (key == nil) == (configuration.certificate == nil) {
                throw .secret(path: path, why: "it needs SharedAccessKey, or [azure] certificate and key, and not both")
            }
        }
    }

    private static func key(_ text: String, _ path: String) throws(ServiceError) -> [UInt8] {
        guard let key = Base64.decode(text), !key.isEmpty else {
            throw .secret(path: path, why: "the key is no base64")
        }
        return key
    }

    /// Where to connect.
    var host: String { gateway ?? identity.hub }
    var port: UInt16 { configuration.port }

    /// For a look at the way to the hub: without any secret, so the hub refuses it.
    var anonymousSettings: MQTTClient.Settings {
        MQTTClient.Settings(
            host: host, port: configuration.port, clientIdentifier: identity.clientIdentifier,
            user: identity.user(agent: "kedged-doctor/" + KedgeVersion.text, model: nil),
            authorities: configuration.authorities)
    }

    /// For one connection, with a token that is made at `now` (seconds since 1970).
    func settings(now: Int64) -> MQTTClient.Settings {
        let token = key.map {
            SharedAccessSignature.token(
                resource: identity.resource, key: $0, expiry: now + Int64(configuration.tokenSeconds))
        }
        return MQTTClient.Settings(
            host: host, port: configuration.port, clientIdentifier: identity.clientIdentifier,
            user: identity.user(agent: "kedged/" + KedgeVersion.text, model: configuration.model), password: token,
            authorities: configuration.authorities, certificate: configuration.certificate, key: configuration.key,
            keySecret: keySecret, keepAliveSeconds: configuration.keepAliveSeconds)
    }
}

/// `HostName=…;DeviceId=…;ModuleId=…;SharedAccessKey=…;GatewayHostName=…`
struct ConnectionString: Equatable, Sendable {
    let identity: HubIdentity
    let key: String?
    let gateway: String?

    /// Nothing of the text reaches an error.
    init(_ text: String, _ path: String) throws(ServiceError) {
        var parts: [String: String] = [:]
        for part in text.utf8.split(separator: 0x3b) {
            guard let mark = part.firstIndex(of: 0x3d) else {
                throw .secret(path: path, why: "a part of the connection string has no =")
            }
            let name = String(decoding: Array(part[..<mark]), as: UTF8.self)
            let value = String(decoding: Array(part[part.index(after: mark)...]), as: UTF8.self)
            guard ["HostName", "DeviceId", "ModuleId", "SharedAccessKey", "GatewayHostName", "x509"].contains(name),
                !value.isEmpty, parts[name] == nil
            else {
                throw .secret(
                    path: path,
                    why: "the connection string must be that of a device or module, with each part once")
            }
            parts[name] = value
        }
        guard let host = parts["HostName"], let device = parts["DeviceId"], HubIdentity.isName(host),
            HubIdentity.isName(device), HubIdentity.isName(parts["ModuleId"] ?? "x")
        else { throw .secret(path: path, why: "the connection string needs HostName and DeviceId") }
        identity = HubIdentity(hub: host, device: device, module: parts["ModuleId"])
        key = parts["SharedAccessKey"]
        gateway = parts["GatewayHostName"]
    }
}
