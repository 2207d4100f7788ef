internal import BundleFormat
public import StrictJSON

/// The file `root.json`: a root document with its signatures, in the form of a DSSE envelope (secure-systems-lab/dsse,
/// envelope.md). Nothing in it is verified.
public struct RootFile: Equatable, Sendable {
    /// Largest file, bytes: room for a rotation among 3 root and 3 release holders who each have an ML-DSA-87 key
    /// too, whose keys take 7 KiB each and whose signatures 6 KiB.
    public static let limit = 128 * 1024
    /// Most signatures.
    public static let mostSignatures = SignedEnvelope.mostSignatures
    /// One signature over the document.
    public typealias Signature = SignedEnvelope.Signature

    /// The exact bytes of the root document.
    public let payload: [UInt8]
    public let signatures: [Signature]

    public init(payload: [UInt8], signatures: [Signature]) {
        self.payload = payload
        self.signatures = signatures
    }

    private var envelope: SignedEnvelope {
        SignedEnvelope(type: TrustRoot.payloadType, payload: payload, signatures: signatures)
    }

    /// What each signature covers.
    public var signedBytes: [UInt8] { envelope.signedBytes }

    /// The document.
    public var json: JSONValue { envelope.json }

    /// The bytes of the file.
    public var bytes: [UInt8] { json.bytes }

    /// Decodes strictly.
    public static func decode(_ bytes: [UInt8]) throws(TrustError) -> RootFile {
        do throws(JSONError) {
            let envelope = try SignedEnvelope.decode(bytes, type: TrustRoot.payloadType, limit: limit)
            return RootFile(payload: envelope.payload, signatures: envelope.signatures)
        } catch {
            throw .root(error)
        }
    }
}
