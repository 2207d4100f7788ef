internal import BundleFormat
internal import DeviceTwin
internal import Messaging
internal import Platform
internal import StrictJSON

/// How this device gets its hub from a Device Provisioning Service: `dps-…` in `[azure]`.
struct ProvisioningConfiguration: Equatable, Sendable {
    let scope: String
    let endpoint: String
    let registration: String
    /// 0600 file with the enrollment's key, or with the key of a group, of which the device's own is made.
    let keyFile: String?
    let isGroupKey: Bool

    static let defaultEndpoint = "global.azure-devices-provisioning.net"

    /// Nil when `[azure]` has no `dps-scope`.
    init?(_ reader: inout ConfigurationReader, hasCertificate: Bool) throws(ServiceError) {
        let section = HubConfiguration.section
        guard let scope = reader.optional(section, "dps-scope") else { return nil }
        self.scope = scope
        endpoint = reader.optional(section, "dps-endpoint") ?? Self.defaultEndpoint
        registration = try reader.required(section, "dps-registration")
        let own = reader.optional(section, "dps-key")
        let group = reader.optional(section, "dps-group-key")
        keyFile = own ?? group
        isGroupKey = group != nil
        if own != nil, group != nil { throw reader.problem("[azure] has dps-key and dps-group-key") }
        if (keyFile == nil) != hasCertificate {
            throw reader.problem("[azure] needs dps-key, dps-group-key, or certificate and key, and not both")
        }
        if !Self.isRegistration(registration) {
            throw reader.problem(
                "[azure] dps-registration = \(registration) must be up to 128 letters, digits and - . _ :, and begin and "
                    + "end with a letter or digit")
        }
        for part in [scope, endpoint] where !HubIdentity.isName(part) {
            throw reader.problem("[azure] \(part) cannot be a scope or a host")
        }
    }

    /// The service's rule for registration ids.
    static func isRegistration(_ text: String) -> Bool {
        func isPlain(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        let bytes = Array(text.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 128 else { return false }
        return isPlain(first) && isPlain(last)
            && bytes.allSatisfy { isPlain($0) || [0x2d, 0x2e, 0x3a, 0x5f].contains($0) }
    }

    /// The device's own key, for the service and for the hub; nil where a certificate says who we are.
    func key() throws(ServiceError) -> [UInt8]? {
        guard let keyFile else { return nil }
        guard let key = Base64.decode(try SecretFiles.secret(keyFile)), !key.isEmpty else {
            throw .secret(path: keyFile, why: "the key is no base64")
        }
        return isGroupKey ? SharedAccessSignature.deviceKey(group: key, registration: registration) : key
    }
}

/// Asks the provisioning service and keeps its answer.
struct HubProvisioning {
    private let configuration: HubConfiguration
    private let service: ProvisioningConfiguration
    private let time: any TimeSource
    private let place: AssignmentFile

    /// Nil when the device is not provisioned by a service.
    init?(_ configuration: HubConfiguration, data: String, time: any TimeSource) {
        guard case .provisioned(let service) = configuration.identity else { return nil }
        self.configuration = configuration
        self.service = service
        self.time = time
        place = AssignmentFile(data)
    }

    /// Registers and keeps what comes of it. Takes up to some minutes; `isStopped` ends it.
    func run(isStopped: () -> Bool = { false }) throws(Failure) -> Assignment {
        let settings: MQTTClient.Settings
        do throws(ServiceError) { settings = try self.settings() } catch { throw Failure(error) }
        let client: MQTTClient
        do throws(MQTTError) { client = try MQTTClient(settings) } catch { throw Failure(error) }
        var session = ProvisioningSession(registration: service.registration, at: time.monotonicNanoseconds())
        var events: [ProvisioningSession.Event] = []
        while !isStopped() {
            for effect in session.handle(events.isEmpty ? .tick : events.removeFirst(), at: time.monotonicNanoseconds())
            {
                switch effect {
                case .subscribe(let filter):
                    do throws(MQTTError) { try client.subscribe(filter) } catch { throw Failure(error) }
                case .publish(let topic, let payload):
                    do throws(MQTTError) {
                        try client.publish(topic, Array(payload.utf8))
                    } catch { throw Failure(error) }
                case .fail(let error): throw Failure(error)
                case .finish(let assignment):
                    client.disconnect()
                    try keep(assignment)
                    return assignment
                }
            }
            if events.isEmpty { events = client.turn(milliseconds: 100).compactMap { Self.event($0) } }
        }
        throw Failure(ProvisioningError.silent)
    }

    private static func event(_ event: MQTTClient.Event) -> ProvisioningSession.Event? {
        switch event {
        case .connected: .connected
        case .refused(let code):
            .refused(
                MQTTClient.refusesIdentity(code) ? .unauthorized : .refused(status: Int(code), "CONNACK"))
        case .lost(let error): .refused(.connection(Failure(error)))
        case .message(let topic, let payload): .message(topic: topic, payload: payload)
        case .overflow: nil
        }
    }

    private func keep(_ assignment: Assignment) throws(Failure) {
        do throws(SystemError) {
            try place.write(assignment)
        } catch {
            throw Failure(ServiceError.dataDirectory(error))
        }
    }

    private func settings() throws(ServiceError) -> MQTTClient.Settings {
        let resource = service.scope + "/registrations/" + service.registration
        let token = try service.key().map {
            SharedAccessSignature.token(
                resource: resource, key: $0, expiry: time.realSeconds() + 3600, policy: "registration")
        }
        return MQTTClient.Settings(
            host: service.endpoint, port: configuration.port, clientIdentifier: service.registration,
            user: resource + "/api-version=2019-03-31&ClientVersion=kedged%2F" + KedgeVersion.text, password: token,
            authorities: configuration.authorities, certificate: configuration.certificate, key: configuration.key,
            keySecret: try configuration.keySecret(), keepAliveSeconds: configuration.keepAliveSeconds)
    }
}

/// The assigned hub and device id, in a file of the data directory (0600).
struct AssignmentFile: Sendable {
    private let path: String

    init(_ data: String) { path = data + "/assignment" }

    /// Nil when nothing is there, or nothing that can be read: the service gives it again.
    func read() -> Assignment? {
        guard let value = JSONValue(keptIn: path, limit: 4096) else { return nil }
        do throws(JSONError) {
            var reader = try JSONObjectReader(value, at: "assignment")
            let hub = try reader.string("hub", limit: 255)
            let device = try reader.string("device", limit: 255)
            try reader.finish()
            return Assignment(hub: hub, device: device)
        } catch { return nil }
    }

    /// Replaces it as a whole.
    func write(_ assignment: Assignment) throws(SystemError) {
        try FileSystem.makeDirectories(FileSystem.parent(of: path), mode: 0o700)
        let document = JSONValue.members([("hub", .string(assignment.hub)), ("device", .string(assignment.device))])
        try FileSystem.replace(path, with: document.bytes, mode: 0o600)
    }
}
