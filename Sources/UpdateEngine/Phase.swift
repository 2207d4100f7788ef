/// Where an attempt stands, by the names that reports use.
public enum Phase: String, Sendable, CaseIterable {
    case idle
    /// Head verified, release admitted, plan made; nothing written yet.
    case planned
    /// Held back by approval, window or preconditions.
    case waiting
    case fetching
    /// Every window is in the spare slot and flushed.
    case written
    /// The spare slot was read back from the medium and is right.
    case verified
    /// The boot record points to the spare slot, with tries.
    case armed
    case rebooting
    /// The new release runs and is not confirmed yet.
    case trial
    case confirmed
    case rolledBack
    case failed
    case canceled

    /// Nothing more happens to the attempt.
    public var isTerminal: Bool {
        switch self {
        case .confirmed, .rolledBack, .failed, .canceled: true
        default: false
        }
    }

    /// Before the boot record was armed: an interruption leaves only the spare slot unusable.
    public var isBeforeArming: Bool {
        switch self {
        case .planned, .waiting, .fetching, .written, .verified: true
        default: false
        }
    }
}
