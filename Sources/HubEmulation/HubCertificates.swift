internal import COpenSSL
internal import Platform

/// The emulator's own authority and its server's certificate, made once and kept in its directory.
public enum HubCertificates {
    /// What the directory holds: `ca.pem` is what clients trust, and what signs device certificates.
    public struct Files: Equatable, Sendable {
        public let authority: String
        public let authorityKey: String
        public let server: String
        public let serverKey: String

        public init(directory: String) {
            authority = "\(directory)/ca.pem"
            authorityKey = "\(directory)/ca.key"
            server = "\(directory)/server.pem"
            serverKey = "\(directory)/server.key"
        }
    }

    private static let days = 3650

    /// Makes what is missing. `names` are host names and IP addresses for the server's certificate; when they differ
    /// from those it was made for, it is made anew under the same authority.
    public static func prepare(directory: String, names: [String]) throws(HubError) -> Files {
        let files = Files(directory: directory)
        let alternatives = names.map { isAddress($0) ? "IP:\($0)" : "DNS:\($0)" }.joined(separator: ",")
        try system { () throws(SystemError) in try FileSystem.makeDirectories(directory, mode: 0o700) }
        let hasAuthority = try exists(files.authority)
        let hasAuthorityKey = try exists(files.authorityKey)
        if !hasAuthority || !hasAuthorityKey {
            try make(
                subject: "Kedge emulator", issuer: nil, certificate: files.authority, key: files.authorityKey,
                extensions: [
                    (NID_basic_constraints, "critical,CA:TRUE"), (NID_key_usage, "critical,keyCertSign,cRLSign"),
                    (NID_subject_key_identifier, "hash"),
                ])
            try system { () throws(SystemError) in try FileSystem.remove(files.server) }
        }
        let marker = "\(directory)/server.names"
        var known = ""
        if try exists(marker) {
            known = String(
                decoding: try system { () throws(SystemError) in try FileSystem.read(marker, limit: 64 * 1024) },
                as: UTF8.self)
        }
        let hasServer = try exists(files.server)
        let hasServerKey = try exists(files.serverKey)
        if known != alternatives || !hasServer || !hasServerKey {
            try make(
                subject: names.first ?? "localhost", issuer: (files.authority, files.authorityKey),
                certificate: files.server, key: files.serverKey,
                extensions: [
                    (NID_basic_constraints, "critical,CA:FALSE"), (NID_ext_key_usage, "serverAuth"),
                    (NID_key_usage, "critical,digitalSignature"), (NID_subject_alt_name, alternatives),
                    (NID_subject_key_identifier, "hash"), (NID_authority_key_identifier, "keyid"),
                ])
            try system { () throws(SystemError) in try FileSystem.replace(marker, with: Array(alternatives.utf8)) }
        }
        return files
    }

    /// The key of the policy `iothubowner`, made once.
    public static func ownerKey(directory: String) throws(HubError) -> [UInt8] {
        let path = "\(directory)/owner.key"
        if try exists(path) {
            let text = String(
                decoding: try system { () throws(SystemError) in try FileSystem.read(path, limit: 4096) }, as: UTF8.self
            )
            guard let key = Base64.decode(text), key.count >= 16 else {
                throw .state(path: path, why: "it holds no key in base64")
            }
            return key
        }
        let key = EmulatedHub.secretBytes(32)
        try system { () throws(SystemError) in
            try FileSystem.replace(path, with: Array(Base64.encode(key).utf8), mode: 0o600)
        }
        return key
    }

    private static func exists(_ path: String) throws(HubError) -> Bool {
        try system { () throws(SystemError) in try FileSystem.kind(of: path) != nil }
    }

    private static func isAddress(_ name: String) -> Bool {
        name.contains(":") || name.allSatisfy { $0.isNumber || $0 == "." }
    }

    /// A P-256 key and its certificate, signed by the issuer or by itself.
    private static func make(
        subject: String, issuer: (certificate: String, key: String)?, certificate: String, key: String,
        extensions: [(Int32, String)]
    ) throws(HubError) {
        let made = unsafe write(subject, issuer, certificate, key, extensions)
        if !made { throw .certificates(path: FileSystem.parent(of: certificate)) }
    }

