public import BundleFormat
internal import Platform
public import StrictJSON

/// The file `root.json`: a root document with its signatures, in the form of a DSSE envelope (secure-systems-lab/dsse,
/// envelope.md). Nothing in it is verified.
public struct RootFile: Equatable, Sendable {
    /// Largest file, bytes: room for a rotation among 3 root and 3 release holders who each have an ML-DSA-87 key
    /// too, whose keys take 7 KiB each and whose signatures 6 KiB.
    public static let limit = 128 * 1024
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

    /// The exact bytes of the root document.
    public let payload: [UInt8]
    public let signatures: [Signature]

    public init(payload: [UInt8], signatures: [Signature]) {
        self.payload = payload
        self.signatures = signatures
    }

    /// What each signature covers.
    public var signedBytes: [UInt8] {
        SignatureSection.preAuthentication(type: TrustRoot.payloadType, payload: payload)
    }

    /// The document.
    public var json: JSONValue {
        .members([
            ("payloadType", .string(TrustRoot.payloadType)),
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

    /// The bytes of the file.
    public var bytes: [UInt8] { json.bytes }

    /// Decodes strictly.
    public static func decode(_ bytes: [UInt8]) throws(TrustError) -> RootFile {
        do throws(JSONError) {
            var top = try JSONObjectReader(try JSONValue.parse(bytes, limit: limit), at: "file")
            if try top.string("payloadType", limit: 128) != TrustRoot.payloadType {
                throw JSONError(.outOfBounds, at: "file.payloadType", "must be \(TrustRoot.payloadType)")
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
            return RootFile(payload: payload, signatures: signatures)
        } catch {
            throw .root(error)
        }
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
