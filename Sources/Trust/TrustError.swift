public import BundleFormat
public import Platform
public import StrictJSON

/// Why bytes are not trusted. Every case refuses; there is no warning and no way round it.
public enum TrustError: StableError, Equatable, Sendable {
    /// There is no signature at all.
    case unsigned
    /// There are signatures, but none by a key of the role.
    case unknownKey(role: TrustRole)
    /// A signature that names a key of the role does not match the bytes.
    case badSignature(key: Digest)
    /// Distinct keys with good signatures are fewer than the role asks for.
    case threshold(role: TrustRole, present: Int, needed: Int)
    /// The same within one group of the role's keys, each of which must have enough.
    case groupThreshold(role: TrustRole, group: Identifier, present: Int, needed: Int)
    /// The trust root asks for signatures that the machine's OpenSSL cannot verify.
    case algorithm(SignatureAlgorithm)
    /// The only signatures are by keys that the trust root revokes.
    case revokedKey(key: Digest)
    /// The trust root denies exactly this release.
    case deniedRelease(manifest: Digest)
    /// The trust root contradicts itself or its rules.
    case rootInvalid(String)
    /// A newer root must follow the present one without a gap; an older one is never taken.
    case rootVersion(found: UInt32, expected: UInt32)
    /// A newer root takes back what roots only ever tighten.
    case rootLoosens(String)
    /// The roots that lead from the built-in one to the newest do not fit into their place.
    case rootsTooLong(bytes: Int)
    /// There is no trust root at the path.
    case rootMissing(path: String)
    /// The JSON of the trust root.
    case root(JSONError)
    /// The JSON of a statement.
    case statement(JSONError)
    /// The bytes of a bundle.
    case format(FormatError)
    /// A file could not be read.
    case system(SystemError)

    public var code: String {
        switch self {
        case .unsigned: "trust.unsigned"
        case .unknownKey: "trust.unknown-key"
        case .badSignature: "trust.bad-signature"
        case .threshold, .groupThreshold: "trust.threshold"
        case .algorithm: "trust.algorithm"
        case .revokedKey: "trust.revoked-key"
        case .deniedRelease: "trust.denied-release"
        case .rootInvalid: "trust.root-invalid"
        case .rootVersion: "trust.root-version"
        case .rootLoosens: "trust.root-loosens"
        case .rootsTooLong: "trust.roots-too-long"
        case .rootMissing: "trust.root-missing"
        case .root(let error), .statement(let error): error.code
        case .format(let error): error.code
        case .system(let error): error.code
        }
    }
    /// `trust`, but a file that cannot be read is a storage problem.
    public var category: ErrorCategory {
        switch self {
        case .system(let error): error.category
        default: .trust
        }
    }
    public var context: String {
        switch self {
        case .unsigned: "there is no signature"
        case .unknownKey(let role): "no signature is by a \(role.rawValue) key of the trust root"
        case .badSignature(let key): "the signature of key \(key.hex) does not match the bytes"
        case .threshold(let role, let present, let needed):
            "\(present) of \(needed) needed \(role.rawValue) signatures are there"
        case .groupThreshold(let role, let group, let present, let needed):
            "\(present) of \(needed) needed \(role.rawValue) signatures are there in the group \(group)"
        case .algorithm(let algorithm):
            "\(algorithm.libraryName) signatures are needed, and \(SignatureAlgorithm.library) cannot verify them"
        case .revokedKey(let key): "it is signed by the revoked key \(key.hex)"
        case .deniedRelease(let manifest): "the trust root denies the release with manifest \(manifest.hex)"
        case .rootInvalid(let why): "the trust root is not valid: \(why)"
        case .rootVersion(let found, let expected): "the trust root has version \(found), not \(expected)"
        case .rootLoosens(let what): "the trust root \(what)"
        case .rootsTooLong(let bytes): "the roots from the built-in one to the newest have \(bytes) bytes"
        case .rootMissing(let path): "there is no trust root at \(path)"
        case .root(let error): "trust root: \(error.context)"
        case .statement(let error): "statement: \(error.context)"
        case .format(let error): error.context
        case .system(let error): error.context
        }
    }
    public var remedy: String {
        switch self {
        case .unsigned: "Sign it with kedge sign"
        case .unknownKey: "Sign it with a key of this trust root, or check that it is meant for these devices"
        case .badSignature: "Download it again; if it stays, somebody changed it"
        case .threshold: "Let the holders of the other keys sign it too"
        case .groupThreshold:
            "Let the holders of that group's keys sign it too: one group does not stand in for another"
        case .algorithm: "Update the system's OpenSSL to 3.5 or newer first"
        case .revokedKey: "Sign it with a key that is not revoked"
        case .deniedRelease: "Install a newer release"
        case .rootInvalid, .root: "Make the trust root again with kedge"
        case .statement: "Make the statement again with kedge"
        case .rootVersion: "Take every root in turn, each one version above the former"
        case .rootLoosens: "Make a root that keeps what the former one refuses"
        case .rootsTooLong: "Ship a release with a newer built-in trust root"
        case .rootMissing: "Install root.json, or correct its path in the configuration"
        case .format(let error): error.remedy
        case .system(let error): error.remedy
        }
    }
}
