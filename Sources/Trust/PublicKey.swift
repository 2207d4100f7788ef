public import BundleFormat
internal import COpenSSL
internal import Platform

/// A public key that can verify signatures.
public struct PublicKey: Hashable, Sendable {
    public let algorithm: SignatureAlgorithm
    /// The raw key, exactly as long as the algorithm asks for.
    public let bytes: [UInt8]
    /// SHA-256 of the algorithm's byte and the raw key: how documents and bundles name it.
    public let id: Digest

    /// Nil when the length is wrong, when the key is one for which anybody can make signatures (the Ed25519 points of
    /// small order, an ML-DSA key whose t1 is zero), or when it is not the one form of a point of P-256.
    ///
    /// An ML-DSA key can be held, listed and compared where OpenSSL does not know the algorithm; only `verify` needs it.
    public init?(algorithm: SignatureAlgorithm, bytes: [UInt8]) {
        guard bytes.count == algorithm.publicKeyLength else { return nil }
        switch algorithm {
        case .ed25519: if Self.hasSmallOrder(bytes) { return nil }
        case .ecdsaP256: if bytes[0] != Self.uncompressed || KeyHandle(algorithm, bytes) == nil { return nil }
        // FIPS 204 section 7.2: 32 bytes of rho, then t1. Every t1 decodes; with t1 = 0 any short z verifies.
        case .mlDSA65, .mlDSA87: if !bytes[32...].contains(where: { $0 != 0 }) { return nil }
        }
        self.algorithm = algorithm
        self.bytes = bytes
        id = SHA256.digest(of: [algorithm.rawValue] + bytes)
    }

    /// Returns when the signature is this key's over exactly this message, and throws otherwise: `algorithm` where
    /// OpenSSL does not know the key's algorithm, `badSignature` in every other case.
    ///
    /// For Ed25519 OpenSSL checks RFC 8032 section 5.1.7, including S < L; for ECDSA `P256Signature` refuses every
    /// form but one; ML-DSA's hint has one encoding (FIPS 204 algorithm 21). So nobody can make a second signature
    /// from one.
    public func verify(_ signature: [UInt8], over message: [UInt8]) throws(TrustError) {
        if !algorithm.isSupported { throw .algorithm(algorithm) }
        guard signature.count == algorithm.signatureLength, let encoded = encoded(signature),
            let key = KeyHandle(algorithm, bytes), let context = VerifyContext()
        else { throw .badSignature(key: id) }
        let verified = unsafe encoded.withUnsafeBufferPointer { signature in
            unsafe message.withUnsafeBufferPointer { message in
                // One shot: Ed25519 reads the message twice and has no streaming form.
                unsafe EVP_DigestVerifyInit(context.raw, nil, hash, nil, key.raw) == 1
                    && EVP_DigestVerify(
                        context.raw, signature.baseAddress, signature.count, message.baseAddress, message.count) == 1
            }
        }
        guard verified else {
            // The reason stays in the thread's queue and would be reported by the next TLS error.
            ERR_clear_error()
            throw .badSignature(key: id)
        }
    }

    /// The signature in the form that OpenSSL reads; nil when it is not in the form that bundles have.
    private func encoded(_ signature: [UInt8]) -> [UInt8]? {
        switch algorithm {
        case .ed25519, .mlDSA65, .mlDSA87: signature
        case .ecdsaP256: P256Signature(signature)?.der
        }
    }

    /// The hash that OpenSSL must use; Ed25519 and ML-DSA have their own inside.
    private var hash: OpaquePointer? {
        switch algorithm {
        case .ed25519, .mlDSA65, .mlDSA87: nil
        case .ecdsaP256: unsafe EVP_sha256()
        }
    }

    /// First byte of an uncompressed point (SEC 1 section 2.3.3).
    private static let uncompressed: UInt8 = 4

    /// Encodings of the points of order 1, 2, 4 and 8, without the sign bit; the last two are not canonical
    /// (y = p and y = p + 1).
    private static let smallOrder: [String] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]

    private static func hasSmallOrder(_ key: [UInt8]) -> Bool {
        var bytes = key
        bytes[31] &= 0x7f
        return smallOrder.contains(Hex.encode(bytes))
    }
}

/// Owns an OpenSSL key.
@safe private struct KeyHandle: ~Copyable {
    let raw: OpaquePointer

    /// Nil when OpenSSL refuses the key: for P-256 coordinates out of range and points beside the curve.
    init?(_ algorithm: SignatureAlgorithm, _ key: [UInt8]) {
        let info = algorithm.publicKeyPrefix + key
        let made = unsafe info.withUnsafeBufferPointer { bytes in
            var cursor = bytes.baseAddress
            return unsafe d2i_PUBKEY(nil, &cursor, bytes.count)
        }
        guard let made = unsafe made else {
            ERR_clear_error()
            return nil
        }
        unsafe raw = made
    }

    deinit { unsafe EVP_PKEY_free(raw) }
}

/// Owns an OpenSSL verification context.
@safe private struct VerifyContext: ~Copyable {
    let raw: OpaquePointer

    init?() {
        guard let made = unsafe EVP_MD_CTX_new() else { return nil }
        unsafe raw = made
    }

    deinit { unsafe EVP_MD_CTX_free(raw) }
}
