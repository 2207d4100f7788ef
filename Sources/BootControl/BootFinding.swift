public import Platform

/// Something about a device's boot set-up that is wrong or will be: what `kedged doctor` prints.
public struct BootFinding: Equatable, Sendable {
    /// How bad.
    public enum Severity: Sendable {
        /// Works, but is not as safe as it should be, or will not stay so.
        case warning
        /// An update or a fallback would fail.
        case error

        /// Stable text for reports.
        public var name: String { self == .error ? "error" : "warning" }
    }
    public let severity: Severity
    /// Stable, `doctor.what`, or the code of the error that was met.
    public let code: String
    public let context: String
    public let remedy: String

    public init(_ severity: Severity, code: String, context: String, remedy: String) {
        self.severity = severity
        self.code = code
        self.context = context
        self.remedy = remedy
    }

    /// An error that was met, as a finding with the same code.
    public init<E: StableError>(_ error: E) {
        self.init(.error, code: error.code, context: error.context, remedy: error.remedy)
    }

    static func copyDamaged(copy: Int, _ path: String) -> BootFinding {
        BootFinding(
            .error, code: "doctor.single-copy",
            context: "copy \(copy) of the boot record in \(path) is damaged, so nothing survives the loss of the other",
            remedy: "Run kedged doctor --repair; if it comes back, replace the medium")
    }

    static func copyUnreadable(copy: Int, _ path: String, _ error: SystemError) -> BootFinding {
        BootFinding(
            .error, code: "doctor.copy-unreadable",
            context: "copy \(copy) of the boot record cannot be read: \(error.context)",
            remedy: "Correct the path in [boot]; if it is right, replace the medium")
    }

    static func copiesOfOneAge(home: String) -> BootFinding {
        BootFinding(
            .warning, code: "doctor.same-age", context: "\(home): both copies claim the same age",
            remedy: "Run kedged doctor --repair, and keep other tools from writing the boot record")
    }
}

extension CopyPair {
    /// A power cut can ruin the erase block that is being written, and then both copies if they share one.
    func sharedEraseBlock() -> [BootFinding] {
        let first = locations[0]
        let second = locations[1]
        guard first.path == second.path else { return [] }
        let distance = first.offset > second.offset ? first.offset - second.offset : second.offset - first.offset
        if distance >= Self.eraseBlock { return [] }
        return [
            BootFinding(
                .warning, code: "doctor.copies-close",
                context: "the two copies in \(first.path) are \(distance) bytes apart, and one erase block of an eMMC "
                    + "or flash may hold both",
                remedy: "Keep them at least \(Self.eraseBlock) bytes apart")
        ]
    }

    /// Bytes: what SPI NOR erases with one command, and the smallest erase group of the eMMC in the field.
    private static var eraseBlock: UInt64 { 65536 }
}
