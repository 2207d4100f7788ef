/// What an attempt took, over all its processes.
public struct AttemptCost: Equatable, Sendable {
    /// A part of the work that takes long.
    public enum Part: Sendable, CaseIterable {
        /// Head, admission, and re-hashing what an interruption left.
        case planning
        /// Fetching, decoding, comparing, writing and flushing.
        case fetching
        /// Reading the whole target back.
        case readBack
        /// Hashing the running slot of a trial.
        case measuring

        /// Its name in documents.
        public var name: String {
            switch self {
            case .planning: "planning"
            case .fetching: "fetching"
            case .readBack: "readBack"
            case .measuring: "measuring"
            }
        }
    }

    /// Flushes of slots while fetching.
    public var flushes: UInt64 = 0
    /// Highest resident memory of a process that worked on it (VmHWM), KiB.
    public var peakResidentKiB: UInt64 = 0
    private var planning: UInt64 = 0
    private var fetching: UInt64 = 0
    private var readBack: UInt64 = 0
    private var measuring: UInt64 = 0

    /// All zero.
    public init() {}

    /// Wall time of a part, milliseconds.
    public subscript(_ part: Part) -> UInt64 {
        get {
            switch part {
            case .planning: planning
            case .fetching: fetching
            case .readBack: readBack
            case .measuring: measuring
            }
        }
        set {
            switch part {
            case .planning: planning = newValue
            case .fetching: fetching = newValue
            case .readBack: readBack = newValue
            case .measuring: measuring = newValue
            }
        }
    }
}
