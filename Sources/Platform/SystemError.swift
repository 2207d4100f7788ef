internal import CDevice

/// A failed system call: what was attempted, on what, and the error number. The one funnel for errno.
public struct SystemError: StableError, Equatable, Sendable {
    /// The error number, positive (`ENOENT` is 2).
    public let number: Int32
    /// The call in the words of its manual page, for example `open`.
    public let operation: String
    /// The path or object it was made on.
    public let subject: String

    public init(number: Int32, operation: String, subject: String) {
        self.number = number
        self.operation = operation
        self.subject = subject
    }

    /// Linux error numbers that callers tell apart (asm-generic/errno-base.h, errno.h).
    public static let notFound: Int32 = 2
    public static let inputOutput: Int32 = 5
    public static let wouldBlock: Int32 = 11
    public static let permission: Int32 = 13
    public static let busy: Int32 = 16
    public static let exists: Int32 = 17
    public static let notDirectory: Int32 = 20
    public static let isDirectory: Int32 = 21
    public static let invalid: Int32 = 22
    public static let noSpace: Int32 = 28
    public static let readOnly: Int32 = 30
    public static let quota: Int32 = 122

    public var code: String {
        switch number {
        case Self.notFound: "storage.not-found"
        case 1, Self.permission: "storage.permission"
        case Self.busy: "storage.busy"
        case Self.noSpace, Self.quota: "storage.no-space"
        case Self.readOnly: "storage.read-only"
        case Self.inputOutput: "storage.io"
        default: "storage.system"
        }
    }
    public var category: ErrorCategory { .storage }
    public var context: String { "\(operation) of \(subject) failed: \(text)" }
    public var remedy: String {
        switch number {
        case Self.notFound: "Check that the path exists"
        case 1, Self.permission: "Run as a user that may use it"
        case Self.busy: "Unmount it or stop what holds it"
        case Self.noSpace, Self.quota: "Free space and try again"
        case Self.readOnly: "Use a medium that can be written"
        case Self.inputOutput: "The medium may be failing: check the kernel log and replace it"
        // ENOMEM, and EAGAIN of a thread that cannot be started.
        case 11, 12: "Free memory, as by stopping other programs, or raise the limit of this one"
        default: "See the system call's manual page for this error"
        }
    }

    /// The C library's description.
    public var text: String {
        guard let text = unsafe kedge_error_text(number) else { return "error \(number)" }
        return unsafe String(cString: text)
    }
}

/// Turns a negative result into a typed error.
@discardableResult
func checked(
    _ result: Int32, _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String
) throws(SystemError) -> Int32 {
    if result < 0 { throw SystemError(number: -result, operation: operation(), subject: subject()) }
    return result
}
