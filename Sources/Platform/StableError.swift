/// What kind of thing went wrong. The raw value is the exit status of `kedge` and `kedged`.
@frozen public enum ErrorCategory: Int32, Sendable {
    /// A defect in Kedge itself, or a state that should not be reachable.
    case unexpected = 1
    /// The command line is wrong (as in most Unix tools).
    case usage = 2
    /// A configuration file, recipe or key file is wrong.
    case configuration = 3
    /// A bundle is damaged, unsigned or not signed by whom it must be.
    case trust = 4
    /// A good bundle that this device must not install (other product, older, no space for it).
    case policy = 5
    /// A slot, file or medium cannot be used or failed.
    case storage = 6
    /// The bundle cannot be fetched.
    case network = 7
    /// The boot record or the boot loader is not what it must be.
    case boot = 8
    /// The command does not fit the present phase (nothing to confirm, another updater runs).
    case state = 9
    /// The attempt was canceled on request.
    case canceled = 10
    /// The new release did not pass its health check or rolled back.
    case health = 11
    /// A simulation reached a state that breaks a rule.
    case simulation = 12
}

/// An error with a code that never changes its meaning, so that scripts, reports and `explain` can rely on it.
public protocol StableError: Error {
    /// Stable, lower case, `area.what`, for example `trust.unsigned`.
    var code: String { get }
    /// The exit status class.
    var category: ErrorCategory { get }
    /// What happened, with the values that matter; never a secret.
    var context: String { get }
    /// What a person can do about it, one sentence.
    var remedy: String { get }
}

/// Any stable error as a value, for reports, journals and the last line of a command.
public struct Failure: StableError, Equatable, Sendable {
    public let code: String
    public let category: ErrorCategory
    public let context: String
    public let remedy: String

    public init(code: String, category: ErrorCategory, context: String, remedy: String) {
        self.code = code
        self.category = category
        self.context = context
        self.remedy = remedy
    }

    /// Copies the four parts of another module's error.
    public init<E: StableError>(_ error: E) {
        self.init(code: error.code, category: error.category, context: error.context, remedy: error.remedy)
    }

    /// `code: context. remedy` as printed on standard error.
    public var line: String { "\(code): \(context). \(remedy)" }
}
