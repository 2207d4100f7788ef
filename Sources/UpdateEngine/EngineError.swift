public import BundleFormat
public import Platform

/// What the engine itself refuses or finds; errors of the modules below keep their own codes.
public enum EngineError: StableError, Equatable, Sendable {
    /// Another kedged holds this device's data directory.
    case busy
    case canceled
    /// This process was told to stop; the attempt goes on at the next start.
    case stopped
    /// Somebody asked for a pause; the attempt stays until it goes on or is canceled.
    case paused(String)
    /// Everything is in the slot and was read back; the attempt waits for the wish to install it.
    case staged(String)
    /// A file system that the attempt writes to has less room than must stay free.
    case lowSpace(place: String, free: UInt64, reserve: UInt64)
    /// Another attempt waits for its reboot or is on trial.
    case attemptPending(String)
    /// The running slot set is not the one to come back to: a rollback waits for its reboot.
    case rebootPending(running: String, selected: String)
    case badAttemptID
    /// The manifest is not the one that was asked for.
    case otherManifest(wanted: Digest, found: Digest)
    case wrongProduct(String)
    case wrongHardware(device: UInt32, lowest: UInt32, highest: UInt32)
    case older(sequence: UInt64, accepted: UInt64)
    case belowFloor(securityVersion: UInt32, floor: UInt32)
    case sequenceJump(sequence: UInt64, accepted: UInt64)
    /// The floor's store does not answer, and the release is older than what runs.
    case floorUnknown(securityVersion: UInt32, running: UInt32, why: String)
    /// An override cannot go below this floor.
    case belowHardFloor(securityVersion: UInt32, floor: UInt32, keeper: String)
    /// A fresh statement of the channel names another release, and the policy asks for the newest.
    case notNewest(sequence: UInt64, newest: UInt64, release: String, channel: String)
    case overrideOtherRelease(wanted: Digest, found: Digest)
    case overrideOtherDevice(String)
    /// The nonce is not the one that this device asked with last, or was used.
    case overrideNonce
    case overrideExpired(String)
    case channelOther(wanted: String, found: String)
    /// An older statement than one that is known, or another one of the same time.
    case channelReplayed(sequence: UInt64, known: UInt64)
    case channelTime(created: Int64)
    /// A component, or a window of it, would have to be fetched in full.
    case fullForbidden(String)
    /// The attempt would take so many bytes more than it may.
    case mostBytes(more: UInt64)
    case updaterTooOld(needed: String)
    case expired(at: Int64)
    case notYet(at: Int64)
    case nothingToConfirm
    case nothingToCancel
    case nothingToPause
    /// A slot of which no record is kept.
    case nothingToIndex(slot: String)
    case nothingToResume
    case nothingToRollBack(String)
    case healthFailed(String)
    case wrongImage(String)
    case bootFailed(String)
    case interrupted
    case head(String)
    case journal(String)
    case reboot(String)
    case unknownRunningSlot(String)

    public var code: String {
        switch self {
        case .busy: "engine.busy"
        case .canceled: "engine.canceled"
        case .stopped: "engine.stopped"
        case .paused: "engine.paused"
        case .staged: "engine.staged"
        case .lowSpace: "engine.low-space"
        case .attemptPending: "engine.attempt-pending"
        case .rebootPending: "engine.reboot-pending"
        case .badAttemptID: "engine.attempt-id"
        case .otherManifest: "policy.other-manifest"
        case .wrongProduct: "policy.wrong-product"
        case .wrongHardware: "policy.wrong-hardware"
        case .older: "policy.older"
        case .belowFloor: "policy.below-floor"
        case .sequenceJump: "policy.sequence-jump"
        case .floorUnknown: "policy.floor-unknown"
        case .belowHardFloor: "policy.below-hard-floor"
        case .notNewest: "policy.not-newest"
        case .overrideOtherRelease: "override.other-release"
        case .overrideOtherDevice: "override.other-device"
        case .overrideNonce: "override.nonce"
        case .overrideExpired: "override.expired"
        case .channelOther: "channel.other"
        case .channelReplayed: "channel.replayed"
        case .channelTime: "channel.time"
        case .fullForbidden: "policy.full-download"
        case .mostBytes: "policy.most-bytes"
        case .updaterTooOld: "policy.updater-too-old"
        case .expired: "policy.expired"
        case .notYet: "policy.not-yet"
        case .nothingToConfirm: "engine.nothing-to-confirm"
        case .nothingToCancel: "engine.nothing-to-cancel"
        case .nothingToPause: "engine.nothing-to-pause"
        case .nothingToIndex: "engine.nothing-to-index"
        case .nothingToResume: "engine.nothing-to-resume"
        case .nothingToRollBack: "engine.nothing-to-roll-back"
        case .healthFailed: "health.failed"
        case .wrongImage: "health.wrong-image"
        case .bootFailed: "health.boot-failed"
        case .interrupted: "engine.interrupted"
        case .head: "engine.head"
        case .journal: "engine.journal"
        case .reboot: "engine.reboot"
        case .unknownRunningSlot: "boot.unknown-slot"
        }
    }

