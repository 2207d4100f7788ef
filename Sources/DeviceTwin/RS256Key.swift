internal import BundleFormat
internal import COpenSSL
internal import Platform

/// An RSA public key that checks RS256 signatures (RFC 7518 section 3.3), which Azure Device Update uses. Kedge's own
/// bundles know no RSA.
struct RS256Key: Equatable, Sendable {
    /// Big endian, without leading zeros.
    let modulus: [UInt8]
    /// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), and the RSAPublicKey in it (RFC 8017 appendix A.1.1).
    private let encoded: [UInt8]
    private let inner: [UInt8]

    /// Bytes of a modulus: RFC 7518 asks for 2048 bits and more; longer ones than 8192 only cost time.
    private static let lengths = 256...1024
    /// The one exponent that Device Update knows, 65537.
    private static let exponent: [UInt8] = [1, 0, 1]

    /// Nil for a modulus that is too short, too long or even.
    init?(modulus bytes: [UInt8]) {
        let modulus = Array(bytes.drop { $0 == 0 })
        guard Self.lengths.contains(modulus.count), let last = modulus.last, last & 1 == 1 else { return nil }
        self.modulus = modulus
        let key = Self.der(0x30, Self.integer(modulus) + Self.integer(Self.exponent))
        // rsaEncryption (1.2.840.113549.1.1.1), NULL
        let algorithm: [UInt8] = [
            0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
        ]
        inner = key
        encoded = Self.der(0x30, algorithm + Self.der(0x03, [0] + key))
    }

    /// SHA-256 of the encoded key: how a root-key package names one that is no longer trusted. Which of the two encodings
    /// is meant is not documented, so a key is out when either is named.
    var fingerprints: [Digest] { [SHA256.digest(of: encoded), SHA256.digest(of: inner)] }

    /// Whether the signature is this key's over exactly this message.
    func verifies(_ signature: [UInt8], over message: [UInt8]) -> Bool {
        guard signature.count == modulus.count else { return false }
        let result = unsafe encoded.withUnsafeBufferPointer { bytes -> Bool in
            var start = bytes.baseAddress
            guard let key = unsafe d2i_PUBKEY(nil, &start, bytes.count) else { return false }
            defer { unsafe EVP_PKEY_free(key) }
            guard let context = unsafe EVP_MD_CTX_new() else { return false }
            defer { unsafe EVP_MD_CTX_free(context) }
            return unsafe EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, key) == 1
                && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
        }
        // The reason stays in the thread's queue and would be reported by the next TLS error.
        if !result { ERR_clear_error() }
        return result
    }

    private static func integer(_ number: [UInt8]) -> [UInt8] {
        der(0x02, (number.first ?? 0x80) & 0x80 != 0 ? [0] + number : number)
    }

    /// One element of DER; contents up to 65535 bytes.
    private static func der(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count = content.count
        if count < 0x80 { return [tag, UInt8(count)] + content }
        if count < 0x100 { return [tag, 0x81, UInt8(count)] + content }
        return [tag, 0x82, UInt8(count >> 8), UInt8(count & 0xff)] + content
    }
}

/// Base64 as Device Update's documents have it: of either alphabet, padded or not.
enum LooseBase64 {
    static func decode(_ text: String) -> [UInt8]? {
        var standard: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x2d: standard.append(0x2b)
            case 0x5f: standard.append(0x2f)
            default: standard.append(byte)
            }
        }
        while standard.count % 4 != 0 { standard.append(0x3d) }
        return Base64.decode(String(decoding: standard, as: UTF8.self))
    }
}
