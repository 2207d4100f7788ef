public import Platform
public import StrictJSON

/// Why bytes are not a Kedge bundle.
public enum FormatError: StableError, Equatable, Sendable {
    /// The first bytes are not a bundle's.
    case notABundle(String)
    /// Written for a newer format.
    case unknownVersion(UInt16)
    /// Ends too early; `needed` bytes at least.
    case truncated(what: String, needed: UInt64, present: UInt64)
    /// Bytes behind the end.
    case trailing(expected: UInt64, present: UInt64)
    /// A length past its cap.
    case tooLarge(what: String, size: UInt64, limit: UInt64)
    /// A field that contradicts another or the rules.
    case malformed(what: String, String)
    /// The manifest's JSON.
    case manifest(JSONError)
    /// Bytes that do not match the digest that the manifest or a chunk table gives.
    case digestMismatch(what: String)

    public var code: String {
        switch self {
        case .notABundle: "bundle.not-a-bundle"
        case .unknownVersion: "bundle.version"
        case .truncated: "bundle.truncated"
        case .trailing: "bundle.trailing"
        case .tooLarge: "bundle.too-large"
        case .malformed: "bundle.malformed"
        case .manifest: "bundle.manifest"
        case .digestMismatch: "bundle.damaged"
        }
    }
    public var category: ErrorCategory { .trust }
    public var context: String {
        switch self {
        case .notABundle(let why): "this is not a Kedge bundle (\(why))"
        case .unknownVersion(let version): "the bundle has format version \(version), this program knows 1"
        case .truncated(let what, let needed, let present):
            "\(what) ends after \(present) bytes, \(needed) are needed"
        case .trailing(let expected, let present): "the bundle has \(present) bytes, its end is at \(expected)"
        case .tooLarge(let what, let size, let limit): "\(what) claims \(size) bytes, at most \(limit) are allowed"
        case .malformed(let what, let why): "\(what): \(why)"
        case .manifest(let error): "manifest: \(error.context)"
        case .digestMismatch(let what): "\(what) does not match its digest"
        }
    }
    public var remedy: String {
        switch self {
        case .notABundle: "Check the path or URL"
        case .unknownVersion: "Update Kedge first"
        case .truncated, .trailing, .digestMismatch: "Download or copy the bundle again"
        case .tooLarge, .malformed, .manifest: "Build the bundle again with a matching kedge"
        }
    }
}
