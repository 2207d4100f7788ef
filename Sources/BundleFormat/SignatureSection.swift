internal import Platform

/// One signature over the manifest.
public struct ManifestSignature: Equatable, Sendable {
    /// The algorithm's number; unknown ones are kept and never counted.
    public let algorithm: UInt8
    /// Which key is said to have signed: a hint for finding it, not a proof.
    public let keyID: Digest
    public let signature: [UInt8]

    public init(algorithm: UInt8, keyID: Digest, signature: [UInt8]) {
        self.algorithm = algorithm
        self.keyID = keyID
        self.signature = signature
    }
}

/// The signatures of a bundle: a count, and for each `algorithm u8, zero u8, length u16, key id 32, signature`.
public struct SignatureSection: Equatable, Sendable {
    public let signatures: [ManifestSignature]

    /// What is signed says what it is (DSSE pre-authentication encoding, payload type).
    public static let payloadType = "application/vnd.kedge.manifest.v1+json"

    /// What the length field of a signature can say.
    static let longestSignature = Int(UInt16.max)

    public init(_ signatures: [ManifestSignature]) throws(FormatError) {
        if signatures.count > BundleLimits.signatures {
            throw .tooLarge(
                what: "the number of signatures", size: UInt64(signatures.count),
                limit: UInt64(BundleLimits.signatures))
        }
        for signature in signatures where signature.signature.count > Self.longestSignature {
            throw .tooLarge(
                what: "a signature", size: UInt64(signature.signature.count), limit: UInt64(Self.longestSignature))
        }
        self.signatures = signatures
    }

    public static func decode(_ bytes: RawSpan) throws(FormatError) -> SignatureSection {
        var reader = ByteReader(bytes, what: "the signature section")
        let count = try reader.u16()
        if Int(count) > BundleLimits.signatures {
            throw .tooLarge(
                what: "the number of signatures", size: UInt64(count), limit: UInt64(BundleLimits.signatures))
        }
        var signatures: [ManifestSignature] = []
        for _ in 0..<count {
            let algorithm = try reader.u8()
            if try reader.u8() != 0 { throw .malformed(what: "the signature section", "a reserved byte is not zero") }
            let length = try reader.u16()
            let keyID = try reader.digest()
            let signature = try reader.array(Int(length))
            signatures.append(ManifestSignature(algorithm: algorithm, keyID: keyID, signature: signature))
        }
        if reader.remaining != 0 { throw .malformed(what: "the signature section", "has bytes behind its end") }
        return try SignatureSection(signatures)
    }

    public func encode() -> [UInt8] {
        var writer = ByteWriter()
        writer.u16(UInt16(signatures.count))
        for signature in signatures {
            writer.u8(signature.algorithm)
            writer.u8(0)
            writer.u16(UInt16(signature.signature.count))
            writer.digest(signature.keyID)
            writer.array(signature.signature)
        }
        return writer.bytes
    }

    /// DSSE's pre-authentication encoding of a payload (secure-systems-lab/dsse, protocol.md): what a signature
    /// covers, so that a signature for one type of document never counts for another.
    public static func preAuthentication(type: String, payload: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(payload.count + 96)
        out.append(contentsOf: "DSSEv1 \(type.utf8.count) ".utf8)
        out.append(contentsOf: type.utf8)
        out.append(contentsOf: " \(payload.count) ".utf8)
        out.append(contentsOf: payload)
        return out
    }
}
