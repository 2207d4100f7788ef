import BundleFormat
import Platform
import StrictJSON
import Testing
import Trust

/// Statements beside trust roots and manifests: overrides and channels.
@Suite struct StatementTests {
    private static let digest = SHA256.digest(of: Array("release".utf8))
    private static let nonce = [UInt8](repeating: 0xAB, count: OverrideStatement.nonceLength)

    private static func override(
        devices: [OverrideStatement.Device] = [.init(id: "gw-1", nonce: nonce)], expires: Int64? = 200,
        boots: UInt32? = nil, reason: String? = nil
    ) -> OverrideStatement? {
        OverrideStatement(
            devices: devices, manifest: digest, created: 100, expires: expires, boots: boots, reason: reason)
    }

    private static func channel(expires: Int64 = 200, sequence: UInt64 = 7) throws -> ChannelStatement? {
        ChannelStatement(
            channel: try #require(Identifier("stable")), sequence: sequence, manifest: digest, releaseID: "r7",
            created: 100, expires: expires)
    }

    /// A trust store with key 5 for overrides and channels.
    private static func store(threshold: Int = 1) throws -> TrustStore {
        let (root, release) = (try TestKey(1), try TestKey(9))
        let others = [try TestKey(5), try TestKey(6)]
        return try trustStore(
            TrustRoot(
                version: 1, environment: .dev, created: 0,
                keys: ([root, release] + others).map { TrustRoot.Key($0.publicKey, name: "test") },
                roles: [
                    .init(.root, keys: [root.id], threshold: 1), .init(.release, keys: [release.id], threshold: 1),
                    .init(.override, keys: others.map(\.id), threshold: threshold),
                    .init(.channel, keys: others.map(\.id), threshold: threshold),
                ]))
    }

    private static func file(_ payload: [UInt8], type: String, by numbers: [UInt8]) throws -> [UInt8] {
        let signatures = try numbers.map { number in
            let key = try TestKey(number)
            return SignedEnvelope.Signature(
                keyID: key.id, signature: try key.signature(payload, type: type).signature)
        }
        return SignedEnvelope(type: type, payload: payload, signatures: signatures).json.bytes
    }

    private static func isMalformed(_ error: TrustError?) -> Bool {
        if case .statement = error { true } else { false }
    }

    @Test func anOverrideReadsBackAsItWasWritten() throws {
        let statement = try #require(Self.override(boots: 3, reason: "the modem of 2.1 is deaf"))
        #expect(try OverrideStatement.decode(statement.bytes) == statement)
    }

    @Test func aChannelStatementReadsBackAsItWasWritten() throws {
        let statement = try #require(try Self.channel())
        #expect(try ChannelStatement.decode(statement.bytes) == statement)
    }

    @Test(arguments: [
        Self.override(devices: []), Self.override(expires: 100), Self.override(expires: nil),
        Self.override(boots: 0), Self.override(boots: OverrideStatement.mostBoots + 1), Self.override(reason: ""),
        Self.override(devices: [.init(id: "gw-1", nonce: nonce), .init(id: "gw-1", nonce: nonce)]),
        Self.override(devices: [.init(id: "", nonce: nonce)]),
        Self.override(devices: [.init(id: "gw-1", nonce: Array(nonce.dropLast()))]),
    ])
    func anOverrideThatIsOutOfBoundsCannotBeMade(_ statement: OverrideStatement?) {
        #expect(statement == nil)
    }

    @Test func aChannelStatementThatExpiresBeforeItWasMadeCannotBeMade() throws {
        #expect(try Self.channel(expires: 100) == nil)
    }

    @Test func aSequenceBehindTheRangeCannotBeSaid() throws {
        #expect(try Self.channel(sequence: 1 << 53) == nil)
    }

