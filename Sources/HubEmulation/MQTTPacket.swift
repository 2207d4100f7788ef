/// A control packet that a client sends to a server (OASIS MQTT 3.1.1, section 3).
enum MQTTPacket: Equatable {
    case connect(MQTTConnect)
    case publish(MQTTPublish)
    case publishAcknowledged(UInt16)
    case subscribe(id: UInt16, filters: [String])
    case unsubscribe(id: UInt16, filters: [String])
    case ping
    case disconnect
}

/// CONNECT (section 3.1).
struct MQTTConnect: Equatable {
    var protocolLevel: UInt8
    var clientID: String
    var userName: String
    var password: String?
    var isCleanSession: Bool
    /// Seconds; 0 switches the watch off.
    var keepAlive: UInt16
    /// Sent to the hub when the connection ends without DISCONNECT.
    var will: MQTTPublish?
}

/// PUBLISH (section 3.3).
struct MQTTPublish: Equatable {
    var topic: String
    var payload: [UInt8]
    /// 0, 1 or 2.
    var quality: UInt8
    /// Only with quality 1 and 2.
    var id: UInt16?
}

/// CONNACK's return code (section 3.2.2.3).
enum MQTTConnectResult: UInt8 {
    case accepted = 0, badProtocol = 1, badIdentifier = 2, unavailable = 3, badCredentials = 4, notAuthorized = 5
}

/// Why a client's bytes are no MQTT 3.1.1: the connection ends.
enum MQTTError: Error, Equatable {
    case malformed
    /// IoT Hub's limit is 256 KB for a message.
    case tooLong
}

/// Cuts the bytes of one connection into packets.
struct MQTTDecoder {
    /// 256 KB of payload, and room for the topic.
    static let longestPacket = 256 * 1024 + 65_536
    private var pending: [UInt8] = []

    /// More bytes from the client.
    mutating func append(_ bytes: [UInt8]) { pending += bytes }

    /// The next whole packet, or nil when more bytes must come first.
    mutating func next() throws(MQTTError) -> MQTTPacket? {
        guard let first = pending.first else { return nil }
        var length = 0
        var at = 1
        while true {
            guard at < pending.count else { return nil }
            if at > 4 { throw .malformed }
            let digit = pending[at]
            length |= Int(digit & 127) << (7 * (at - 1))
            at += 1
            if digit & 128 == 0 { break }
        }
        if length > Self.longestPacket { throw .tooLong }
        guard pending.count >= at + length else { return nil }
        var fields = MQTTFields(bytes: pending[at..<(at + length)])
        pending.removeFirst(at + length)
        return try Self.packet(kind: first >> 4, flags: first & 15, &fields)
    }

    private static func packet(
        kind: UInt8, flags: UInt8, _ fields: inout MQTTFields
    ) throws(MQTTError) -> MQTTPacket {
        switch kind {
        case 1: return .connect(try connect(&fields))
        case 3: return .publish(try publish(flags: flags, &fields))
        case 4: return .publishAcknowledged(try fields.number())
        case 8 where flags == 2:
            let id = try fields.number()
            var filters: [String] = []
            while !fields.isEmpty {
                filters.append(try fields.text())
                if try fields.byte() > 2 { throw .malformed }
            }
            if filters.isEmpty { throw .malformed }
            return .subscribe(id: id, filters: filters)
        case 10 where flags == 2:
            let id = try fields.number()
            var filters: [String] = []
            while !fields.isEmpty { filters.append(try fields.text()) }
            if filters.isEmpty { throw .malformed }
            return .unsubscribe(id: id, filters: filters)
        case 12: return .ping
        case 14: return .disconnect
        default: throw .malformed
        }
    }

    private static func connect(_ fields: inout MQTTFields) throws(MQTTError) -> MQTTConnect {
        if try fields.text() != "MQTT" { throw .malformed }
        let level = try fields.byte()
        let flags = try fields.byte()
        let keepAlive = try fields.number()
        let clientID = try fields.text()
        var will: MQTTPublish?
        if flags & 0x04 != 0 {
            let topic = try fields.text()
            will = MQTTPublish(topic: topic, payload: try fields.data(), quality: flags >> 3 & 3, id: nil)
        }
        let user = flags & 0x80 != 0 ? try fields.text() : ""
        let password = flags & 0x40 != 0 ? try fields.text() : nil
        return MQTTConnect(
            protocolLevel: level, clientID: clientID, userName: user, password: password,
            isCleanSession: flags & 0x02 != 0, keepAlive: keepAlive, will: will)
    }

    private static func publish(flags: UInt8, _ fields: inout MQTTFields) throws(MQTTError) -> MQTTPublish {
        let quality = flags >> 1 & 3
        if quality == 3 { throw .malformed }
        let topic = try fields.text()
        if topic.isEmpty || topic.contains("#") || topic.contains("+") { throw .malformed }
        let id: UInt16? = quality > 0 ? try fields.number() : nil
        return MQTTPublish(topic: topic, payload: fields.rest(), quality: quality, id: id)
    }
}

/// Reads the fields of a packet's body one behind the other (section 1.5).
private struct MQTTFields {
    var bytes: ArraySlice<UInt8>
    var isEmpty: Bool { bytes.isEmpty }

    mutating func byte() throws(MQTTError) -> UInt8 {
        guard let first = bytes.popFirst() else { throw .malformed }
        return first
    }

    mutating func number() throws(MQTTError) -> UInt16 {
        let high = try byte()
        return UInt16(high) << 8 | UInt16(try byte())
    }

    mutating func data() throws(MQTTError) -> [UInt8] {
        let count = Int(try number())
        if bytes.count < count { throw .malformed }
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    mutating func text() throws(MQTTError) -> String {
        guard let text = String(validating: try data(), as: UTF8.self), !text.utf8.contains(0) else {
            throw .malformed
        }
        return text
    }

    mutating func rest() -> [UInt8] {
        defer { bytes = [] }
        return Array(bytes)
    }
}

/// What a server writes.
enum MQTTEncoder {
    static func connectResult(_ result: MQTTConnectResult, sessionPresent: Bool) -> [UInt8] {
        [0x20, 2, sessionPresent ? 1 : 0, result.rawValue]
    }

    /// One code for each filter: the quality that was granted, or 0x80 for a refusal.
    static func subscribed(id: UInt16, codes: [UInt8]) -> [UInt8] { packet(0x90, bytes(of: id) + codes) }
    static func unsubscribed(id: UInt16) -> [UInt8] { packet(0xb0, bytes(of: id)) }
    static func acknowledged(id: UInt16) -> [UInt8] { packet(0x40, bytes(of: id)) }
    static let pong: [UInt8] = [0xd0, 0]

    /// A message to the client; with an id it has quality 1.
    static func publish(topic: String, payload: [UInt8], id: UInt16?) -> [UInt8] {
        let name = Array(topic.utf8)
        var body = bytes(of: UInt16(truncatingIfNeeded: name.count)) + name
        if let id { body += bytes(of: id) }
        return packet(id == nil ? 0x30 : 0x32, body + payload)
    }

    private static func packet(_ first: UInt8, _ body: [UInt8]) -> [UInt8] {
        var out = [first]
        var length = body.count
        repeat {
            let digit = UInt8(length & 127)
            length >>= 7
            out.append(length > 0 ? digit | 128 : digit)
        } while length > 0
        return out + body
    }

    private static func bytes(of number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
}
