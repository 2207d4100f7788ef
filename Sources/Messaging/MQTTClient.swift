internal import CMosquitto
internal import Platform

/// One connection to a hub by MQTT 3.1.1 over TLS 1.2 or 1.3, with libmosquitto.
///
/// The server's certificate is checked against the authorities and the host name, which is sent as SNI too. One thread
/// uses a client, and a client makes one connection: the next one takes a new client.
@safe public final class MQTTClient {
    /// Who connects, to whom.
    public struct Settings: Equatable, Sendable {
        /// Where to connect; a name or a numeric address.
        public var host: String
        public var port: UInt16
        public var clientIdentifier: String
        public var user: String
        /// Nil where the certificate alone says who it is.
        public var password: String?
        /// PEM file with what to trust; nil for the system's authorities.
        public var authorities: String?
        /// PEM files with the own certificate and key; the key may be a `pkcs11:` URI, or a key of a TPM where OpenSSL's
        /// configuration activates the provider for it.
        public var certificate: String?
        public var key: String?
        /// The key's passphrase or PIN.
        public var keySecret: String?
        /// Seconds without traffic after which the line is tried; without an answer it counts as dead.
        public var keepAliveSeconds: UInt16

        public init(
            host: String, port: UInt16 = 8883, clientIdentifier: String, user: String, password: String? = nil,
            authorities: String? = nil, certificate: String? = nil, key: String? = nil, keySecret: String? = nil,
            keepAliveSeconds: UInt16 = 120
        ) {
            self.host = host
            self.port = port
            self.clientIdentifier = clientIdentifier
            self.user = user
            self.password = password
            self.authorities = authorities
            self.certificate = certificate
            self.key = key
            self.keySecret = keySecret
            self.keepAliveSeconds = keepAliveSeconds
        }
    }

    /// What came.
    public enum Event: Equatable, Sendable {
        case connected
        /// The hub did not let us in: CONNACK's code (MQTT 3.1.1, table 3.1).
        case refused(UInt8)
        case lost(MQTTError)
        case message(topic: String, payload: [UInt8])
        /// Messages were thrown away, because too many came at once.
        case overflow
    }

    /// Whether CONNACK's code says that the identity or its key is not taken: 4, bad user name or password, and 5, not
    /// authorized.
    public static func refusesIdentity(_ code: UInt8) -> Bool { code == 4 || code == 5 }

    private let raw: UnsafeMutableRawPointer
    private let host: String
    private var hasEnded = false

    /// Loads the library and begins to connect. Names are resolved here, which may take the resolver's whole time-out.
    public init(_ settings: Settings) throws(MQTTError) {
        var why = [UInt8](repeating: 0, count: 256)
        let client: UnsafeMutableRawPointer? = unsafe why.withUnsafeMutableBytes { buffer in
            unsafe kedge_mqtt_new(
                settings.clientIdentifier, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        guard let client = unsafe client else {
            throw .library(String(decoding: why.prefix { $0 != 0 }, as: UTF8.self))
        }
        unsafe raw = client
        host = settings.host
        try check(unsafe kedge_mqtt_login(client, settings.user, settings.password))
        try check(
            unsafe kedge_mqtt_tls(
                client, settings.host, settings.authorities, settings.certificate, settings.key, settings.keySecret),
            setting: true)
        try check(
            unsafe kedge_mqtt_connect(client, settings.host, Int32(settings.port), Int32(settings.keepAliveSeconds)))
    }

    deinit { unsafe kedge_mqtt_free(raw) }

    /// Waits at most so long for something to happen, and gives what came.
    public func turn(milliseconds: Int32) -> [Event] {
        let code = unsafe kedge_mqtt_turn(raw, milliseconds)
        var events: [Event] = []
        while let event = next() { events.append(event) }
        if code != 0, !hasEnded {
            hasEnded = true
            events.append(.lost(error(code)))
        }
        return events
    }

    /// Subscribes with QoS 1.
    public func subscribe(_ filter: String) throws(MQTTError) { try check(unsafe kedge_mqtt_subscribe(raw, filter)) }

    /// Publishes with QoS 1.
    public func publish(_ topic: String, _ payload: [UInt8]) throws(MQTTError) {
        let code = unsafe payload.withUnsafeBytes { bytes in
            unsafe kedge_mqtt_publish(raw, topic, bytes.baseAddress, Int32(bytes.count))
        }
        try check(code)
    }

    /// Says good-bye.
    public func disconnect() { _ = unsafe kedge_mqtt_disconnect(raw) }

    private func next() -> Event? {
        var code: Int32 = 0
        var topic: UnsafePointer<CChar>?
        var payload: UnsafePointer<UInt8>?
        var length = 0
        switch unsafe kedge_mqtt_next(raw, &code, &topic, &payload, &length) {
        case KEDGE_MQTT_CONNECTED: return .connected
        case KEDGE_MQTT_REFUSED: return .refused(UInt8(clamping: code))
        case KEDGE_MQTT_LOST:
            if hasEnded { return next() }
            hasEnded = true
            return .lost(error(code))
        case KEDGE_MQTT_MESSAGE:
            guard let topic = unsafe topic else { return nil }
            let name = unsafe String(cString: topic)
            let bytes = unsafe [UInt8](UnsafeBufferPointer(start: payload, count: length))
            return .message(topic: name, payload: bytes)
        case KEDGE_MQTT_OVERFLOW: return .overflow
        default: return nil
        }
    }

    private func check(_ code: Int32, setting: Bool = false) throws(MQTTError) {
        if code == 0 { return }
        throw setting ? .credentials(text(code)) : error(code)
    }

    private func error(_ code: Int32) -> MQTTError {
        if code == 0 { return .closed }
        return kedge_mqtt_is_tls(code) == 1 ? .tls(host: host, text(code)) : .unreachable(host: host, text(code))
    }

    private func text(_ code: Int32) -> String {
        guard let text = unsafe kedge_mqtt_text(raw, code) else { return "code \(code)" }
        let line = unsafe String(cString: text)
        var bytes = line.utf8.filter { $0 >= 0x20 && $0 != 0x7f }
        // The sentence goes on behind it.
        while let last = bytes.last, last == 0x2e || last == 0x20 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}
