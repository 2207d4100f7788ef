import Platform
import StrictJSON

@testable import HubEmulation

/// A hub without sockets, with a clock that the test turns, and a device on it.
struct HubBench {
    static let key = Array("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk".utf8)
    var hub: EmulatedHub
    var now = HubTime(milliseconds: 0, seconds: 1_700_000_000)

    init(twinRequestsPerSecond: Int = 0) {
        let settings = EmulatedHub.Settings(
            hostName: "hub", idScope: "scope", ownerKey: Self.key, twinRequestsPerSecond: twinRequestsPerSecond)
        hub = EmulatedHub(settings) { [UInt8](repeating: 7, count: $0) }
        for name in [HubIdentityName(device: "gw"), HubIdentityName(device: "gw", module: "ota")] {
            hub.identities[name] = HubIdentity(
                name: name, credential: .keys(primary: Self.key, secondary: Self.key), generation: "1")
        }
    }

    static func token(_ resource: String, expires: Int64 = 1_700_003_600) -> String {
        let named = PercentText.encode(resource)
        let code = Base64.encode(MessageCode.sha256(key: key, Array("\(named)\n\(expires)".utf8)))
        return "SharedAccessSignature sr=\(named)&sig=\(PercentText.encode(code))&se=\(expires)"
    }

    /// Connects `gw/ota`, subscribes to everything of twins and methods, and gives what the hub did.
    mutating func connect(_ connection: Int = 1, clean: Bool = false, expires: Int64 = 1_700_003_600) -> [HubEffect] {
        var effects = hub.handle(.opened(connection, nil), at: now)
        let token = Self.token("hub/devices/gw/modules/ota", expires: expires)
        effects += receive(
            Packet.connect("gw/ota", "hub/gw/ota/?api-version=2021-04-12", token, clean: clean), connection)
        for filter in ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"] {
            effects += receive(Packet.subscribe(filter), connection)
        }
        return effects
    }

    mutating func receive(_ bytes: [UInt8], _ connection: Int = 1) -> [HubEffect] {
        hub.handle(.received(connection, bytes), at: now)
    }

    mutating func publish(_ topic: String, _ payload: String = "", _ connection: Int = 1) -> [HubEffect] {
        receive(Packet.publish(topic, payload), connection)
    }

    /// A call of the service API with the owner's token.
    mutating func call(_ method: String, _ path: String, _ body: String = "", connection: Int = 99) -> [HubEffect] {
        let request = HTTPRequest(
            method: method, path: path.split(separator: "/").map(String.init), query: [:],
            headers: ["authorization": Self.token("hub") + "&skn=iothubowner"], body: Array(body.utf8),
            closesConnection: false)
        return hub.handle(.request(connection, request), at: now)
    }

    mutating func pass(seconds: Int64) -> [HubEffect] {
        now.seconds += seconds
        now.milliseconds += UInt64(seconds) * 1000
        return hub.handle(.tick, at: now)
    }
}

/// What a client writes.
enum Packet {
    static func connect(_ client: String, _ user: String, _ password: String?, clean: Bool = false) -> [UInt8] {
        var body = text("MQTT") + [4, 0x80 | (password == nil ? 0 : 0x40) | (clean ? 2 : 0), 0, 60]
        body += text(client) + text(user)
        if let password { body += text(password) }
        return packet(0x10, body)
    }
    static func subscribe(_ filter: String) -> [UInt8] { packet(0x82, [0, 1] + text(filter) + [1]) }
    static func publish(_ topic: String, _ payload: String) -> [UInt8] {
        packet(0x32, text(topic) + [0, 5] + Array(payload.utf8))
    }
    static let disconnect: [UInt8] = [0xe0, 0]

    private static func text(_ text: String) -> [UInt8] {
        [UInt8(text.utf8.count >> 8), UInt8(text.utf8.count & 255)] + Array(text.utf8)
    }
    private static func packet(_ first: UInt8, _ body: [UInt8]) -> [UInt8] {
        var out = [first]
        var length = body.count
        repeat {
            out.append(UInt8(length & 127) | (length > 127 ? 128 : 0))
            length >>= 7
        } while length > 0
        return out + body
    }
}

extension [HubEffect] {
    /// Topics and payloads of messages to a client, in order.
    var messages: [String] {
        compactMap { effect in
            guard case .send(_, let bytes, _) = effect, bytes[0] & 0xf0 == 0x30 else { return nil }
            var decoder = MQTTDecoder()
            decoder.append(bytes)
            guard case .publish(let message)? = try? decoder.next() else { return nil }
            return "\(message.topic) \(String(decoding: message.payload, as: UTF8.self))"
        }
    }
    /// CONNACK's codes.
    var connectResults: [UInt8] {
        compactMap { effect in
            guard case .send(_, let bytes, _) = effect, bytes[0] == 0x20 else { return nil }
            return bytes[3]
        }
    }
    /// Whether CONNACK said that a session was there.
    var sessionPresent: Bool {
        contains { effect in
            guard case .send(_, let bytes, _) = effect else { return false }
            return bytes.starts(with: [0x20, 2, 1])
        }
    }
    var closed: [Int] {
        compactMap { effect in
            guard case .close(let connection) = effect else { return nil }
            return connection
        }
    }
    var responses: [(status: Int, body: String)] {
        compactMap { effect in
            guard case .respond(_, let response) = effect else { return nil }
            return (response.status, String(decoding: response.body, as: UTF8.self))
        }
    }
    var delays: [UInt64] {
        compactMap { effect in
            guard case .send(_, _, let delay) = effect else { return nil }
            return delay
        }
    }
}
