extension BootRecord.Phase {
    /// Stable text for reports and boot loader variables.
    public var name: String {
        switch self {
        case .idle: "idle"
        case .writing: "writing"
        case .trial: "trial"
        case .confirmed: "confirmed"
        case .fellBack: "fell-back"
        }
    }

    /// From its name; nil for any other text.
    public init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}

extension SlotRecord.State {
    /// Stable text for reports and boot loader variables.
    public var name: String {
        switch self {
        case .empty: "empty"
        case .writing: "writing"
        case .trial: "trial"
        case .good: "good"
        case .bad: "bad"
        }
    }

    /// From its name; nil for any other text.
    public init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}

extension RollbackReason {
    /// From its name; nil for any other text.
    public init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}

extension BootRecord {
    /// Whether a text can stand as attempt id: empty, or at most 64 printable ASCII characters without spaces.
    public static func accepts(attempt: String) -> Bool {
        attempt.utf8.count <= attemptLimit && attempt.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }
}