    @Test(arguments: [
        (#""kedge.channel""#, #""kedge.override""#), (#""format":1"#, #""format":2"#),
        (#""created":100"#, #""created":100,"more":1"#), (#""created":100"#, #""created":-1"#),
        (#""sequence":7"#, #""sequence":7,"sequence":8"#), (#""channel":"stable""#, #""channel":"../stable""#),
    ])
    func aChangedMemberIsNoChannelStatement(_ change: (from: String, to: String)) throws {
        let text = String(decoding: try #require(try Self.channel()).bytes, as: UTF8.self)
        let changed = try #require(text.replacingFirst(change.from, by: change.to))
        #expect(throws: JSONError.self) { try ChannelStatement.decode(Array(changed.utf8)) }
    }

    @Test func signedByItsRoleItIsVerified() throws {
        let statement = try #require(Self.override())
        let file = try Self.file(statement.bytes, type: OverrideStatement.payloadType, by: [5, 6])
        let verified = try Self.store(threshold: 2).verify(OverrideStatement.self, file)
        #expect(verified.statement == statement)
        #expect(verified.signers == [try TestKey(5).id, try TestKey(6).id])
    }

    @Test func tooFewSignersAreRefused() throws {
        let file = try Self.file(
            try #require(Self.override()).bytes, type: OverrideStatement.payloadType, by: [5, 5])
        let error = trustError { try Self.store(threshold: 2).verify(OverrideStatement.self, file) }
        #expect(error?.code == "trust.threshold")
    }

    @Test func aReleaseKeySpeaksForNoChannel() throws {
        let file = try Self.file(try #require(try Self.channel()).bytes, type: ChannelStatement.payloadType, by: [9])
        let error = trustError { try Self.store().verify(ChannelStatement.self, file) }
        #expect(error?.code == "trust.unknown-key")
    }

    @Test func oneStatementIsNotTakenForAnother() throws {
        let file = try Self.file(try #require(try Self.channel()).bytes, type: ChannelStatement.payloadType, by: [5])
        let error = trustError { try Self.store().verify(OverrideStatement.self, file) }
        #expect(Self.isMalformed(error))
    }

    @Test func signedNonsenseIsNoStatement() throws {
        let file = try Self.file(Array("{}".utf8), type: OverrideStatement.payloadType, by: [5])
        let error = trustError { try Self.store().verify(OverrideStatement.self, file) }
        #expect(Self.isMalformed(error))
    }

    @Test func aChangedByteOfTheDocumentIsRefused() throws {
        let statement = try #require(Self.override())
        let key = try TestKey(5)
        let signature = try key.signature(statement.bytes, type: OverrideStatement.payloadType).signature
        for index in statement.bytes.indices {
            var changed = statement.bytes
            changed[index] ^= 1
            let file = SignedEnvelope(
                type: OverrideStatement.payloadType, payload: changed,
                signatures: [.init(keyID: key.id, signature: signature)])
            let error = trustError { try Self.store().verify(OverrideStatement.self, file.json.bytes) }
            #expect(error?.code == "trust.bad-signature", "byte \(index)")
        }
    }

    @Test func lookingAtAFileTellsItsDocumentWithoutTrustingIt() throws {
        let statement = try #require(Self.override())
        let file = try Self.file(statement.bytes, type: OverrideStatement.payloadType, by: [77])
        #expect(try OverrideStatement.inspect(file).statement == statement)
        #expect(Self.isMalformed(trustError { try OverrideStatement.inspect(Array(file.dropLast())) }))
    }
}

extension String {
    /// With the first place of `from` replaced; nil when there is none.
    fileprivate func replacingFirst(_ from: String, by to: String) -> String? {
        let (text, wanted) = (Array(utf8), Array(from.utf8))
        guard text.count >= wanted.count else { return nil }
        for start in 0...(text.count - wanted.count) where Array(text[start..<(start + wanted.count)]) == wanted {
            let bytes = text[..<start] + Array(to.utf8) + text[(start + wanted.count)...]
            return String(decoding: bytes, as: UTF8.self)
        }
        return nil
    }
}
