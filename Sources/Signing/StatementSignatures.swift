public import BundleFormat
internal import StrictJSON
public import Trust

/// A statement file that several people sign, one after the other or each a copy of their own.
public struct StatementSignatures<Document: Statement>: Sendable {
    /// The statement that is signed; not trusted for that.
    public let statement: Document
    private var envelope: SignedEnvelope

    /// A draft that nobody has signed.
    public init(draft statement: Document) {
        self.statement = statement
        envelope = SignedEnvelope(type: Document.payloadType, payload: statement.bytes, signatures: [])
    }

    /// From the bytes of a file with any number of signatures. Only the form is checked.
    public init(inspecting bytes: [UInt8]) throws(SigningError) {
        do throws(TrustError) { (statement, envelope) = try Document.inspect(bytes) } catch { throw .trust(error) }
    }

    /// The bytes of the file.
    public var bytes: [UInt8] { envelope.json.bytes }
    /// Ids of the keys that are said to have signed.
    public var signers: [Digest] { envelope.signatures.map(\.keyID) }

    /// Adds a signature; one that the same key made before is replaced.
    public mutating func sign(with key: SigningKey) throws(SigningError) {
        let id = key.publicKey.id
        add([SignedEnvelope.Signature(keyID: id, signature: try key.sign(envelope.signedBytes))])
    }

    /// Takes the signatures of a copy over, which must be of the same document; `path` is for messages.
    public mutating func add(_ copy: StatementSignatures, path: String) throws(SigningError) {
        if copy.envelope.payload != envelope.payload {
            throw .refused(path: path, why: "it is a copy of another statement")
        }
        add(copy.envelope.signatures)
    }

    private mutating func add(_ signatures: [SignedEnvelope.Signature]) {
        let kept = envelope.signatures.filter { old in !signatures.contains { $0.keyID == old.keyID } }
        envelope = SignedEnvelope(type: envelope.type, payload: envelope.payload, signatures: kept + signatures)
    }
}