    public var category: ErrorCategory {
        switch self {
        case .busy, .stopped, .paused, .staged, .attemptPending, .rebootPending, .nothingToConfirm, .nothingToCancel,
            .nothingToPause, .nothingToIndex, .nothingToResume, .nothingToRollBack, .interrupted:
            .state
        case .canceled: .canceled
        case .badAttemptID: .usage
        case .otherManifest, .wrongProduct, .wrongHardware, .older, .belowFloor, .sequenceJump, .floorUnknown,
            .updaterTooOld, .expired, .notYet, .belowHardFloor, .notNewest, .overrideOtherRelease, .overrideOtherDevice,
            .overrideNonce, .overrideExpired, .channelOther, .channelReplayed, .channelTime, .fullForbidden, .mostBytes:
            .policy
        case .healthFailed, .wrongImage, .bootFailed: .health
        case .head, .journal, .lowSpace: .storage
        case .reboot, .unknownRunningSlot: .boot
        }
    }

    public var context: String {
        switch self {
        case .busy: "another kedged works on this device"
        case .canceled: "the attempt was canceled; the running release is untouched"
        case .stopped: "kedged was told to stop; what reached the slot is kept"
        case .staged(let id): "attempt \(id) is downloaded and verified, and waits for the wish to install it"
        case .paused(let id): "attempt \(id) is paused on request; what reached the slot is kept"
        case .lowSpace(let place, let free, let reserve):
            "\(place) has \(free) bytes free, \(reserve) must stay free; what reached the slot is kept"
        case .attemptPending(let id): "attempt \(id) waits for its reboot or is on trial"
        case .rebootPending(let running, let selected):
            "slot set \(running) runs, but slot set \(selected) is selected and holds the release to come back to"
        case .badAttemptID: "an attempt id has 1 to 64 printable ASCII characters without spaces"
        case .otherManifest(let wanted, let found): "manifest \(wanted) was asked for, the bundle has \(found)"
        case .wrongProduct(let text): text
        case .wrongHardware(let device, let lowest, let highest):
            "the device has hardware revision \(device), the release is for \(lowest) to \(highest)"
        case .older(let sequence, let accepted):
            "the release has sequence \(sequence), this device already ran \(accepted)"
        case .belowFloor(let version, let floor):
            "the release has security version \(version), this device accepts \(floor) and newer"
        case .sequenceJump(let sequence, let accepted):
            "the release has sequence \(sequence), more than \(SequenceRule.mostJump) above \(accepted)"
        case .floorUnknown(let version, let running, let why):
            "the release has security version \(version), \(running) runs, and the floor is not known: \(why)"
        case .belowHardFloor(let version, let floor, let keeper):
            "the release has security version \(version), and the \(keeper) holds \(floor), which no override lowers"
        case .notNewest(let sequence, let newest, let release, let channel):
            "the release has sequence \(sequence), the channel \(channel) names \(release) with \(newest)"
        case .overrideOtherRelease(let wanted, let found):
            "the override is for the release with manifest \(wanted), the bundle has \(found)"
        case .overrideOtherDevice(let id): "the override does not name this device, \(id)"
        case .overrideNonce: "the override was used already, or answers another request than the one that waits"
        case .overrideExpired(let when): "the override ended \(when)"
        case .channelOther(let wanted, let found): "the statement is of the channel \(found), not of \(wanted)"
        case .channelReplayed(let sequence, let known):
            "the channel's statement is older than one that is known (sequence \(sequence), known \(known))"
        case .channelTime(let created): "the channel's statement was made at \(created), which is not believed"
        case .fullForbidden(let component):
            "\(component) would have to be fetched in full: no delta of the bundle fits what this device holds"
        case .mostBytes(let more): "the attempt would fetch \(more) bytes more than it may"
        case .updaterTooOld(let needed): "the release needs kedged \(needed), this is \(KedgeVersion.text)"
        case .expired(let at): "the release expired at \(at) (seconds since 1970)"
        case .notYet(let at): "the release is not to be installed before \(at) (seconds since 1970)"
        case .nothingToConfirm: "no release is on trial"
        case .nothingToCancel: "no attempt can be canceled now"
        case .nothingToPause: "no attempt can be paused now"
        case .nothingToIndex(let slot): "of \(slot) no record is kept: blocks recur only on raw media"
        case .nothingToResume: "no attempt is paused or interrupted"
        case .nothingToRollBack(let why): why
        case .healthFailed(let why): "the health check failed: \(why)"
        case .wrongImage(let why): "the running slot is not what was installed: \(why)"
        case .bootFailed(let why): why
        case .interrupted: "the attempt was interrupted and what it fetched from is not known any more"
        case .head(let why): "the kept head of the bundle cannot be used: \(why)"
        case .journal(let why): "the journal cannot be used: \(why)"
        case .reboot(let why): "the reboot could not be started: \(why)"
        case .unknownRunningSlot(let why): "the running slot is not known: \(why)"
        }
    }

