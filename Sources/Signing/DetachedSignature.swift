public import BundleFormat
internal import Platform
internal import StrictJSON
internal import Trust

/// A signature in a file of its own, on its way from the room where it was made to the bundle.
public struct DetachedSignature: Equatable, Sendable {
    public let algorithm: SignatureAlgorithm
    /// Which key is said to have signed.
    public let keyID: Digest
    /// SHA-256 of the payload that is said to be signed: tells a signature for another release from a bad one.
    public let payload: Digest
    public let signature: [UInt8]

    private static let type = "kedge.signature"
    private static let format: Int64 = 1
    /// Largest file, bytes; that of an ML-DSA-87 signature in base64 is 6 KiB.
    static let limit = 16 * 1024

    /// Signs a payload.
    public init(signing payload: SigningPayload, with key: SigningKey) throws(SigningError) {
        algorithm = key.publicKey.algorithm
        keyID = key.publicKey.id
        self.payload = payload.digest
        signature = try key.sign(payload.bytes)
    }

    /// The bytes of the file: one JSON object.
    public var bytes: [UInt8] {
        let document = JSONValue.members([
            ("type", .string(Self.type)), ("format", .integer(Self.format)),
            ("algorithm", .string(algorithm.name)), ("keyid", .string(keyID.hex)),
            ("payload", .string(payload.hex)), ("sig", .string(Base64.encode(signature))),
        ])
        return Array((document.prettyText + "\n").utf8)
    }

    /// Decodes a file strictly; nothing is verified.
    static func decode(_ bytes: [UInt8]) throws(JSONError) -> DetachedSignature {
        var top = try JSONObjectReader(try JSONValue.parse(bytes, limit: limit), at: "signature")
        if try top.string("type", limit: 64) != type {
            throw JSONError(.outOfBounds, at: top.path("type"), "must be \(type)")
        }
        _ = try top.integer("format", in: format...format)
        guard let algorithm = SignatureAlgorithm(name: try top.string("algorithm", limit: 32)) else {
            throw JSONError(.outOfBounds, at: top.path("algorithm"), "is not known to this version")
        }
        let keyID = try top.digest("keyid")
        let payload = try top.digest("payload")
        guard let signature = Base64.decode(try top.string("sig", limit: limit)) else {
            throw JSONError(.outOfBounds, at: top.path("sig"), "is not base64 (RFC 4648 section 4)")
        }
        try top.finish()
        return DetachedSignature(algorithm: algorithm, keyID: keyID, payload: payload, signature: signature)
    }

    private init(algorithm: SignatureAlgorithm, keyID: Digest, payload: Digest, signature: [UInt8]) {
        self.algorithm = algorithm
        self.keyID = keyID
        self.payload = payload
        self.signature = signature
    }
}

extension DetachedSignature {
    /// Reads a signature file and verifies it over the payload with one of the keys. The file is what
    /// `DetachedSignature.bytes` gave, or the bare signature of another program (`openssl dgst -sign`,
    /// `openssl pkeyutl -sign`); ECDSA may be DER, and gets the low s.
    ///
    /// Throws `SigningError.refused` when no key of the list verifies it.
    static func verified(
        reading path: String, over payload: SigningPayload, by keys: [PublicKey]
    ) throws(SigningError) -> DetachedSignature {
        let bytes = try wrapping { () throws(SystemError) in try FileSystem.read(path, limit: limit) }
        return try verified(bytes, from: path, over: payload, by: keys)
    }

    /// The same with the bytes of such a file, or those in base64; `path` names them in errors.
    static func verified(
        _ bytes: [UInt8], from path: String, over payload: SigningPayload, by keys: [PublicKey]
    ) throws(SigningError) -> DetachedSignature {
        guard bytes.first == UInt8(ascii: "{") else {
            for key in keys {
                let decoded = Base64.decode(String(decoding: bytes.filter { $0 != 0x0a && $0 != 0x0d }, as: UTF8.self))
                guard
                    let signature = canonical(bytes, for: key.algorithm)
                        ?? decoded.flatMap({ canonical($0, for: key.algorithm) })
                else { continue }
                do throws(TrustError) { try key.verify(signature, over: payload.bytes) } catch {
                    if case .algorithm = error { throw .trust(error) }
                    continue
                }
                return DetachedSignature(
                    algorithm: key.algorithm, keyID: key.id, payload: payload.digest, signature: signature)
            }
            throw .refused(path: path, why: "none of the given keys made it for this release")
        }
        let found: DetachedSignature
        do throws(JSONError) { found = try decode(bytes) } catch {
            throw .refused(path: path, why: error.context)
        }
        if found.payload != payload.digest { throw .refused(path: path, why: "it is for another release") }
        guard let key = keys.first(where: { $0.id == found.keyID }) else {
            throw .refused(path: path, why: "its key \(found.keyID.hex) is not one of the given keys")
        }
        do throws(TrustError) { try key.verify(found.signature, over: payload.bytes) } catch {
            throw .refused(path: path, why: error.context)
        }
        if key.algorithm != found.algorithm { throw .refused(path: path, why: "its algorithm is not that of its key") }
        return found
    }

    /// These signatures with this one in the place of an older one by the same key.
    func joined(to others: [ManifestSignature]) -> [ManifestSignature] {
        others.filter { $0.keyID != keyID }
            + [ManifestSignature(algorithm: algorithm.rawValue, keyID: keyID, signature: signature)]
    }

    /// The form that bundles carry, from that or, for ECDSA, from DER.
    private static func canonical(_ bytes: [UInt8], for algorithm: SignatureAlgorithm) -> [UInt8]? {
        switch algorithm {
        case .ed25519, .mlDSA65, .mlDSA87: bytes.count == algorithm.signatureLength ? bytes : nil
        case .ecdsaP256:
            P256Signature(der: bytes)?.bytes
                ?? (bytes.count == algorithm.signatureLength
                    ? P256Signature(r: Array(bytes[..<32]), s: Array(bytes[32...]))?.bytes : nil)
        }
    }
}
