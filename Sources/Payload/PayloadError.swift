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
    /// No memory for the decoder.
    case noMemory

    public var code: String {
        switch self {
        case .storedDigest: "payload.damaged"
        case .undecodable: "payload.undecodable"
        case .plainDigest: "payload.mismatch"
        case .noMemory: "payload.no-memory"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .noMemory: .unexpected
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
        case .noMemory: "there is no memory for the decoder"
        }
    }
    public var remedy: String {
        switch self {
        case .storedDigest: "Fetch the bundle again, or from another server"
        case .undecodable, .plainDigest: "Build the bundle again: it is defective although it is signed"
        case .noMemory: "Free memory and start again"
        }
    }
}
