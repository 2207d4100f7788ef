public import BundleFormat
internal import COpenSSL

extension SignatureAlgorithm {
    /// OpenSSL's name of the algorithm.
    public var libraryName: String {
        switch self {
        case .ed25519: "ED25519"
        case .ecdsaP256: "ECDSA"
        case .mlDSA65: "ML-DSA-65"
        case .mlDSA87: "ML-DSA-87"
        }
    }

    /// Whether the OpenSSL that this program runs with has it: ML-DSA came with 3.5. It is asked at run time and not
    /// when Kedge is compiled, because one program serves systems with older and newer libraries.
    public var isSupported: Bool {
        switch self {
        case .ed25519, .ecdsaP256: return true
        case .mlDSA65, .mlDSA87:
            guard let found = unsafe EVP_SIGNATURE_fetch(nil, libraryName, nil) else {
                // The reason stays in the thread's queue and would be reported by the next TLS error.
                ERR_clear_error()
                return false
            }
            unsafe EVP_SIGNATURE_free(found)
            return true
        }
    }

    /// The OpenSSL that this program runs with, for people.
    public static var library: String {
        unsafe OpenSSL_version(OPENSSL_VERSION).map { unsafe String(cString: $0) } ?? "OpenSSL"
    }
}
