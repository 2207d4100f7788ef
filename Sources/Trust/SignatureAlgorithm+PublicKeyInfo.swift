public import BundleFormat

extension SignatureAlgorithm {
    /// What stands before the raw key in the DER form of a public key (SubjectPublicKeyInfo, RFC 5280 section 4.1).
    /// The prefix and the key are the whole of it, because every raw key has one length.
    public var publicKeyPrefix: [UInt8] {
        switch self {
        // RFC 8410 section 4: id-Ed25519, no parameters.
        case .ed25519: [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00]
        // RFC 5480 section 2.1: id-ecPublicKey with the named curve secp256r1.
        case .ecdsaP256:
            [
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ]
        }
    }
}
