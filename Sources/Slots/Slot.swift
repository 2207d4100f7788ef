public import BundleFormat
public import Payload
public import Platform

/// Where one component of slot A or B lives. Several threads may `read` and `write` (different windows) at once, also
/// while one of them flushes; all else is one thread's.
///
/// The order of calls: `open`, then `read`, `write` and `flush` in any order, then `seal`, `read` for the read-back,
/// `publish`, `close`. Nothing that was there before is changed ahead of the first `write`. A component that the slot
/// already `holds` goes straight to `publish`. All of it can be done again from the start after a power cut.
public protocol Slot: AnyObject, Sendable {
    /// The slot's name in messages, for example `rootfs b (/dev/mmcblk0p3)`.
    var displayName: String { get }

    /// The directory that it writes files to; nil for raw media, which cannot run full.
    var directory: String? { get }

    /// Bytes written to the medium since this object was made, padding and tail included.
    var bytesWritten: UInt64 { get }

    /// Checks without writing that this component fits: the slot exists, is large enough, is not mounted or held,
    /// has the space. Idempotent, leaves nothing open.
    func check(_ component: Component) throws(SlotError)

    /// Opens for writing this component. Changes nothing that is already there.
    func open(_ component: Component) throws(SlotError)

    /// Opens only for reading a component that is installed here, for measuring the running slot: works while the
    /// slot is mounted or running, and never writes. A store reads the published blob.
    func openForReading(_ component: Component) throws(SlotError)

    /// Whether the whole component is already here, found by hashing what is on the medium. Cheap when the answer is
    /// plainly no; block slots always answer false and are compared window by window instead.
    func holds(_ component: Component) throws(SlotError) -> Bool

    /// Reads up to `count` bytes of the image at `offset` into `buffer`; fewer only where the slot ends or nothing
    /// was ever written. `offset` is a multiple of 4096. Bytes of the buffer behind the returned count are undefined.
    func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int

    /// Writes one verified window at its place.
    func write(_ window: borrowing VerifiedWindow) throws(SlotError)

    /// Makes durable what was written before the call. An error is final for the attempt.
    func flush() throws(SlotError)

    /// After the last window: removes what may stand behind the image (zeroes the tail), flushes, and makes the
    /// next reads come from the medium.
    func seal(_ component: Component) throws(SlotError)

    /// After the read-back succeeded: makes the image usable (publishes a blob in a store); nothing for raw media.
    func publish(_ component: Component, release: String) throws(SlotError)

    /// Closes; the medium stays as it is.
    func close()
}

extension Slot {
    public var directory: String? { nil }
}

/// Why a slot cannot be used.
public enum SlotError: StableError, Equatable, Sendable {
    /// The configuration names no such slot for a component of the release.
    case missing(slot: String)
    /// The path is not there or is of the wrong kind.
    case unusable(slot: String, why: String)
    case tooSmall(slot: String, capacity: UInt64, needed: UInt64)
    /// Mounted, or held by a file system, loop device or another program.
    case inUse(slot: String)
    case noSpace(slot: String, free: UInt64, needed: UInt64)
    /// A read, write or flush failed.
    case system(slot: String, SystemError)
    /// What was read back is not what was written.
    case readBackMismatch(slot: String)

    public var code: String {
        switch self {
        case .missing: "slot.missing"
        case .unusable: "slot.unusable"
        case .tooSmall: "slot.too-small"
        case .inUse: "slot.in-use"
        case .noSpace: "slot.no-space"
        case .system(_, let error): error.isNoSpace ? "slot.no-space" : "slot.io"
        case .readBackMismatch: "slot.read-back"
        }
    }
    public var category: ErrorCategory { .storage }
    public var context: String {
        switch self {
        case .missing(let slot): "the device has no slot \(slot)"
        case .unusable(let slot, let why): "slot \(slot) cannot be used: \(why)"
        case .tooSmall(let slot, let capacity, let needed):
            "slot \(slot) has \(capacity) bytes, the image needs \(needed)"
        case .inUse(let slot): "slot \(slot) is mounted or held by a program"
        case .noSpace(let slot, let free, let needed): "slot \(slot) has \(free) bytes free, \(needed) are needed"
        case .system(let slot, let error): "slot \(slot): \(error.context)"
        case .readBackMismatch(let slot): "slot \(slot) does not give back what was written"
        }
    }
    public var remedy: String {
        switch self {
        case .missing: "Add a [slot NAME a] and [slot NAME b] section to device.ini, or build without the component"
        case .unusable: "Correct the path in device.ini"
        case .tooSmall: "Build a smaller image, or enlarge the slot"
        case .inUse: "Unmount it; the spare slot must be idle"
        case .noSpace: "Free space and start again; what was fetched is kept"
        case .system(_, let error): error.remedy
        case .readBackMismatch: "The medium is failing: replace it"
        }
    }
}

extension SystemError {
    /// The medium or the quota is full.
    var isNoSpace: Bool { number == SystemError.noSpace || number == SystemError.quota }
}