    @unsafe private static func write(
        _ subject: String, _ issuer: (certificate: String, key: String)?, _ certificate: String, _ key: String,
        _ extensions: [(Int32, String)]
    ) -> Bool {
        guard let pair = unsafe generate(), let made = unsafe X509_new() else { return false }
        defer {
            unsafe EVP_PKEY_free(pair)
            unsafe X509_free(made)
        }
        var signer = unsafe pair
        var above = unsafe made
        var loaded: (OpaquePointer, OpaquePointer)?
        defer {
            if let loaded = unsafe loaded {
                unsafe X509_free(loaded.0)
                unsafe EVP_PKEY_free(loaded.1)
            }
        }
        if let issuer {
            guard let file = unsafe BIO_new_file(issuer.certificate, "r") else { return false }
            let parent = unsafe PEM_read_bio_X509(file, nil, nil, nil)
            unsafe BIO_free(file)
            guard let keyFile = unsafe BIO_new_file(issuer.key, "r") else { return false }
            let parentKey = unsafe PEM_read_bio_PrivateKey(keyFile, nil, nil, nil)
            unsafe BIO_free(keyFile)
            guard let parent = unsafe parent, let parentKey = unsafe parentKey else { return false }
            unsafe loaded = (parent, parentKey)
            unsafe (above, signer) = unsafe (parent, parentKey)
        }
        guard unsafe X509_set_version(made, 2) == 1, let serial = unsafe X509_get_serialNumber(made),
            let number = unsafe BN_new()
        else { return false }
        defer { unsafe BN_free(number) }
        // 20 octets at most, positive (RFC 5280 section 4.1.2.2).
        guard unsafe BN_rand(number, 127, 0, 0) == 1, unsafe BN_to_ASN1_INTEGER(number, serial) != nil else {
            return false
        }
        let name = unsafe X509_get_subject_name(made)
        // From yesterday, so that a clock which is a little behind does not refuse it.
        guard unsafe X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, subject, -1, -1, 0) == 1,
            unsafe X509_set_issuer_name(made, X509_get_subject_name(above)) == 1,
            unsafe X509_gmtime_adj(X509_getm_notBefore(made), -86_400) != nil,
            unsafe X509_gmtime_adj(X509_getm_notAfter(made), days * 86_400) != nil,
            unsafe X509_set_pubkey(made, pair) == 1
        else { return false }
        for (kind, value) in extensions where unsafe kedge_x509_extend(made, above, kind, value) != 1 { return false }
        guard unsafe X509_sign(made, signer, EVP_sha256()) > 0 else { return false }
        return unsafe save(made, to: certificate) && save(key: pair, to: key)
    }

    @unsafe private static func generate() -> OpaquePointer? {
        guard let context = unsafe EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { return nil }
        defer { unsafe EVP_PKEY_CTX_free(context) }
        var pair: OpaquePointer?
        guard unsafe EVP_PKEY_keygen_init(context) == 1, unsafe EVP_PKEY_CTX_set_group_name(context, "P-256") == 1,
            unsafe EVP_PKEY_keygen(context, &pair) == 1
        else { return nil }
        return unsafe pair
    }

    @unsafe private static func save(_ certificate: OpaquePointer, to path: String) -> Bool {
        unsafe save(to: path, mode: 0o644) { unsafe PEM_write_bio_X509($0, certificate) == 1 }
    }

    @unsafe private static func save(key: OpaquePointer, to path: String) -> Bool {
        unsafe save(to: path, mode: 0o600) { unsafe PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) == 1 }
    }

    @unsafe private static func save(to path: String, mode: UInt32, _ write: (OpaquePointer) -> Bool) -> Bool {
        guard let memory = unsafe BIO_new(BIO_s_mem()) else { return false }
        defer { unsafe BIO_free(memory) }
        guard unsafe write(memory) else { return false }
        var bytes = [UInt8](repeating: 0, count: 64 * 1024)
        let count = unsafe BIO_read(memory, &bytes, Int32(bytes.count))
        guard count > 0 else { return false }
        do throws(SystemError) {
            try FileSystem.replace(path, with: Array(bytes[0..<Int(count)]), mode: mode)
            return true
        } catch {
            return false
        }
    }
}
