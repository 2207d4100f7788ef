public import BundleFormat
internal import Platform

extension SignatureAlgorithm {
    /// What stands before the raw key in the DER form of a public key (SubjectPublicKeyInfo, RFC 5280 section 4.1).
    /// The prefix and the key are the whole of it, because every raw key has one length.
    public var publicKeyPrefix: [UInt8] {
        // As text, because Embedded Swift 6.3 gives the last of several array literals for every case of a switch.
        let text =
            switch self {
            // RFC 8410 section 4: id-Ed25519, no parameters.
            case .ed25519: "302a300506032b6570032100"
            // RFC 5480 section 2.1: id-ecPublicKey with the named curve secp256r1.
            case .ecdsaP256: "3059301306072a8648ce3d020106082a8648ce3d030107034200"
            // RFC 9881 section 4: id-ml-dsa-65 and id-ml-dsa-87, no parameters.
            case .mlDSA65: "308207b2300b0609608648016503040312038207a100"
            case .mlDSA87: "30820a32300b060960864801650304031303820a2100"
            }
        return Hex.decode(text) ?? []
    }

    /// The contents of the object identifier that names the algorithm of keys: in the prefix, the first one.
    public var objectIdentifier: [UInt8] {
        let prefix = publicKeyPrefix
        // Tag 6 and a length of one byte; nothing before it has that byte.
        guard let tag = prefix.firstIndex(of: 6), tag + 1 < prefix.count else { return [] }
        return Array(prefix[(tag + 2)...].prefix(Int(prefix[tag + 1])))
    }
}
