public import BundleFormat
public import Platform
public import Trust

/// Why a key cannot be made or used, or a document cannot be signed.
public enum SigningError: StableError, Equatable, Sendable {
    /// A file is already there; key files are never overwritten.
    case exists(path: String)
    /// Others than the owner may use the private key file.
    case permissions(path: String, mode: UInt32)
    /// The passphrase is missing or wrong.
    case passphrase(path: String, why: String)
    /// The file is no key that Kedge can use.
    case invalid(path: String, why: String)
    /// This machine's OpenSSL does not know the key's algorithm.
    case algorithm(SignatureAlgorithm)
    /// A key of a PKCS#11 token cannot be used.
    case token(uri: String, why: String)
    /// A program that signs did not.
    case signer(command: String, why: String)
    /// Nothing to sign with.
    case noKey
    /// What is to be signed is not the payload of a bundle.
    case payload(path: String, why: String)
    /// A signature made elsewhere is not to be added.
    case refused(path: String, why: String)
    /// The bundle's form.
    case bundle(path: String, FormatError)
    /// The trust root that was made, or a bundle's head.
    case trust(TrustError)
    /// A file could not be read or written.
    case system(SystemError)
    /// OpenSSL refused; not expected.
    case library(operation: String)

    public var code: String {
        switch self {
        case .exists: "key.exists"
        case .permissions: "key.permissions"
        case .passphrase: "key.passphrase"
        case .invalid: "key.invalid"
        case .algorithm: "key.algorithm"
        case .token: "key.token"
        case .signer: "key.signer"
        case .noKey: "key.none"
        case .payload: "signature.payload"
        case .refused: "signature.refused"
        case .bundle(_, let error): error.code
        case .trust(let error): error.code
        case .system(let error): error.code
        case .library: "key.library"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .exists, .permissions, .passphrase, .invalid, .algorithm, .token, .signer, .noKey: .configuration
        case .payload, .refused: .trust
        case .bundle(_, let error): error.category
        case .trust(let error): error.category
        case .system(let error): error.category
        case .library: .unexpected
        }
    }
    public var context: String {
        switch self {
        case .exists(let path): "\(path) exists already"
        case .permissions(let path, let mode):
            "the private key \(path) has mode \(String(mode, radix: 8)): others than its owner may use it"
        case .passphrase(let path, let why): "the private key \(path) cannot be opened: \(why)"
        case .invalid(let path, let why): "\(path) is no usable key: \(why)"
        case .algorithm(let algorithm):
            "\(algorithm.libraryName) keys cannot be made or used with \(SignatureAlgorithm.library)"
        case .token(let uri, let why): "the key \(uri) cannot be used: \(why)"
        case .signer(let command, let why): "the signer \(command) did not sign: \(why)"
        case .noKey: "no key was given to sign with"
        case .payload(let path, let why): "\(path) is not to be signed: \(why)"
        case .refused(let path, let why): "the signature \(path) is not added: \(why)"
        case .bundle(let path, let error): "\(path): \(error.context)"
        case .trust(let error): error.context
        case .system(let error): error.context
        case .library(let operation): "OpenSSL cannot \(operation)"
        }
    }
    public var remedy: String {
        switch self {
        case .exists: "Choose another name; a lost key cannot be made again"
        case .permissions(let path, _): "Run chmod 600 \(path), and replace the key if others had access"
        case .passphrase: "Give the right passphrase"
        case .invalid: "Make a key with kedge keys new, or with openssl genpkey -algorithm ed25519"
        case .algorithm: "Use a machine with OpenSSL 3.5 or newer, for example Debian 13"
        case .token: "Check the URI with p11tool or pkcs11-tool, the PIN in --pin-file and --pkcs11-module"
        case .signer: "Run it by hand with the file of kedge sign --payload-out as its input"
        case .noKey: "Name at least one key"
        case .payload: "Make the payload with kedge sign BUNDLE --payload-out FILE, of the same version"
        case .refused: "Sign the payload of this bundle with a key that is named by --public-key or --root"
        case .bundle(_, let error): error.remedy
        case .trust(let error): error.remedy
        case .system(let error): error.remedy
        case .library: "Check the installed OpenSSL: version 3 with its default provider is needed"
        }
    }
}
