public import Platform

/// Why bytes could not be fetched.
public enum TransferError: StableError, Equatable, Sendable {
    case canceled
    /// `deliver` was told to stop by its owner.
    case stopped
    /// The text names no place a bundle can be read from. The reason never repeats credentials.
    case location(reason: String)
    case outOfRange(source: String, end: UInt64, length: UInt64)
    /// The network or the server; `source` and `detail` hold neither credentials nor a query string.
    case network(NetworkFault, source: String, detail: String)
    /// A local file became shorter while it was read.
    case fileChanged(path: String)
    /// The file or device that holds the bundle.
    case system(SystemError)

    public var code: String {
        switch self {
        case .canceled: "transfer.canceled"
        case .stopped: "transfer.stopped"
        case .location: "transfer.location"
        case .outOfRange: "transfer.out-of-range"
        case .network(let fault, _, _): fault.rawValue
        case .fileChanged: NetworkFault.changed.rawValue
        case .system(let error): error.code
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .canceled, .stopped: .canceled
        case .location: .usage
        case .outOfRange: .trust
        case .network: .network
        case .fileChanged, .system: .storage
        }
    }
    public var context: String {
        switch self {
        case .canceled: "the transfer was canceled"
        case .stopped: "the transfer was stopped"
        case .location(let reason): reason
        case .outOfRange(let source, let end, let length): "\(source) has \(length) bytes, \(end) are needed"
        case .network(_, let source, let detail): "\(source): \(detail)"
        case .fileChanged(let path): "\(path) became shorter while it was read"
        case .system(let error): error.context
        }
    }
    public var remedy: String {
        switch self {
        case .canceled, .stopped: "Start it again when it is wanted"
        case .location: "Give a path, a file URL or an http(s) URL"
        case .outOfRange: "Download or copy the bundle again"
        case .network(let fault, _, _): fault.remedy
        case .fileChanged: "Copy the bundle again and leave it alone while it is installed"
        case .system(let error): error.remedy
        }
    }

    /// Whether the same request may well succeed a little later.
    var isPassing: Bool {
        if case .network(let fault, _, _) = self { return fault.isPassing }
        return false
    }
}
