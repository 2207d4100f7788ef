public import BundleFormat

/// One of the two sets of slots.
@frozen public enum SlotSet: UInt8, Sendable, CaseIterable {
    case a = 0
    case b = 1

    public var other: SlotSet { self == .a ? .b : .a }
    /// `a` or `b`.
    public var letter: String { self == .a ? "a" : "b" }
    public init?(letter: String) {
        switch letter {
        case "a": self = .a
        case "b": self = .b
        default: return nil
        }
    }
}

/// What the record knows of one slot set.
public struct SlotRecord: Equatable, Sendable {
    /// Whether the boot loader may start it.
    public enum State: UInt8, Sendable, CaseIterable {
        /// Never written by Kedge, or erased.
        case empty = 0
        /// Being written: must not be started.
        case writing = 1
        /// Complete and read back, not yet confirmed.
        case trial = 2
        /// Confirmed.
        case good = 3
        /// Failed its trial, or an attempt on it ended: must not be started.
        case bad = 4
    }
    public var state: State
    /// SHA-256 of the manifest of the release in it; nil when unknown (factory image without a record).
    public var manifest: Digest?
    /// The release's sequence and security version.
    public var sequence: UInt64
    public var securityVersion: UInt32

    public init(state: State = .empty, manifest: Digest? = nil, sequence: UInt64 = 0, securityVersion: UInt32 = 0) {
        self.state = state
        self.manifest = manifest
        self.sequence = sequence
        self.securityVersion = securityVersion
    }
}

/// Why a trial ended with the former slot.
public enum RollbackReason: UInt8, Sendable, CaseIterable {
    case none = 0
    /// The boot loader ran out of tries and user space never came up.
    case bootFailed = 1
    /// User space came up but never confirmed before the tries ran out.
    case notConfirmed = 2
    /// The health check failed or its deadline passed.
    case healthFailed = 3
    /// Somebody asked for it.
    case requested = 4
    /// The running slot was not what the record says.
    case wrongImage = 5

    /// Stable text for reports.
    public var name: String {
        switch self {
        case .none: "none"
        case .bootFailed: "boot-failed"
        case .notConfirmed: "not-confirmed"
        case .healthFailed: "health-failed"
        case .requested: "requested"
        case .wrongImage: "wrong-image"
        }
    }
}

/// The one truth about what boots: everything the boot loader decides by, and the evidence of what became of the
/// last attempt, in one sector. It is replaced as a whole.
public struct BootRecord: Equatable, Sendable {
    /// Where the last attempt stands.
    public enum Phase: UInt8, Sendable, CaseIterable {
        /// No attempt since the factory, or none that left a trace.
        case idle = 0
        /// The spare slot set is being written.
        case writing = 1
        /// Armed: the boot loader tries `active` and counts down.
        case trial = 2
        /// The last attempt was confirmed.
        case confirmed = 3
        /// The last attempt went back to the former slot set.
        case fellBack = 4
    }
    /// Rises with every write; the home that stores the record sets it.
    public var revision: UInt64
    /// The slot set that the boot loader starts.
    public var active: SlotSet
    public var phase: Phase
    /// Boots left for `active`; counts only in `.trial`.
    public var triesLeft: UInt8
    /// Boots of this trial that reached user space.
    public var userSpaceBoots: UInt8
    public var reason: RollbackReason
    /// The attempt's id, printable ASCII without spaces, at most 64 bytes; empty before the first attempt.
    public var attempt: String
    public var slotA: SlotRecord
    public var slotB: SlotRecord
    /// Lowest security version this device still accepts.
    public var floor: UInt32
    /// Highest release sequence ever confirmed.
    public var acceptedSequence: UInt64

    /// Longest attempt id, bytes.
    public static let attemptLimit = 64

    public init(
        revision: UInt64 = 0, active: SlotSet = .a, phase: Phase = .idle, triesLeft: UInt8 = 0,
        userSpaceBoots: UInt8 = 0, reason: RollbackReason = .none, attempt: String = "",
        slotA: SlotRecord = SlotRecord(state: .good), slotB: SlotRecord = SlotRecord(), floor: UInt32 = 0,
        acceptedSequence: UInt64 = 0
    ) {
        self.revision = revision
        self.active = active
        self.phase = phase
        self.triesLeft = triesLeft
        self.userSpaceBoots = userSpaceBoots
        self.reason = reason
        self.attempt = attempt
        self.slotA = slotA
        self.slotB = slotB
        self.floor = floor
        self.acceptedSequence = acceptedSequence
    }

    /// The record of a slot set.
    public subscript(_ slot: SlotSet) -> SlotRecord {
        get { slot == .a ? slotA : slotB }
        set {
            if slot == .a { slotA = newValue } else { slotB = newValue }
        }
    }
}
