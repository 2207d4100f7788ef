internal import Platform
internal import StrictJSON

/// An IoT Hub with its provisioning service, as a value: events in, effects out, no I/O and no clock of its own.
///
/// What it does follows Microsoft's documents and the official clients (`azure-iot-device`, `azure-iot-hub`), with
/// which it is tested. It is no service to run: it keeps keys in clear text and holds everything in memory.
public struct EmulatedHub: Sendable {
    /// How the hub is called and what opens it.
    public struct Settings: Equatable, Sendable {
        /// The host name that clients give in user names and tokens.
        public var hostName: String
        /// The scope of the provisioning service.
        public var idScope: String
        /// The key of the shared access policy `iothubowner`: it opens the service API.
        public var ownerKey: [UInt8]
        /// The name that the service API's tokens are for; the host name with or without a port.
        public var serviceNames: [String]
        /// Twin requests of all devices in a second before they get 429; 0: no limit.
        public var twinRequestsPerSecond: Int

        public init(
            hostName: String, idScope: String, ownerKey: [UInt8], serviceNames: [String] = [],
            twinRequestsPerSecond: Int = 0
        ) {
            self.hostName = hostName
            self.idScope = idScope
            self.ownerKey = ownerKey
            self.serviceNames = serviceNames.isEmpty ? [hostName] : serviceNames
            self.twinRequestsPerSecond = twinRequestsPerSecond
        }
    }

    let settings: Settings
    var identities: [HubIdentityName: HubIdentity] = [:]
    var sessions: [HubIdentityName: HubSession] = [:]
    var links: [HubConnection: HubLink] = [:]
    var calls: [String: MethodCall] = [:]
    var configurations: [String: HubConfiguration] = [:]
    var enrollments: [HubEnrollment.Kind: [String: HubEnrollment]] = [:]
    var operations: [String: ProvisioningOperation] = [:]
    var faults: [String: HubFaults] = [:]
    /// Keys that TPMs were sent, by registration id.
    var challenges: [String: [UInt8]] = [:]
    /// For ids that must differ: generations, operations, requests.
    var serial: Int64 = 0
    /// Twin requests in the present second.
    var throttle = (second: Int64(0), count: 0)
    /// Whether something changed since configurations were last applied.
    var isUnsettled = true
    var random: @Sendable (Int) -> [UInt8]

    /// `random` gives so many bytes that nobody can guess; a test gives its own.
    public init(_ settings: Settings, random: @escaping @Sendable (Int) -> [UInt8]) {
        self.settings = settings
        self.random = random
    }

    /// Bytes from the machine's own source, up to 256.
    public static let secretBytes: @Sendable (Int) -> [UInt8] = { count in
        do throws(SystemError) {
            return try SystemRandom().bytes(count)
        } catch {
            preconditionFailure("getrandom(2) does not fail on Linux: \(error.context)")
        }
    }

    /// The one way in.
    public mutating func handle(_ event: HubEvent, at now: HubTime) -> [HubEffect] {
        var effects: [HubEffect] = []
        switch event {
        case .opened(let connection, let certificate):
            links[connection] = HubLink(certificate: certificate, lastHeard: now.milliseconds)
        case .received(let connection, let bytes): receive(bytes, on: connection, now, &effects)
        case .closed(let connection): close(connection, graceful: false, now, &effects)
        case .request(let connection, let request):
            if let response = answer(request, on: connection, now, &effects) {
                effects.append(.respond(connection, response))
            }
        case .tick: tick(now, &effects)
        }
        if effects.contains(.save) { isUnsettled = true }
        return effects
    }

    /// The connection of an identity, if it has one.
    func connection(of name: HubIdentityName) -> HubConnection? {
        links.first { $0.value.peer == .identity(name) }?.key
    }

    mutating func nextSerial() -> Int64 {
        serial += 1
        return serial
    }

    /// Cuts what has been silent too long or whose token is over, and answers calls that nobody took.
    private mutating func tick(_ now: HubTime, _ effects: inout [HubEffect]) {
        for (connection, link) in links.sorted(by: { $0.key < $1.key }) {
            // A server waits one and a half times as long (MQTT 3.1.1, 3.1.2.10).
            let patience = UInt64(link.keepAlive) * 1500
            let isDead = patience > 0 && now.milliseconds > link.lastHeard + patience
            let isOver = link.tokenExpiry.map { $0 <= now.seconds } ?? false
            guard isDead || isOver else { continue }
            if isSilent(link) { continue }
            effects.append(.note("\(describe(link)): \(isOver ? "its token expired" : "silent too long"), cut"))
            close(connection, graceful: false, now, &effects)
            effects.append(.close(connection))
        }
        for (id, call) in calls.sorted(by: { $0.key < $1.key }) where call.deadline <= now.milliseconds {
            calls[id] = nil
            effects.append(.respond(call.connection, call.isSent ? Self.methodTimedOut : Self.notConnected(call.name)))
        }
        if isUnsettled {
            isUnsettled = false
            applyConfigurations(now, &effects)
        }
    }

    func isSilent(_ link: HubLink) -> Bool { faults(for: link).silent }

    /// The switches that hold for a connection: its identity's own, else those of all.
    func faults(for link: HubLink) -> HubFaults { faults[faultKey(link)] ?? HubFaults() }

    func faultKey(_ link: HubLink) -> String {
        if case .identity(let name) = link.peer, faults[name.text] != nil { return name.text }
        return "*"
    }

    func describe(_ link: HubLink) -> String {
        switch link.peer {
        case .nobody: "a client"
        case .identity(let name): name.text
        case .registration(let id): "registration \(id)"
        }
    }
}

/// A device's connection.
struct HubLink: Sendable {
    enum Peer: Equatable, Sendable {
        case nobody
        case identity(HubIdentityName)
        case registration(String)
    }
    var certificate: PeerCertificate?
    var decoder = MQTTDecoder()
    var peer = Peer.nobody
    /// What let a registering client in.
    var enrollment: HubEnrollment?
    /// Milliseconds of the monotonic clock.
    var lastHeard: UInt64
    /// Seconds; 0: no watch.
    var keepAlive: UInt16 = 0
    /// Seconds since 1970; nil for X.509.
    var tokenExpiry: Int64?
    var will: MQTTPublish?
    /// A message that waits for the next one to overtake it.
    var held: [UInt8]?

    init(certificate: PeerCertificate?, lastHeard: UInt64) {
        self.certificate = certificate
        self.lastHeard = lastHeard
    }
}

/// What the hub remembers of an identity's MQTT session.
struct HubSession: Equatable, Sendable {
    var filters: [String] = []
    var isPersistent = false
    var nextID: UInt16 = 1

    /// Whether a message on the topic is wanted: the filters that the hub allows end in `#`, or name the topic.
    func wants(_ topic: String) -> Bool {
        filters.contains { $0.hasSuffix("#") ? topic.hasPrefix($0.dropLast()) : topic == $0 }
    }
}

/// A direct method that a back end waits for.
struct MethodCall: Equatable, Sendable {
    /// Who is to answer.
    let name: HubIdentityName
    /// The back end's connection.
    let connection: HubConnection
    let method: String
    let payload: JSONValue
    /// How long the device may take once it is connected, milliseconds.
    let patience: UInt64
    /// Milliseconds of the monotonic clock.
    var deadline: UInt64
    var isSent = false
}
