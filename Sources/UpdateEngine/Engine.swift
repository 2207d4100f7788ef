internal import BootControl
internal import BundleFormat
public import Platform
internal import Slots
internal import Transfer
internal import Trust

/// The shell around `UpdateMachine`: runs its effects on the device, one attempt at a time, on the caller's thread.
///
/// Only one engine may work on a device at a time; the caller holds the data directory's lock. `requestCancel` may
/// come from any thread.
public final class Engine: @unchecked Sendable {
    let outside: EngineSurroundings
    var machine: UpdateMachine
    let journal: Journal
    var state: JournalState
    var observer: (any EngineObserver)?

    /// What the attempt in work holds open.
    var head: BundleHead?
    var source: (any BundleSource)?
    var held: [WindowBitmap] = []
    /// Components that their slot already has as a whole (a blob in a store): nothing to write or read back.
    var whole: [Bool] = []
    var targets: [any Slot] = []
    var plan: UpdatePlan?
    var handledBytes: UInt64 = 0
    var pause: Failure?
    var rebooting = false
    private let monitor = Monitor()
    private var cancelAsked = false
    private var stopAsked = false
    private var cancelable: (any BundleSource)?

    /// Reads the boot record and the journal; writes nothing.
    public init(_ outside: EngineSurroundings, observer: (any EngineObserver)? = nil) throws(Failure) {
        self.outside = outside
        self.observer = observer
        let record = try step { () throws(BootError) in try outside.boot.load() }
        let journal = try step { () throws(SystemError) in try Journal(outside.state) }
        let state = journal.state
        self.journal = journal
        self.state = state
        let ended = state.attempt.map { state.result(of: $0.id) != nil } ?? false
        machine = UpdateMachine(record: record, running: outside.running.slot, attempt: state.attempt, ended: ended)
        machine.tries = outside.tries
    }

    /// Where things stand.
    public var status: EngineStatus {
        var status = EngineStatus(
            phase: rebooting ? .rebooting : machine.phase, attempt: machine.attempt, record: machine.record,
            running: machine.running, bootID: outside.running.bootID ?? "")
        if status.phase == .failed || status.phase == .canceled, let result = status.result {
            status.phase = result.phase
        }
        status.releaseA = releaseName(.a)
        status.releaseB = releaseName(.b)
        status.handledBytes = handledBytes
        status.totalBytes = machine.attempt?.imageBytes ?? 0
        status.plan = plan
        status.pause = pause
        status.results = state.results
        if let derived = derivedResult(), status.results.last(where: { $0.attempt == derived.attempt }) == nil {
            status.results.append(derived)
        }
        return status
    }

    /// Asks the running attempt to stop; it ends as `canceled` at the next window.
    public func requestCancel() {
        monitor.locked {
            cancelAsked = true
            cancelable?.cancel()
        }
    }

    /// Stops the work in this process at the next window, and keeps the attempt for the next start.
    public func pauseForStop() {
        monitor.locked {
            stopAsked = true
            cancelable?.cancel()
        }
    }

    /// Throws when somebody asked to cancel, in this process or another, or this process is to stop.
    func checkCanceled() throws(Failure) {
        if monitor.locked({ stopAsked }) { throw Failure(EngineError.stopped) }
        let asked = monitor.locked { cancelAsked }
        if asked || outside.state.cancelRequested() { throw Failure(EngineError.canceled) }
    }

    func armCancel(_ source: (any BundleSource)?) {
        monitor.locked {
            cancelable = source
            if cancelAsked || stopAsked { source?.cancel() }
        }
    }

    func clearCancel() throws(Failure) {
        monitor.locked { cancelAsked = false }
        try step { () throws(SystemError) in try outside.state.setCancelRequest(false) }
    }

    /// Tells the observer.
    func notify() { observer?.engineChanged(status) }

    /// A lower bound of the time, seconds since 1970: the clock may be wrong, but never earlier than this.
    func now() -> Int64 { max(outside.time.realSeconds(), state.timeFloor) }

    private func releaseName(_ set: SlotSet) -> ReleaseName? {
        guard let manifest = machine.record[set].manifest, let head = keptHead(set),
            head.release.digest == manifest
        else { return nil }
        return ReleaseName(
            id: head.release.manifest.releaseID, version: head.release.manifest.version, manifest: manifest)
    }

    /// The kept head of a slot set, verified anew; nil when it is not there or does not verify.
    func keptHead(_ set: SlotSet) -> BundleHead? {
        if let head, set != machine.running, head.release.digest == machine.record[set].manifest { return head }
        do throws(Failure) {
            guard let bytes = try step({ () throws(SystemError) in try outside.state.readHead(set) }) else {
                return nil
            }
            return try BundleHead(verifying: bytes, trust: outside.trust)
        } catch {
            return nil
        }
    }

    /// The end that the boot record proves, for an attempt that the journal does not know to have ended.
    func derivedResult() -> AttemptResult? {
        let record = machine.record
        guard !record.attempt.isEmpty, state.result(of: record.attempt) == nil else { return nil }
        let attempt =
            state.attempt?.id == record.attempt
            ? state.attempt : Attempt(id: record.attempt, location: "", wanted: nil)
        guard let attempt else { return nil }
        switch record.phase {
        case .confirmed: return AttemptResult(attempt, .confirmed)
        case .fellBack:
            return AttemptResult(
                attempt, .rolledBack, failure: Self.failure(of: record.reason), reason: record.reason.name)
        default: return nil
        }
    }

    /// What a rollback reason in the record says, where no error of this process tells more.
    static func failure(of reason: RollbackReason) -> Failure? {
        switch reason {
        case .none, .requested: nil
        case .bootFailed: Failure(EngineError.bootFailed("the new release never reached user space in its tries"))
        case .notConfirmed:
            Failure(EngineError.bootFailed("the new release reached user space but was not confirmed in its tries"))
        case .healthFailed: Failure(EngineError.healthFailed("noted in the boot record"))
        case .wrongImage: Failure(EngineError.wrongImage("noted in the boot record"))
        }
    }
}
