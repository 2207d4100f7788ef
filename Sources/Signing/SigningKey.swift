public import BundleFormat
internal import COpenSSL
internal import Platform
public import Trust

/// A private key in memory. A class and not a `~Copyable` struct, because several keys sign one document and wait in
/// an array. It lives in OpenSSL's memory, which is wiped when the last owner goes.
@safe public final class SigningKey: @unchecked Sendable {
    let raw: OpaquePointer
    /// The key that verifies what this one signs.
    public let publicKey: PublicKey

    /// Takes ownership of an OpenSSL key, which is freed also when it is refused.
    init(owning raw: OpaquePointer, path: String) throws(SigningError) {
        do throws(SigningError) {
            publicKey = try unsafe rawPublicKey(of: raw, path: path)
        } catch {
            unsafe EVP_PKEY_free(raw)
            throw error
        }
        unsafe self.raw = raw
    }

    deinit { unsafe EVP_PKEY_free(raw) }

    /// A new key from the kernel's randomness. Throws `SigningError.algorithm` where OpenSSL does not know it.
    public static func generate(_ algorithm: SignatureAlgorithm = .ed25519) throws(SigningError) -> SigningKey {
        if !algorithm.isSupported { throw .algorithm(algorithm) }
        let kind =
            switch algorithm {
            case .ecdsaP256: "EC"
            case .ed25519, .mlDSA65, .mlDSA87: algorithm.libraryName
            }
        guard let context = unsafe EVP_PKEY_CTX_new_from_name(nil, kind, nil) else {
            throw .library(operation: "make \(algorithm.name) keys")
        }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        var made: OpaquePointer?
        var ready = unsafe EVP_PKEY_keygen_init(context) == 1
        if algorithm == .ecdsaP256 { ready = unsafe ready && EVP_PKEY_CTX_set_group_name(context, "P-256") == 1 }
        guard ready, unsafe EVP_PKEY_keygen(context, &made) == 1, let made = unsafe made
        else {
            ERR_clear_error()
            throw .library(operation: "make \(algorithm.name) keys")
        }
        return try unsafe SigningKey(owning: made, path: "the new key")
    }

    /// The Ed25519 key whose private bytes (RFC 8032) are this digest: a key that is the same in every process and
    /// therefore guards nothing, for simulation.
    package convenience init(ed25519Seed seed: Digest) throws(SigningError) {
        let bytes = seed.bytes
        let raw = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe EVP_PKEY_new_raw_private_key_ex(nil, "ED25519", nil, bytes.baseAddress, bytes.count)
        }
        guard let raw = unsafe raw else {
            ERR_clear_error()
            throw .library(operation: "make ed25519 keys")
        }
        try unsafe self.init(owning: raw, path: "the simulation's key")
    }

    /// The signature over these bytes; it is verified before it is given out, because a signature that a broken
    /// processor or memory got wrong can tell the private key.
    ///
    /// Ed25519 gives the same signature each time, ECDSA and ML-DSA another one.
    public func sign(_ message: [UInt8]) throws(SigningError) -> [UInt8] {
        let signature: [UInt8]
        switch publicKey.algorithm {
        case .ed25519, .mlDSA65, .mlDSA87:
            signature = try unsafe sign(message, hash: nil, room: publicKey.algorithm.signatureLength)
        case .ecdsaP256:
            let der = try unsafe sign(message, hash: EVP_sha256(), room: Int(EVP_PKEY_get_size(raw)))
            guard let fixed = P256Signature(der: der) else { throw .library(operation: "sign") }
            signature = fixed.bytes
        }
        do throws(TrustError) { try publicKey.verify(signature, over: message) } catch { throw .trust(error) }
        return signature
    }

    /// The signature as OpenSSL writes it, at most `room` bytes.
    @unsafe private func sign(
        _ message: [UInt8], hash: OpaquePointer?, room: Int
    ) throws(SigningError) -> [UInt8] {
        guard let context = unsafe EVP_MD_CTX_new() else { throw .library(operation: "sign") }
        defer { unsafe EVP_MD_CTX_free(context) }
        var signature = [UInt8](repeating: 0, count: room)
        var length = signature.count
        let signed = unsafe signature.withUnsafeMutableBufferPointer { signature in
            unsafe message.withUnsafeBufferPointer { message in
                unsafe EVP_DigestSignInit(context, nil, hash, nil, raw) == 1
                    && EVP_DigestSign(context, signature.baseAddress, &length, message.baseAddress, message.count)
                        == 1
            }
        }
        guard signed, length <= room else {
            ERR_clear_error()
            throw .library(operation: "sign")
        }
        return Array(signature[..<length])
    }

    /// The signature over a bundle's manifest, given the manifest's exact bytes.
    func sign(manifest bytes: [UInt8]) throws(SigningError) -> ManifestSignature {
        let message = SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: bytes)
        return ManifestSignature(
            algorithm: publicKey.algorithm.rawValue, keyID: publicKey.id, signature: try sign(message))
    }
}

/// The raw public half of an OpenSSL key; only algorithms that bundles know.
@unsafe func rawPublicKey(of raw: OpaquePointer, path: String) throws(SigningError) -> PublicKey {
    // A point may be written in three forms; bundles know one. Keys without a point refuse, which changes nothing.
    _ = unsafe EVP_PKEY_set_utf8_string_param(raw, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed")
    var memory: UnsafeMutablePointer<UInt8>?
    let count = unsafe i2d_PUBKEY(raw, &memory)
    ERR_clear_error()
    guard let memory = unsafe memory, count > 0 else {
        throw .invalid(path: path, why: "its public half is not usable")
    }
    defer { unsafe CRYPTO_free(memory, nil, 0) }
    let info = unsafe Array(UnsafeBufferPointer(start: memory, count: Int(count)))
    for algorithm in SignatureAlgorithm.allCases where info.starts(with: algorithm.publicKeyPrefix) {
        let bytes = Array(info.dropFirst(algorithm.publicKeyPrefix.count))
        if let key = PublicKey(algorithm: algorithm, bytes: bytes) { return key }
        throw .invalid(path: path, why: "its public half is not usable")
    }
    throw .invalid(path: path, why: "only Ed25519, ECDSA P-256, ML-DSA-65 and ML-DSA-87 keys are supported")
}
