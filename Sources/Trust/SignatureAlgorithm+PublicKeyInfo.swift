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
        // RFC 9881 section 4: id-ml-dsa-65 and id-ml-dsa-87, no parameters.
        case .mlDSA65:
            [
                0x30, 0x82, 0x07, 0xb2, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12,
                0x03, 0x82, 0x07, 0xa1, 0x00,
            ]
        case .mlDSA87:
            [
                0x30, 0x82, 0x0a, 0x32, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x13,
                0x03, 0x82, 0x0a, 0x21, 0x00,
            ]
        }
    }

    /// The contents of the object identifier that names the algorithm of keys: in the prefix, the first one.
    public var objectIdentifier: [UInt8] {
        let prefix = publicKeyPrefix
        // Tag 6 and a length of one byte; nothing before it has that byte.
        guard let tag = prefix.firstIndex(of: 6), tag + 1 < prefix.count else { return [] }
        return Array(prefix[(tag + 2)...].prefix(Int(prefix[tag + 1])))
    }
}
