internal import BundleFormat
internal import COpenSSL
internal import Platform
public import Trust

extension SigningKey {
    /// Largest key file that is read, bytes.
    static let fileLimit = 16 * 1024
    /// scrypt (RFC 7914) with 16 MiB of memory: what `openssl pkcs8 -scrypt` uses, and half of what OpenSSL allows.
    private static let scryptCost: UInt64 = 16384
    private static let scryptBlock: UInt64 = 8
    private static let scryptParallel: UInt64 = 1

    /// Writes the private key to `path` (PKCS#8 PEM, mode 0600) and the public key to `path.pub` (SPKI PEM, mode
    /// 0644). With a passphrase the private key is encrypted with AES-256-CBC under scrypt.
    ///
    /// Throws `SigningError.exists` when one of the two is there; on any error neither file is left behind.
    public func write(to path: String, passphrase: [UInt8]? = nil) throws(SigningError) {
        if let passphrase, passphrase.isEmpty { throw .passphrase(path: path, why: "it is empty") }
        guard let secret = MemoryBIO(), let open = MemoryBIO() else { throw .library(operation: "write keys") }
        try writePrivate(to: secret, passphrase: passphrase)
        guard unsafe PEM_write_bio_PUBKEY(open.raw, raw) == 1 else { throw .library(operation: "write keys") }
        try secret.withBytes { (bytes) throws(SigningError) in try create(path, bytes, mode: 0o600) }
        do throws(SigningError) {
            try open.withBytes { (bytes) throws(SigningError) in try create(path + ".pub", bytes, mode: 0o644) }
        } catch {
            try wrapping { () throws(SystemError) in try FileSystem.remove(path) }
            throw error
        }
        try wrapping { () throws(SystemError) in try FileSystem.flushDirectory(FileSystem.parent(of: path)) }
    }

