public import BundleFormat
internal import Platform
public import StrictJSON

/// A document with its signatures, in the form of a DSSE envelope (secure-systems-lab/dsse, envelope.md): what root
/// files and statement files have in common. Nothing in it is verified, and the document is only bytes.
public struct SignedEnvelope: Equatable, Sendable {
    /// Most signatures.
    public static let mostSignatures = 16
    /// Longest signature, bytes: that of ML-DSA-87, the largest that any version will read.
    static let longestSignature = 4627

    /// One signature over the document.
    public struct Signature: Equatable, Sendable {
        /// Which key is said to have signed.
        public let keyID: Digest
        public let signature: [UInt8]

        public init(keyID: Digest, signature: [UInt8]) {
            self.keyID = keyID
            self.signature = signature
        }
    }

    /// What the document says it is; a signature for one type never counts for another.
    public let type: String
    /// The exact bytes of the document.
    public let payload: [UInt8]
    public let signatures: [Signature]

    public init(type: String, payload: [UInt8], signatures: [Signature]) {
        self.type = type
        self.payload = payload
        self.signatures = signatures
    }

    /// What each signature covers.
    public var signedBytes: [UInt8] { SignatureSection.preAuthentication(type: type, payload: payload) }

    /// The signatures as `TrustRoot.signers` counts them.
    var claimed: [ClaimedSignature] {
        signatures.map { ClaimedSignature(algorithm: nil, keyID: $0.keyID, signature: $0.signature) }
    }

    /// The file's JSON.
    public var json: JSONValue {
        .members([
            ("payloadType", .string(type)),
            ("payload", .string(Base64.encode(payload))),
            (
                "signatures",
                .array(
                    signatures.map { signature in
                        .members([
                            ("keyid", .string(signature.keyID.hex)),
                            ("sig", .string(Base64.encode(signature.signature))),
                        ])
                    })
            ),
        ])
    }

    /// Decodes strictly a file of at most `limit` bytes that must be of this type.
    static func decode(_ bytes: [UInt8], type: String, limit: Int) throws(JSONError) -> SignedEnvelope {
        var top = try JSONObjectReader(try JSONValue.parse(bytes, limit: limit), at: "file")
        if try top.string("payloadType", limit: 128) != type {
            throw JSONError(.outOfBounds, at: "file.payloadType", "must be \(type)")
        }
        let payload = try base64(&top, "payload", limit: limit)
        var signatures: [Signature] = []
        for (index, value) in try top.array("signatures", count: 0...mostSignatures).enumerated() {
            var entry = try JSONObjectReader(value, at: "file.signatures[\(index)]")
            let keyID = try entry.digest("keyid")
            let signature = try base64(&entry, "sig", limit: (longestSignature + 2) / 3 * 4)
            try entry.finish()
            signatures.append(Signature(keyID: keyID, signature: signature))
        }
        try top.finish()
        return SignedEnvelope(type: type, payload: payload, signatures: signatures)
    }

    private static func base64(
        _ reader: inout JSONObjectReader, _ name: String, limit: Int
    ) throws(JSONError) -> [UInt8] {
        guard let bytes = Base64.decode(try reader.string(name, limit: limit)) else {
            throw JSONError(.outOfBounds, at: reader.path(name), "is not base64 (RFC 4648 section 4)")
        }
        return bytes
    }
}
