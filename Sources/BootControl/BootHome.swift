public import Platform

/// Where a boot record lives. Always redundant: two copies, the older one is overwritten, and every write is
/// flushed and read back.
public protocol BootHome: AnyObject, Sendable {
    /// The home's name in messages.
    var displayName: String { get }

    /// The newest whole copy. One damaged copy is survived; none left is `BootError.noRecord`.
    func load() throws(BootError) -> BootRecord

    /// Writes `record` with the next revision over the older copy, flushes, reads back, and returns it as written.
    /// After an error the newest whole copy is still the former record, or already this one.
    func store(_ record: BootRecord) throws(BootError) -> BootRecord

    /// What is wrong with the home although `load` may well work: for `kedged doctor`. Writes nothing.
    func examine() -> [BootFinding]
}

extension BootHome {
    public func examine() -> [BootFinding] { [] }
}

/// Writes the record of `home` again, so that a damaged copy is whole and all places say the same. Both copies are
/// written, one after the other. No method of `BootHome`, for the reason that `randomUUID(from:)` tells.
public func repairRecord(in home: any BootHome) throws(BootError) {
    let record = try home.load()
    _ = try home.store(record)
    _ = try home.store(record)
}

/// Why the boot record cannot be used.
public enum BootError: StableError, Equatable, Sendable {
    /// No copy is whole.
    case noRecord(home: String)
    /// What was written does not come back.
    case readBackMismatch(home: String)
    /// A value that the home cannot hold.
    case invalid(home: String, why: String)
    /// The record and the variables that stand beside it need more room than there is.
    case full(home: String, needed: UInt64, capacity: UInt64)
    /// The kernel command line does not say which slot set runs.
    case noRunningSlot(home: String)
    /// The command that selects a firmware bank failed.
    case bank(set: String, why: String)
    /// A capsule that cannot be handed to the firmware.
    case capsule(target: String, why: String)
    case system(home: String, SystemError)

    public var code: String {
        switch self {
        case .noRecord: "boot.no-record"
        case .readBackMismatch: "boot.read-back"
        case .invalid: "boot.invalid"
        case .full: "boot.environment-full"
        case .noRunningSlot: "boot.no-running-slot"
        case .bank: "boot.bank"
        case .capsule: "boot.capsule"
        case .system: "boot.io"
        }
    }
    public var category: ErrorCategory { .boot }
    public var context: String {
        switch self {
        case .noRecord(let home): "\(home) has no whole copy of the boot record"
        case .readBackMismatch(let home): "\(home) does not give back the boot record that was written"
        case .invalid(let home, let why): "\(home): \(why)"
        case .full(let home, let needed, let capacity): "\(home) has \(capacity) bytes, \(needed) are needed"
        case .noRunningSlot(let home): "\(home) has no word kedge.slot=a or kedge.slot=b"
        case .bank(let set, let why): "the firmware bank of slot set \(set) cannot be selected: \(why)"
        case .capsule(let target, let why): "the capsule for \(target) cannot be handed to the firmware: \(why)"
        case .system(let home, let error): "\(home): \(error.context)"
        }
    }
    public var remedy: String {
        switch self {
        case .noRecord: "Check the paths and offsets in [boot]; a factory image brings the first record"
        case .readBackMismatch: "The medium is failing: replace it"
        case .invalid: "Correct the [boot] section of device.ini, or what was written there by hand"
        case .full: "Enlarge the environment (CONFIG_ENV_SIZE) or remove variables that the board does not need"
        case .noRunningSlot: "Let the boot script put kedge.slot=${kedge_active} on the kernel command line"
        case .bank: "Correct bank-a and bank-b in [boot], and run them by hand"
        case .capsule: "Run kedged doctor, and build the release with the capsule that is made for this machine"
        case .system(_, let error): error.remedy
        }
    }
}
