internal import COpenSSL

/// A secret that only one TPM can open: what the provisioning service sends to a device that names its endorsement
/// key. The TPM gives it back only if the storage root key is in the same TPM, and imports the key in it without ever
/// showing it (TPM 2.0 Library, part 1, sections 23 and 24).
///
/// The blob is `TPM2B_ID_OBJECT | TPM2B_ENCRYPTED_SECRET | TPM2B_PRIVATE | TPM2B_ENCRYPTED_SECRET | TPM2B_PUBLIC`.
struct TPMChallenge {
    private static let sha256: UInt16 = 0x000b
    let blob: [UInt8]

    /// Wraps `key`, an HMAC key, for the TPM of these two public areas (TPM2B_PUBLIC, RSA); nil when they are not such.
    init?(wrapping key: [UInt8], endorsementKey: [UInt8], storageRootKey: [UInt8], random: (Int) -> [UInt8]) {
        guard let endorsement = TPMPublic(endorsementKey), let root = TPMPublic(storageRootKey) else { return nil }
        let inner = random(16)

        // Making the credential: bound to the name of the storage root key.
        let seed = random(32)
        guard let secret = endorsement.encrypt(seed, label: "IDENTITY") else { return nil }
        let credential = Self.protected(Self.sized(inner), seed: seed, name: root.name)

        // The key as a TPM object, and its private part wrapped twice: with the credential and for the parent.
        let unique = random(32)
        let area = Self.publicArea(unique: CertificateText.digest(unique + key, .sha256))
        let name = Self.bytes(Self.sha256) + CertificateText.digest(area, .sha256)
        let sensitive = Self.sized(Self.bytes(UInt16(0x0008)) + Self.sized([]) + Self.sized(unique) + Self.sized(key))
        let integrity = Self.sized(CertificateText.digest(sensitive + name, .sha256))
        let wrapped = BlockCipher.encrypt(integrity + sensitive, key: inner)
        let outerSeed = random(32)
        guard let outerSecret = root.encrypt(outerSeed, label: "DUPLICATE") else { return nil }
        let duplicate = Self.protected(wrapped, seed: outerSeed, name: name)

        blob =
            Self.sized(credential) + Self.sized(secret) + Self.sized(duplicate) + Self.sized(outerSecret)
            + Self.sized(area)
    }

    /// `outer wrap` of part 1, 24.4: encrypted with a key of the seed, and an HMAC over it and the name.
    private static func protected(_ plain: [UInt8], seed: [UInt8], name: [UInt8]) -> [UInt8] {
        let cipher = derive(seed, "STORAGE", name, bits: 128)
        let secret = BlockCipher.encrypt(plain, key: cipher)
        let code = derive(seed, "INTEGRITY", [], bits: 256)
        return sized(MessageCode.sha256(key: code, secret + name)) + secret
    }

    /// KDFa (part 1, 11.4.10.2) with SHA-256: at most one block is needed.
    private static func derive(_ key: [UInt8], _ label: String, _ context: [UInt8], bits: UInt32) -> [UInt8] {
        let message = bytes(UInt32(1)) + Array(label.utf8) + [0] + context + bytes(bits)
        return Array(MessageCode.sha256(key: key, message).prefix(Int(bits / 8)))
    }

    /// TPMT_PUBLIC of an HMAC-SHA256 key: KEYEDHASH, userWithAuth and sign.
    private static func publicArea(unique: [UInt8]) -> [UInt8] {
        bytes(UInt16(0x0008)) + bytes(sha256) + bytes(UInt32(1 << 6 | 1 << 18)) + sized([]) + bytes(UInt16(0x0005))
            + bytes(sha256)
            + sized(unique)
    }

    private static func sized(_ body: [UInt8]) -> [UInt8] { bytes(UInt16(truncatingIfNeeded: body.count)) + body }
    private static func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
    private static func bytes(_ number: UInt32) -> [UInt8] {
        bytes(UInt16(number >> 16)) + bytes(UInt16(truncatingIfNeeded: number))
    }
}

/// AES-128-CFB with a zero vector, as TPMs wrap objects.
private enum BlockCipher {
    static func encrypt(_ plain: [UInt8], key: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: plain.count + 16)
        var length: Int32 = 0
        let context = unsafe EVP_CIPHER_CTX_new()
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        let zero = [UInt8](repeating: 0, count: 16)
        let done =
            unsafe EVP_EncryptInit_ex(context, EVP_aes_128_cfb128(), nil, key, zero) == 1
            && EVP_EncryptUpdate(context, &out, &length, plain, Int32(plain.count)) == 1
        precondition(done && Int(length) == plain.count, "AES-128-CFB is in every OpenSSL")
        return Array(out[0..<plain.count])
    }
}

/// The public area of an RSA storage key.
private struct TPMPublic {
    /// Algorithm and digest of the area.
    let name: [UInt8]
    private let modulus: [UInt8]
    private let exponent: UInt32

    /// From TPM2B_PUBLIC (part 2, 12.2.5).
    init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        func take(_ count: Int) -> ArraySlice<UInt8>? {
            guard rest.count >= count else { return nil }
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        func number() -> UInt16? { take(2).map { $0.reduce(0) { $0 << 8 | UInt16($1) } } }
        guard let size = number(), Int(size) == rest.count else { return nil }
        let area = Array(rest)
        guard number() == 0x0001, number() == 0x000b, take(4) != nil, let policy = number(), take(Int(policy)) != nil,
            let symmetric = number(), symmetric == 0x0010 || take(4) != nil, let scheme = number(),
            scheme == 0x0010 || take(2) != nil, take(2) != nil, let exponent = take(4), let length = number(),
            let modulus = take(Int(length)), rest.isEmpty
        else { return nil }
        let stated = exponent.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        self.exponent = stated == 0 ? 65_537 : stated
        self.modulus = Array(modulus)
        name = [0x00, 0x0b] + CertificateText.digest(area, .sha256)
    }

    /// RSA-OAEP with SHA-256 and a label that ends in zero, as TPMs use it (part 1, B.4).
    func encrypt(_ secret: [UInt8], label: String) -> [UInt8]? {
        guard let key = unsafe kedge_rsa_public(modulus, modulus.count, UInt(exponent)) else { return nil }
        defer { unsafe EVP_PKEY_free(key) }
        guard let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, key, nil) else { return nil }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        let text = Array(label.utf8) + [0]
        // OpenSSL takes the label over and frees it.
        guard let owned = unsafe CRYPTO_memdup(text, text.count, "", 0) else { return nil }
        guard unsafe EVP_PKEY_encrypt_init(context) == 1,
            unsafe EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1,
            unsafe EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1,
            unsafe EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1,
            unsafe EVP_PKEY_CTX_set0_rsa_oaep_label(context, owned, Int32(text.count)) == 1
        else { return nil }
        var length = modulus.count
        var out = [UInt8](repeating: 0, count: length)
        guard unsafe EVP_PKEY_encrypt(context, &out, &length, secret, secret.count) == 1 else { return nil }
        return Array(out[0..<length])
    }
}
