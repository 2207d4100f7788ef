internal import BundleFormat
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

    /// A new Ed25519 key from the kernel's randomness.
    public static func generate() throws(SigningError) -> SigningKey {
        guard let context = unsafe EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nil) else {
            throw .library(operation: "make Ed25519 keys")
        }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        var made: OpaquePointer?
        guard unsafe EVP_PKEY_keygen_init(context) == 1, unsafe EVP_PKEY_keygen(context, &made) == 1,
            let made = unsafe made
        else {
            ERR_clear_error()
            throw .library(operation: "make Ed25519 keys")
        }
        return try unsafe SigningKey(owning: made, path: "the new key")
    }

    /// The signature over these bytes; it is verified before it is given out, because a signature that a broken
    /// processor or memory got wrong can tell the private key.
    public func sign(_ message: [UInt8]) throws(SigningError) -> [UInt8] {
        guard let context = unsafe EVP_MD_CTX_new() else { throw .library(operation: "sign") }
        defer { unsafe EVP_MD_CTX_free(context) }
        var signature = [UInt8](repeating: 0, count: publicKey.algorithm.signatureLength)
        var length = signature.count
        let signed = unsafe signature.withUnsafeMutableBufferPointer { signature in
            unsafe message.withUnsafeBufferPointer { message in
                unsafe EVP_DigestSignInit(context, nil, nil, nil, raw) == 1
                    && EVP_DigestSign(context, signature.baseAddress, &length, message.baseAddress, message.count)
                        == 1
            }
        }
        guard signed, length == signature.count else {
            ERR_clear_error()
            throw .library(operation: "sign")
        }
        do throws(TrustError) { try publicKey.verify(signature, over: message) } catch { throw .trust(error) }
        return signature
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
    guard unsafe EVP_PKEY_is_a(raw, "ED25519") == 1 else {
        throw .invalid(path: path, why: "only Ed25519 keys are supported")
    }
    let algorithm = SignatureAlgorithm.ed25519
    var bytes = [UInt8](repeating: 0, count: algorithm.publicKeyLength)
    var length = bytes.count
    let done = unsafe bytes.withUnsafeMutableBufferPointer { bytes in
        unsafe EVP_PKEY_get_raw_public_key(raw, bytes.baseAddress, &length)
    }
    guard done == 1, length == bytes.count, let key = PublicKey(algorithm: algorithm, bytes: bytes) else {
        ERR_clear_error()
        throw .invalid(path: path, why: "its public half is not usable")
    }
    return key
}
