/// Signature algorithms by the number that bundles carry.
@frozen public enum SignatureAlgorithm: UInt8, Sendable, CaseIterable {
    /// Ed25519 (RFC 8032): public key 32 bytes, signature 64 bytes.
    case ed25519 = 1
    /// ECDSA over NIST P-256 with SHA-256 (FIPS 186-5): what security modules and TPMs have.
    ///
    /// Both have one form only, so that nobody can make a second signature or key id from one that is there:
    /// - public key: the uncompressed point of SEC 1 section 2.3.3, 65 bytes (4, X, Y);
    /// - signature: r and s, each 32 bytes, big endian, with s at most half the order of the curve ("low s").
    case ecdsaP256 = 2
    /// ML-DSA-65 (FIPS 204), for when Ed25519 and ECDSA fall to quantum computers: public key 1952 bytes, signature
    /// 3309 bytes. The pure form, not the pre-hash one, with an empty context: what a signature is for stands in the
    /// signed bytes (`SignatureSection.preAuthentication`), and tokens and openssl sign without a context.
    case mlDSA65 = 3
    /// ML-DSA-87 (FIPS 204), what CNSA 2.0 asks for: public key 2592 bytes, signature 4627 bytes, else as ML-DSA-65.
    case mlDSA87 = 4

    /// The name in documents.
    public var name: String {
        switch self {
        case .ed25519: "ed25519"
        case .ecdsaP256: "ecdsa-p256"
        case .mlDSA65: "ml-dsa-65"
        case .mlDSA87: "ml-dsa-87"
        }
    }
    /// Exact bytes of a raw public key.
    public var publicKeyLength: Int {
        switch self {
        case .ed25519: 32
        case .ecdsaP256: 65
        case .mlDSA65: 1952
        case .mlDSA87: 2592
        }
    }
    /// Exact bytes of a signature.
    public var signatureLength: Int {
        switch self {
        case .ed25519, .ecdsaP256: 64
        case .mlDSA65: 3309
        case .mlDSA87: 4627
        }
    }
    /// By the name in documents.
    public init?(name: String) {
        guard let match = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = match
    }
}
