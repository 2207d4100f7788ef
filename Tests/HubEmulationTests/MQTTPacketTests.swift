import Testing

@testable import HubEmulation

@Suite("MQTT packets of clients")
struct MQTTPacketTests {
    /// CONNECT of client "d", user "h/d/?api-version=1", password "p", keep-alive 60, session kept; written by hand from
    /// section 3.1.
    static let connect: [UInt8] =
        [0x10, 36, 0, 4] + Array("MQTT".utf8) + [4, 0xc0, 0, 60, 0, 1] + Array("d".utf8) + [0, 18]
        + Array("h/d/?api-version=1".utf8) + [0, 1] + Array("p".utf8)

    private func packets(_ pieces: [[UInt8]]) throws(MQTTError) -> [MQTTPacket] {
        var decoder = MQTTDecoder()
        var out: [MQTTPacket] = []
        for piece in pieces {
            decoder.append(piece)
            while let packet = try decoder.next() { out.append(packet) }
        }
        return out
    }

    @Test("CONNECT is read, whole and byte by byte")
    func connects() throws {
        let expected = MQTTConnect(
            protocolLevel: 4, clientID: "d", userName: "h/d/?api-version=1", password: "p", isCleanSession: false,
            keepAlive: 60, will: nil)
        #expect(try packets([Self.connect]) == [.connect(expected)])
        #expect(try packets(Self.connect.map { [$0] }) == [.connect(expected)])
    }

    @Test("Several packets in one piece come out one by one")
    func several() throws {
        let bytes: [UInt8] = [0xc0, 0, 0x32, 6, 0, 1, 0x61, 0, 9, 0x62, 0x82, 6, 0, 7, 0, 1, 0x61, 1, 0xe0, 0]
        #expect(
            try packets([bytes]) == [
                .ping, .publish(MQTTPublish(topic: "a", payload: [0x62], quality: 1, id: 9)),
                .subscribe(id: 7, filters: ["a"]), .disconnect,
            ])
    }

    @Test(
        "What is no MQTT 3.1.1 is refused",
        arguments: [
            ("an unknown type", [0xf0, 0]), ("a length of five bytes", [0xc0, 0xff, 0xff, 0xff, 0xff, 1]),
            ("SUBSCRIBE without its flag", [0x80, 6, 0, 7, 0, 1, 0x61, 1]),
            ("SUBSCRIBE without a filter", [0x82, 2, 0, 7]),
            ("SUBSCRIBE with quality 3", [0x82, 6, 0, 7, 0, 1, 0x61, 3]),
            ("a topic with a wildcard", [0x30, 3, 0, 1, 0x23]), ("a topic that is cut off", [0x30, 3, 0, 9, 0x61]),
            ("a topic that is no UTF-8", [0x30, 3, 0, 1, 0xff]), ("a topic with a zero", [0x30, 3, 0, 1, 0]),
            ("quality 3", [0x36, 5, 0, 1, 0x61, 0, 1]),
            ("another protocol", [0x10, 14, 0, 4, 0x4d, 0x51, 0x54, 0x58, 4, 2, 0, 0, 0, 0, 0, 0]),
        ] as [(String, [UInt8])])
    func refusals(name: String, bytes: [UInt8]) {
        #expect(throws: MQTTError.malformed, "\(name)") { try packets([bytes]) }
    }

    @Test("A packet beyond 256 KB is refused before it is there")
    func tooLong() {
        #expect(throws: MQTTError.tooLong) { try packets([[0x30, 0xff, 0xff, 0xff, 0x7f]]) }
    }

    @Test("Lengths are written in seven bits a byte", arguments: [(0, 1), (100, 1), (200, 2), (20_000, 3)])
    func lengths(payload: Int, bytes: Int) throws {
        let packet = MQTTEncoder.publish(topic: "", payload: [UInt8](repeating: 1, count: payload), id: nil)
        #expect(packet.count == 1 + bytes + 2 + payload)
    }
}
