internal import COpenSSL

extension SigningKey {
    /// A private key that stays in a PKCS#11 token (smart card, security module, SoftHSM), by its URI (RFC 7512).
    /// It signs there; its public half must be on the token too.
    ///
    /// `module` is the token's PKCS#11 library; without it p11-kit's, which knows every registered one. Needs
    /// OpenSSL's engine `pkcs11` (apt: libengine-pkcs11-openssl). `pin` is asked once. A URI that brings its own PIN
    /// is refused: every user of the machine can read arguments. Throws `SigningError.token`.
    public static func open(
        token uri: String, module: String? = nil, pin: () throws(SigningError) -> [UInt8]
    ) throws(SigningError) -> SigningKey {
        for attribute in ["pin-value", "pin-source"] where uri.contains(attribute) {
            throw .token(uri: "pkcs11:…", why: "a PIN does not belong in a command line (\(attribute))")
        }
        var secret = try pin() + [0]
        defer { unsafe secret.withUnsafeMutableBytes { unsafe OPENSSL_cleanse($0.baseAddress, $0.count) } }
        var reason: Int32 = 0
        let key = unsafe secret.withUnsafeBytes { pin in
            unsafe kedge_token_key(uri, module, pin.baseAddress?.assumingMemoryBound(to: CChar.self), &reason)
        }
        ERR_clear_error()
        guard let key = unsafe key else {
            let why =
                switch Int(reason) {
                case KEDGE_TOKEN_ENGINE: "OpenSSL has no engine pkcs11 (apt: libengine-pkcs11-openssl)"
                case KEDGE_TOKEN_MODULE: "the PKCS#11 module cannot be loaded"
                case KEDGE_TOKEN_PIN: "the PIN cannot be used"
                default: "the token has no such private key, or the PIN is wrong"
                }
            throw .token(uri: uri, why: why)
        }
        return try unsafe SigningKey(owning: key, path: uri)
    }
}
