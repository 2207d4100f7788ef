public import BundleFormat
public import Platform

/// Why the bytes of a window were refused.
public enum PayloadError: StableError, Equatable, Sendable {
    /// The stored bytes are not those that the chunk table names: damage on the way or on the server.
    case storedDigest(component: Identifier, window: Int)
    /// The stored bytes were authentic but do not decode to what the table says: a defective bundle.
    case undecodable(component: Identifier, window: Int, why: String)
    /// The plain bytes are not those that the chunk table names: a defective bundle.
    case plainDigest(component: Identifier, window: Int)
    /// A table or group of another form is not what the manifest or the table names: damage on the way or on the
    /// server.
    case damaged(component: Identifier, what: String)
    /// A table of another form is authentic but breaks a rule of the format: a defective bundle.
    case defective(component: Identifier, what: String, why: String)
    /// What was just written to the target cannot be read back.
    case target(SystemError)
    /// No memory for the decoder.
    case noMemory

    public var code: String {
        switch self {
        case .storedDigest, .damaged: "payload.damaged"
        case .undecodable, .defective: "payload.undecodable"
        case .target(let error): error.code
        case .plainDigest: "payload.mismatch"
        case .noMemory: "payload.no-memory"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .noMemory: .unexpected
        case .target(let error): error.category
        default: .trust
        }
    }
    public var context: String {
        switch self {
        case .storedDigest(let component, let window):
            "window \(window) of \(component) does not match its digest as it was received"
        case .undecodable(let component, let window, let why): "window \(window) of \(component): \(why)"
        case .plainDigest(let component, let window):
            "window \(window) of \(component) does not match its digest after decoding"
        case .damaged(let component, let what): "\(what) of \(component) does not match its digest as it was received"
        case .defective(let component, let what, let why): "\(what) of \(component): \(why)"
        case .target(let error): error.context
        case .noMemory: "there is no memory for the decoder"
        }
    }
    public var remedy: String {
        switch self {
        case .storedDigest, .damaged: "Fetch the bundle again, or from another server"
        case .target(let error): error.remedy
        case .undecodable, .plainDigest, .defective: "Build the bundle again: it is defective although it is signed"
        case .noMemory: "Free memory and start again"
        }
    }
}