    private func writePrivate(to out: borrowing MemoryBIO, passphrase: [UInt8]?) throws(SigningError) {
        guard let plain = unsafe EVP_PKEY2PKCS8(raw) else { throw .library(operation: "write keys") }
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(plain) }
        guard let passphrase else {
            guard unsafe PEM_write_bio_PKCS8_PRIV_KEY_INFO(out.raw, plain) == 1 else {
                throw .library(operation: "write keys")
            }
            return
        }
        // Salt (of 16 bytes) and initialization vector come from OpenSSL's generator when none are given.
        guard
            let scheme = unsafe PKCS5_pbe2_set_scrypt(
                EVP_aes_256_cbc(), nil, 16, nil, Self.scryptCost, Self.scryptBlock, Self.scryptParallel)
        else { throw .library(operation: "encrypt keys") }
        let sealed = unsafe passphrase.withUnsafeBytes { memory in
            unsafe PKCS8_set0_pbe(
                memory.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: memory.count), plain,
                scheme)
        }
        guard let sealed = unsafe sealed else {
            unsafe X509_ALGOR_free(scheme)
            throw .library(operation: "encrypt keys")
        }
        defer { unsafe X509_SIG_free(sealed) }
        guard unsafe PEM_write_bio_PKCS8(out.raw, sealed) == 1 else { throw .library(operation: "encrypt keys") }
    }

    /// Creates a file that must not exist, durable; nothing stays when it cannot be written.
    private func create(_ path: String, _ bytes: RawSpan, mode: UInt32) throws(SigningError) {
        do throws(SystemError) {
            let file = try Descriptor(open: path, [.write, .create, .exclusive, .noFollow], mode: mode)
            do throws(SystemError) {
                try file.write(bytes, at: 0)
                try file.flushAll()
            } catch {
                try FileSystem.remove(path)
                throw error
            }
        } catch {
            if error.number == SystemError.exists { throw .exists(path: path) }
            throw .system(error)
        }
    }

    /// Reads a PKCS#8 PEM private key. `passphrase` is asked only when the key is encrypted. A file that its group
    /// or others may use is refused: the key must be taken as known to them.
    public static func load(
        path: String, passphrase: () throws(SigningError) -> [UInt8]
    ) throws(SigningError) -> SigningKey {
        let document = try PEMDocument(reading: path, secret: true)
        switch document.name {
        case "PRIVATE KEY":
            let info = unsafe document.withDER { unsafe d2i_PKCS8_PRIV_KEY_INFO(nil, $0, $1) }
            return try unsafe make(info, path: path)
        case "ENCRYPTED PRIVATE KEY":
            guard let sealed = unsafe document.withDER({ unsafe d2i_X509_SIG(nil, $0, $1) }) else {
                ERR_clear_error()
                throw .invalid(path: path, why: "its encryption cannot be read")
            }
            defer { unsafe X509_SIG_free(sealed) }
            let secret = try passphrase()
            let info = unsafe secret.withUnsafeBytes { memory in
                unsafe PKCS8_decrypt(
                    sealed, memory.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(clamping: memory.count))
            }
            guard let info = unsafe info else {
                ERR_clear_error()
                throw .passphrase(path: path, why: "the passphrase is wrong")
            }
            return try unsafe make(info, path: path)
        default:
            throw .invalid(path: path, why: "it holds a \(document.name), not a PKCS#8 private key")
        }
    }

    @unsafe private static func make(_ info: OpaquePointer?, path: String) throws(SigningError) -> SigningKey {
        guard let info = unsafe info else {
            ERR_clear_error()
            throw .invalid(path: path, why: "it is not PKCS#8")
        }
        defer { unsafe PKCS8_PRIV_KEY_INFO_free(info) }
        guard let raw = unsafe EVP_PKCS82PKEY(info) else {
            ERR_clear_error()
            // DER has one form of an object identifier, so its bytes can be compared.
            var identifier: OpaquePointer?
            _ = unsafe PKCS8_pkey_get0(&identifier, nil, nil, nil, info)
            let length = unsafe OBJ_length(identifier)
            if let start = unsafe OBJ_get0_data(identifier) {
                let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: length))
                for algorithm in SignatureAlgorithm.allCases
                where !algorithm.isSupported && algorithm.objectIdentifier == bytes { throw .algorithm(algorithm) }
            }
            throw .invalid(path: path, why: "its algorithm is not supported")
        }
        return try unsafe SigningKey(owning: raw, path: path)
    }
}

extension PublicKey {
    /// Reads an SPKI PEM public key, as `kedge` and `openssl pkey -pubout` write it. That of an ML-DSA key can be read
    /// also where OpenSSL does not know the algorithm, so that any machine can list it in a trust root.
    public static func load(path: String) throws(SigningError) -> PublicKey {
        let document = try PEMDocument(reading: path, secret: false)
        guard document.name == "PUBLIC KEY" else {
            throw .invalid(path: path, why: "it holds a \(document.name), not a public key")
        }
        let info = unsafe document.withDER { start, count in
            unsafe start.pointee.map { unsafe Array(UnsafeBufferPointer(start: $0, count: count)) } ?? []
        }
        for algorithm in SignatureAlgorithm.allCases
        where !algorithm.isSupported && info.starts(with: algorithm.publicKeyPrefix) {
            let bytes = Array(info.dropFirst(algorithm.publicKeyPrefix.count))
            guard let key = PublicKey(algorithm: algorithm, bytes: bytes) else {
                throw .invalid(path: path, why: "its public half is not usable")
            }
            return key
        }
        guard let raw = unsafe document.withDER({ unsafe d2i_PUBKEY(nil, $0, $1) }) else {
            ERR_clear_error()
            throw .invalid(path: path, why: "it is not a public key that OpenSSL knows")
        }
        defer { unsafe EVP_PKEY_free(raw) }
        return try unsafe rawPublicKey(of: raw, path: path)
    }
}
