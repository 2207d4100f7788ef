public import Platform

/// Why bytes could not be fetched.
public enum TransferError: StableError, Equatable, Sendable {
    case canceled
    /// `deliver` was told to stop by its owner.
    case stopped
    case outOfRange(source: String, end: UInt64, length: UInt64)
    /// The file or device that holds the bundle.
    case system(SystemError)

    public var code: String {
        switch self {
        case .canceled: "transfer.canceled"
        case .stopped: "transfer.stopped"
        case .outOfRange: "transfer.out-of-range"
        case .system(let error): error.code
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .canceled, .stopped: .canceled
        case .outOfRange: .trust
        case .system: .storage
        }
    }
    public var context: String {
        switch self {
        case .canceled: "the transfer was canceled"
        case .stopped: "the transfer was stopped"
        case .outOfRange(let source, let end, let length): "\(source) has \(length) bytes, \(end) are needed"
        case .system(let error): error.context
        }
    }
    public var remedy: String {
        switch self {
        case .canceled, .stopped: "Start it again when it is wanted"
        case .outOfRange: "Download or copy the bundle again"
        case .system(let error): error.remedy
        }
    }
}
