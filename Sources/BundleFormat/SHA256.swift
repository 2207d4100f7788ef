internal import COpenSSL
internal import Platform

/// Frees a hashing context; out of line so that no C type crosses the module border.
@usableFromInline func freeHashContext(_ context: UnsafeMutableRawPointer) {
    unsafe EVP_MD_CTX_free(OpaquePointer(context))
}

/// SHA-256 over bytes that arrive in pieces, by OpenSSL (SHA extensions of the processor are used).
@safe @frozen public struct SHA256: ~Copyable, @unchecked Sendable {
    @usableFromInline let context: UnsafeMutableRawPointer

    @inlinable deinit { unsafe freeHashContext(context) }

    /// An empty hash.
    public init() {
        guard let context = unsafe EVP_MD_CTX_new(), unsafe EVP_DigestInit_ex2(context, EVP_sha256(), nil) == 1 else {
            // Only a failed allocation of some hundred bytes or a broken OpenSSL gets here, and nothing can be
            // verified without a hash.
            preconditionFailure("SHA-256 is not available")
        }
        unsafe self.context = UnsafeMutableRawPointer(context)
    }

    /// Adds bytes.
    public mutating func update(_ bytes: RawSpan) {
        let done = unsafe bytes.withUnsafeBytes { memory in
            unsafe EVP_DigestUpdate(OpaquePointer(context), memory.baseAddress, memory.count)
        }
        precondition(done == 1, "SHA-256 update failed")
    }

    /// The digest of all bytes so far; the hash is empty again afterwards.
    public mutating func finish() -> Digest {
        var out = [UInt8](repeating: 0, count: Digest.byteCount)
        let done = unsafe out.withUnsafeMutableBufferPointer { memory in
            unsafe EVP_DigestFinal_ex(OpaquePointer(context), memory.baseAddress, nil)
        }
        let again = unsafe EVP_DigestInit_ex2(OpaquePointer(context), EVP_sha256(), nil)
        guard done == 1, again == 1, let digest = Digest(bytes: out.rawBytes) else {
            preconditionFailure("SHA-256 final failed")
        }
        return digest
    }

    /// The digest of one piece.
    public static func digest(of bytes: RawSpan) -> Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    /// The digest of an array.
    public static func digest(of bytes: [UInt8]) -> Digest { digest(of: bytes.rawBytes) }

    /// HMAC-SHA256 of a text (RFC 2104), 32 bytes.
    public static func authenticationCode(of text: String, key: [UInt8]) -> [UInt8] {
        let message = Array(text.utf8)
        var code = [UInt8](repeating: 0, count: Digest.byteCount)
        var length = UInt32(code.count)
        let done = unsafe HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &code, &length)
        precondition(unsafe done != nil && Int(length) == code.count, "HMAC-SHA256 is in every OpenSSL")
        return code
    }
}
