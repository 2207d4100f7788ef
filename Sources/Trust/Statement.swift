public import BundleFormat
internal import Platform
public import StrictJSON

/// A document that somebody of a role says to devices, beside trust roots and manifests.
public protocol Statement: Equatable, Sendable {
    /// Whose keys must sign it.
    static var role: TrustRole { get }
    /// What its signatures say they sign (DSSE payload type).
    static var payloadType: String { get }
    /// The document.
    var json: JSONValue { get }
    /// Decodes the document strictly.
    init(json: JSONValue) throws(JSONError)
}

/// Bounds of statements.
public enum StatementLimits {
    /// Largest file and largest document, bytes.
    public static let file = 128 * 1024
    /// Latest time, seconds since 1970: the end of the year 9999.
    static let time: Int64 = 253_402_300_799
    /// Highest sequence.
    static let sequence: Int64 = (1 << 53) - 1
}

/// A statement whose signatures were found to meet the threshold of its role. Holding one is the proof: only
/// `TrustStore.verify` makes it.
public struct Verified<Document: Statement>: Sendable {
    public let statement: Document
    /// Ids of the distinct keys whose signatures were verified.
    public let signers: [Digest]

    init(_ statement: Document, signers: [Digest]) {
        self.statement = statement
        self.signers = signers
    }
}

extension TrustStore {
    /// Verifies a statement file: the envelope with its caps, the signatures over the document's bytes in memory, and
    /// only then the document. Names, times and sequences are policy and are checked by the engine.
    public func verify<Document: Statement>(
        _ type: Document.Type, _ file: [UInt8]
    ) throws(TrustError) -> Verified<Document> {
        let envelope = try Self.envelope(type, file)
        let signers = try root.signers(type.role, of: envelope.signedBytes, claimed: envelope.claimed)
        do throws(JSONError) {
            return Verified(try type.decode(envelope.payload), signers: signers)
        } catch {
            throw .statement(error)
        }
    }

    private static func envelope<Document: Statement>(
        _ type: Document.Type, _ file: [UInt8]
    ) throws(TrustError) -> SignedEnvelope {
        do throws(JSONError) {
            return try SignedEnvelope.decode(file, type: type.payloadType, limit: StatementLimits.file)
        } catch {
            throw .statement(error)
        }
    }
}

extension Statement {
    /// The bytes that are signed.
    public var bytes: [UInt8] { json.bytes }

    /// From the bytes that were signed. What comes back is not verified.
    public static func decode(_ payload: [UInt8]) throws(JSONError) -> Self {
        try Self(json: JSONValue.parse(payload, limit: StatementLimits.file))
    }

    /// The document of a statement file for looking at it and for signing it, with its envelope. Only the form is
    /// checked.
    public static func inspect(
        _ file: [UInt8]
    ) throws(TrustError) -> (statement: Self, envelope: SignedEnvelope) {
        do throws(JSONError) {
            let envelope = try SignedEnvelope.decode(file, type: payloadType, limit: StatementLimits.file)
            return (try decode(envelope.payload), envelope)
        } catch {
            throw .statement(error)
        }
    }

    /// Takes `type` and `format`, which every document starts with.
    static func header(_ reader: inout JSONObjectReader, type: String) throws(JSONError) {
        if try reader.string("type", limit: 64) != type {
            throw JSONError(.outOfBounds, at: reader.path("type"), "must be \(type)")
        }
        _ = try reader.integer("format", in: 1...1)
    }
}