    public var remedy: String {
        switch self {
        case .busy: "Wait until it is done, or ask it to stop with kedged cancel"
        case .stopped: "Start it again: the attempt goes on"
        case .staged: "Install it with kedged resume, or give it up with kedged cancel"
        case .paused: "Go on with kedged resume, or give it up with kedged cancel"
        case .lowSpace: "Free space: kedged run goes on by itself, otherwise start it again"
        case .canceled, .interrupted: "Start a new attempt when it is wanted"
        case .attemptPending: "Reboot to go on, or give it up with kedged rollback"
        case .rebootPending: "Reboot first, then start again"
        case .badAttemptID: "Use a UUID"
        case .otherManifest: "Check the URL and the digest in the request"
        case .wrongProduct, .wrongHardware:
            "Choose the release for this device; if it is the right one, check device.ini"
        case .older, .belowFloor: "Choose a newer release; for an older one build it again with a higher sequence"
        case .sequenceJump: "Build it with a sequence that follows the last one, or sign a newer trust root first"
        case .floorUnknown: "Choose a release at least as new as the running one, and see kedged floor show"
        case .belowHardFloor: "Build the older software again as a new release with a higher security version"
        case .notNewest: "Install the release that the channel names"
        case .overrideOtherRelease: "Install the release that the override names"
        case .overrideOtherDevice: "Check id in [device], and let an override be made for this device"
        case .overrideNonce, .overrideExpired: "Ask with kedged override request, and let a new override be made"
        case .channelOther: "Check name and url in [channel]"
        case .channelReplayed: "Publish the newest statement; if it is there, somebody holds it back"
        case .channelTime: "Sign the statement again with a clock that is right"
        case .fullForbidden:
            "Build the bundle with --delta-from the release that runs here, or set full = allow in [delta]"
        case .mostBytes: "Raise most-bytes in [delta], or build a smaller delta"
        case .updaterTooOld: "Install a release that brings a newer kedged first"
        case .expired: "Choose a newer release"
        case .notYet: "Try later, or check the device's clock"
        case .nothingToIndex: "Name a slot of type block or flash"
        case .nothingToConfirm, .nothingToCancel, .nothingToPause, .nothingToResume, .nothingToRollBack:
            "See kedged status"
        case .healthFailed: "Read the health check's output above; the former release runs again after the reboot"
        case .wrongImage: "Install again; if it comes back, the medium is failing"
        case .bootFailed: "Test the release on a spare gateway's console; the former release runs"
        case .head, .journal: "Check the data directory of device.ini; a new attempt starts over"
        case .reboot: "Reboot by hand; the new release is tried at the next boot"
        case .unknownRunningSlot: "The boot loader must pass kedge.slot=a or kedge.slot=b on the kernel command line"
        }
    }
}

extension EngineError {
    /// `engine.staged`: the attempt waits to be installed, and nothing failed.
    public static let stagedCode = EngineError.staged("").code
    /// `engine.paused`: the attempt waits for word, and nothing failed.
    public static let pausedCode = EngineError.paused("").code
    /// An attempt that ended with one of these waits for room.
    static let spaceCodes = [
        EngineError.lowSpace(place: "", free: 0, reserve: 0).code, "slot.no-space", "storage.no-space",
    ]

    /// Whether an override may let a release in that was refused for this reason.
    var canBeOverridden: Bool {
        switch self {
        case .older, .belowFloor, .expired: true
        default: false
        }
    }
}

/// Runs a step of a module below and turns its error into a `Failure` with the same code.
func step<E: StableError, Result: ~Copyable>(
    _ body: () throws(E) -> Result
) throws(Failure) -> Result {
    do throws(E) {
        return try body()
    } catch {
        throw Failure(error)
    }
}
