public import Platform

/// Why a floor store does not say or keep the floor.
public enum FloorError: StableError, Equatable, Sendable {
    /// No copy of a file store is whole.
    case damaged(store: String)
    /// What was written does not come back.
    case readBackMismatch(store: String)
    /// The store only rises.
    case irreversible(store: String)
    /// The TPM has no counter for the floor.
    case missing(store: String)
    /// The TPM's index is not the counter that `kedged floor init` makes.
    case foreign(store: String)
    /// The TPM, or the library that speaks with it, cannot be reached.
    case unreachable(store: String, why: String)
    /// The TPM refused; the code is a TSS2_RC.
    case refused(store: String, code: UInt32)
    case system(store: String, SystemError)

    public var code: String {
        switch self {
        case .damaged: "floor.damaged"
        case .readBackMismatch: "floor.read-back"
        case .irreversible: "floor.irreversible"
        case .missing: "floor.missing"
        case .foreign: "floor.foreign"
        case .unreachable: "floor.unreachable"
        case .refused: "floor.refused"
        case .system: "floor.io"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .missing: .configuration
        case .irreversible: .policy
        default: .storage
        }
    }
    public var context: String {
        switch self {
        case .damaged(let store): "\(store) has no whole copy of the floor"
        case .readBackMismatch(let store): "\(store) does not give back the floor that was written"
        case .irreversible(let store): "\(store) only rises"
        case .missing(let store): "\(store) has no counter for the floor"
        case .foreign(let store): "\(store) is not the counter that kedged floor init makes"
        case .unreachable(let store, let why): "\(store) cannot be reached: \(why)"
        case .refused(let store, let code):
            "\(store) refused with code \(Hex.number(code))"
        case .system(let store, let error): "\(store): \(error.context)"
        }
    }
    public var remedy: String {
        switch self {
        case .damaged: "Install and confirm a release as new as the running one: that makes it whole again"
        case .readBackMismatch: "The medium is failing: replace it"
        case .irreversible: "Release the older software again with a higher security version"
        case .missing: "Run kedged floor init once, with the TPM owner's password if it has one"
        case .foreign:
            "Choose another index in [floor]; if it was the right one, find out who replaced the counter"
        case .unreachable: "Check tcti in [floor], that the TPM's device is there, and that tpm2-tss is installed"
        case .refused: "Look the code up with tpm2_rc_decode; a wrong owner password is 0x000009a2"
        case .system(_, let error): error.remedy
        }
    }
}
