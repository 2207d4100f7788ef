import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing
import Trust

@testable import Signing

/// Statements, from the draft to what a device says of them.
@Suite struct StatementTests {
    private let root: SigningKey
    private let anna: SigningKey
    private let ben: SigningKey
    private let release: SigningKey
    private let trust: TrustStore
    static let digest = SHA256.digest(of: [1])

    init() throws {
        root = try SigningKey.generate()
        anna = try SigningKey.generate()
        ben = try SigningKey.generate(.ecdsaP256)
        release = try SigningKey.generate()
        var draft = RootDraft(environment: .dev, created: 1_600_000_000, rootThreshold: 1, releaseThreshold: 1)
        try draft.add(root.publicKey, name: "root", to: .root)
        try draft.add(release.publicKey, name: "release", to: .release)
        try draft.add(anna.publicKey, name: "anna", to: .override)
        try draft.add(ben.publicKey, name: "ben", to: .override)
        try draft.add(anna.publicKey, name: "anna", to: .channel)
        try draft.setThreshold(2, of: .override)
        trust = try TrustStore(rootFile: RootDocument.sign(draft.root(), by: [root]))
    }

    private func override() throws -> OverrideStatement {
        try #require(
            OverrideStatement(
                devices: [.init(id: "gw-1", nonce: [UInt8](repeating: 7, count: 16))], manifest: Self.digest,
                created: 1_700_000_000, expires: 1_700_086_400, boots: 5, reason: "modbus"))
    }

    private func channel() throws -> ChannelStatement {
        let name = try #require(Identifier("stable"))
        return try #require(
            ChannelStatement(
                channel: name, sequence: 12, manifest: Self.digest, releaseID: "acme-edge-2.1.0",
                created: 1_700_000_000, expires: 1_700_604_800))
    }

    private func signed<S: Statement>(_ statement: S, _ keys: [SigningKey]) throws -> [UInt8] {
        var file = StatementSignatures(draft: statement)
        for key in keys { try file.sign(with: key) }
        return file.bytes
    }

    private func refusal<S: Statement>(_ type: S.Type, _ bytes: [UInt8]) -> String {
        do throws(TrustError) {
            _ = try trust.verify(type, bytes)
            return "accepted"
        } catch { return error.code }
    }

    @Test("An override that two people signed is verified, one after the other or on copies")
    func twoPeople() throws {
        let statement = try override()
        #expect(try trust.verify(OverrideStatement.self, signed(statement, [anna, ben])).statement == statement)
        var first = try StatementSignatures<OverrideStatement>(inspecting: signed(statement, [anna]))
        try first.add(StatementSignatures(inspecting: signed(statement, [ben])), path: "copy")
        #expect(try trust.verify(OverrideStatement.self, first.bytes).signers.count == 2)
        // Once more by the same hand: still one signature of hers.
        try first.sign(with: anna)
        #expect(first.signers.count == 2)
    }

    @Test("Too few, the same one twice, keys of other roles and nobody at all are refused")
    func signers() throws {
        #expect(refusal(OverrideStatement.self, try signed(override(), [])) == "trust.unsigned")
        #expect(refusal(OverrideStatement.self, try signed(override(), [anna])) == "trust.threshold")
        #expect(refusal(OverrideStatement.self, try signed(override(), [release, root])) == "trust.unknown-key")
        #expect(refusal(ChannelStatement.self, try signed(channel(), [ben])) == "trust.unknown-key")
        #expect(refusal(ChannelStatement.self, try signed(channel(), [anna])) == "accepted")
    }

    @Test("A signature over one type of document is none over another, whoever made it")
    func types() throws {
        // Anna signs for both roles, and the bytes are the same; only the type differs.
        let payload = try channel().bytes
        let other = SignedEnvelope(type: OverrideStatement.payloadType, payload: payload, signatures: [])
        let signature = SignedEnvelope.Signature(
            keyID: anna.publicKey.id, signature: try anna.sign(other.signedBytes))
        let forged = SignedEnvelope(type: ChannelStatement.payloadType, payload: payload, signatures: [signature])
        #expect(refusal(ChannelStatement.self, forged.json.bytes) == "trust.bad-signature")
        #expect(refusal(ChannelStatement.self, other.json.bytes) == "json.bounds")
        #expect(refusal(OverrideStatement.self, try signed(channel(), [anna])) == "json.bounds")
    }

    @Test("Copies of another statement are not mixed in")
    func otherCopy() throws {
        var file = StatementSignatures(draft: try override())
        let other = try #require(
            OverrideStatement(
                devices: [.init(id: "gw-2", nonce: [UInt8](repeating: 7, count: 16))], manifest: Self.digest,
                created: 1_700_000_000, expires: nil, boots: 5, reason: nil))
        #expect { try file.add(StatementSignatures(draft: other), path: "copy") } throws: {
            ($0 as? SigningError)?.code == "signature.refused"
        }
    }

    @Test("Any flipped byte of a signed statement is refused")
    func flipped() throws {
        let bytes = try signed(channel(), [anna])
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 1
            #expect(refusal(ChannelStatement.self, changed) != "accepted", "byte \(place)")
        }
    }

    static let overrides: [(change: String, with: String, code: String)] = [
        (#""format":1"#, #""format":2"#, "json.bounds"), (#""kedge.override""#, #""kedge.channel""#, "json.bounds"),
        (#""boots":5"#, #""boots":0"#, "json.bounds"), (#""boots":5"#, #""boots":1001"#, "json.bounds"),
        (#""boots":5"#, #""boots":"5""#, "json.type"), (#""boots":5"#, #""boots":5,"boots":5"#, "json.duplicate"),
        (#","expires":1700086400,"boots":5"#, "", "json.missing"),
        (#""expires":1700086400"#, #""expires":1700000000"#, "json.bounds"),
        (#""id":"gw-1""#, #""id":"""#, "json.bounds"), (#""nonce":"07"#, #""nonce":"0"#, "json.bounds"),
        (#""nonce":"07"#, #""nonce":"0A"#, "json.bounds"), (#""reason":"modbus""#, #""why":"modbus""#, "json.unknown"),
        (#""devices":[{"#, #""devices":[{"more":1,"#, "json.unknown"), (#"{"id""#, #"1,{"id""#, "json.type"),
        (#""created":1700000000"#, #""created":-1"#, "json.bounds"),
    ]

    @Test("An override is decoded strictly", arguments: overrides)
    func strictOverride(change: String, with: String, code: String) throws {
        let text = String(decoding: try override().bytes, as: UTF8.self)
        #expect(text.contains(change))
        let error = #expect(throws: JSONError.self) {
            _ = try OverrideStatement.decode(Array(text.replacing(change, with: with, maxReplacements: 1).utf8))
        }
        #expect(error?.code == code)
        // A good signature over bad bytes does not help.
        let envelope = SignedEnvelope(
            type: OverrideStatement.payloadType, payload: Array(text.replacing(change, with: with).utf8), signatures: []
        )
        let signatures = try [anna, ben].map {
            SignedEnvelope.Signature(keyID: $0.publicKey.id, signature: try $0.sign(envelope.signedBytes))
        }
        let file = SignedEnvelope(type: envelope.type, payload: envelope.payload, signatures: signatures)
        #expect(refusal(OverrideStatement.self, file.json.bytes) == code)
    }

    static let channels: [(change: String, with: String, code: String)] = [
        (#""channel":"stable""#, #""channel":"Stable""#, "json.bounds"),
        (#""sequence":12"#, #""sequence":9007199254740992"#, "json.bounds"),
        (#""sequence":12"#, #""sequence":-1"#, "json.bounds"), (#""sequence":12"#, #""sequence":12.0"#, "json.type"),
        (#""expires":1700604800"#, #""expires":1700000000"#, "json.bounds"),
        (#""expires":1700604800"#, #""x-expires":1700604800"#, "json.missing"),
        (#""release":"acme"#, #""release":"\u0007"#, "json.bounds"), (#"{"type""#, #"{"a":1,"type""#, "json.unknown"),
    ]

    @Test("A channel's statement is decoded strictly", arguments: channels)
    func strictChannel(change: String, with: String, code: String) throws {
        let text = String(decoding: try channel().bytes, as: UTF8.self)
        #expect(text.contains(change))
        let error = #expect(throws: JSONError.self) {
            _ = try ChannelStatement.decode(Array(text.replacing(change, with: with, maxReplacements: 1).utf8))
        }
        #expect(error?.code == code)
    }

    @Test("A device listed twice, no device and too many of them are no statement")
    func devices() {
        let device = OverrideStatement.Device(id: "gw", nonce: [UInt8](repeating: 1, count: 16))
        func make(_ devices: [OverrideStatement.Device]) -> OverrideStatement? {
            OverrideStatement(devices: devices, manifest: Self.digest, created: 1, expires: nil, boots: 1, reason: nil)
        }
        #expect(make([device]) != nil)
        #expect(make([]) == nil && make([device, device]) == nil)
        #expect(make((0...256).map { .init(id: "gw\($0)", nonce: device.nonce) }) == nil)
        #expect(make([.init(id: "gw", nonce: [1])]) == nil)
    }

    @Test("A file over its limit is refused unread")
    func tooLong() throws {
        let long = try signed(channel(), [anna]) + [UInt8](repeating: 0x20, count: StatementLimits.file)
        #expect(refusal(ChannelStatement.self, long) == "json.too-large")
    }
}
