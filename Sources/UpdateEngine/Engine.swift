internal import BootControl
internal import BundleFormat
internal import Floors
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
    /// Who may sign releases; an attempt may bring a newer root.
    var trust: TrustStore
    var state: JournalState
    var observer: (any EngineObserver)?

    /// What the attempt in work holds open.
    var head: BundleHead?
    var source: (any BundleSource)?
    var held: [WindowBitmap] = []
    /// Components that their slot already has as a whole (a blob in a store): nothing to write or read back.
    var whole: [Bool] = []
    var targets: [any Slot] = []
    /// The form each component comes in, where it is not its windows, and the running slot that a delta or blocks come
    /// from.
    var forms: [GroupList?] = []
    var bases: [(any Slot)?] = []
    /// What comes from the device itself, where no form of `forms` is better.
    var blockLists: [BlockList?] = []
    /// Who records what is written, by component.
    var recorders: [HintRecorder?] = []
    /// What planning fetched of the forms.
    var formsBefore = FormCounters()
    var formRepeats = DamageRepeats()
    var plan: UpdatePlan?
    var handledBytes: UInt64 = 0
    var pause: Failure?
    var rebooting = false
    var clock: LowerBoundClock
    var floors = FloorStatus()
    var overrides: OverrideBook?
    /// The override that came with the attempt in work.
    var offeredOverride: [UInt8]?
    var channelStatement: ChannelStatement?
    var channelProblem: Failure?
    /// The part of the work that runs, and up to when its time is noted.
    var timing: (part: AttemptCost.Part, since: UInt64)?
    /// A write of the boot record failed, and reading it again too: nobody knows which record is on the medium.
    var recordUnknown = false
    /// File systems that an attempt found too full, and what was free there when it paused.
    var shortage: [(path: String, free: UInt64)] = []
    let monitor = Monitor()
    /// The attempt that is asked to pause, as last seen; and whether the work in this process is to stop for it, also
    /// when the request is gone by the time it does. Guarded by the monitor.
    var heldAttempt: String?
    var pauseAsked = false
    /// Whoever works is to stop; and the attempts that are, whenever they work.
    private var cancelAsked = false
    private var canceledAttempts: [String] = []
    private var stopAsked = false
    var cancelable: (any BundleSource)?
    var working = ""

    /// Cancel requests that are remembered.
    private static let canceledLimit = 32

    /// Reads the boot record and the journal; writes nothing.
    public init(_ outside: EngineSurroundings, observer: (any EngineObserver)? = nil) throws(Failure) {
        self.outside = outside
        trust = outside.trust
        self.observer = observer
        let record = try step { () throws(BootError) in try outside.boot.load() }
        let journal = try step { () throws(SystemError) in try Journal(outside.state) }
        let state = journal.state
        self.journal = journal
        self.state = state
        machine = Self.machine(record, state, outside)
        clock = LowerBoundClock(
            anchor: max(outside.built, outside.trust.root.created), kept: state.timeFloor)
        floors.root = outside.trust.root.floor
        floors.store = outside.floor?.kind
        pause = machine.attempt?.pause
        heldAttempt = outside.state.heldAttempt()
        if state.sequenceRoot == 0 { noteSequenceRoot() }
        noteBootForOverride()
        readFloor()
        loadChannel()
        for set in SlotSet.allCases {
            if let head = keptHead(set) { clock.learn(head.release.manifest.created) }
        }
    }

    private static func machine(
        _ record: BootRecord, _ state: JournalState, _ outside: EngineSurroundings
    ) -> UpdateMachine {
        let attempt = state.attempt.flatMap { state.isOlder($0.id, than: record.attempt) ? nil : $0 }
        var machine = UpdateMachine(
            record: record, running: outside.running.slot, attempt: attempt,
            ended: attempt.flatMap { state.result(of: $0.id)?.phase })
        machine.tries = outside.tries
        return machine
    }

    /// Before anything is decided: when it is not known which record is on the medium, it is read again.
    func settleRecord() throws(Failure) {
        if !recordUnknown { return }
        let record = try step { () throws(BootError) in try outside.boot.load() }
        machine = Self.machine(record, state, outside)
        recordUnknown = false
    }

    /// Where things stand.
    public var status: EngineStatus {
        var status = EngineStatus(
            phase: rebooting ? .rebooting : machine.phase, attempt: machine.attempt, record: machine.record,
            running: machine.running, bootID: outside.running.bootID ?? "")
        status.releaseA = releaseName(.a)
        status.releaseB = releaseName(.b)
        status.handledBytes = handledBytes
        status.totalBytes = machine.attempt?.imageBytes ?? 0
        status.plan = plan
        status.pause = machine.phase.isBeforeArming ? holdFailure ?? pause : nil
        status.results = state.results
        status.floors = floors
        status.overrideRequest = overrides?.request
        status.channel = channelStatus
        status.time = TimeStatus(lowerBound: now(), clock: clock.judge(outside.time.realSeconds()))
        if let derived = derivedResult(), status.results.last(where: { $0.attempt == derived.attempt }) == nil {
            status.results.append(derived)
        }
        return status
    }

    /// Asks an attempt to stop, now or as soon as it starts to work: it ends as `canceled` at its next window. After
    /// it was armed nothing happens.
    public func requestCancel(_ attempt: String) {
        monitor.locked {
            canceledAttempts.append(attempt)
            if canceledAttempts.count > Self.canceledLimit { canceledAttempts.removeFirst() }
            if attempt == working { cancelable?.cancel() }
        }
    }

    /// Looks whether another process asked to cancel, and wakes the work in this one, which may wait for the
    /// network. From any thread, a few times a second.
    public func pollCancelRequest() {
        monitor.locked {
            if !outside.state.cancelRequested() { return }
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

    /// Throws when somebody asked to cancel or to pause, in this process or another, or this process is to stop.
    func checkCanceled() throws(Failure) {
        if monitor.locked({ stopAsked }) { throw Failure(EngineError.stopped) }
        let asked = monitor.locked { isCancelAsked }
        if asked || outside.state.cancelRequested() { throw Failure(EngineError.canceled) }
        try checkHold()
    }

    private var isCancelAsked: Bool { cancelAsked || canceledAttempts.contains(working) }

    func armCancel(_ source: (any BundleSource)?) {
        monitor.locked {
            cancelable = source
            if isCancelAsked || stopAsked || pauseAsked { source?.cancel() }
        }
    }

    /// An attempt starts to work: a request of another process that came before is not meant for it.
    func beginWork(_ attempt: String) throws(Failure) {
        try step { () throws(SystemError) in
            try monitor.locked { () throws(SystemError) in
                working = attempt
                cancelAsked = false
                pauseAsked = false
                try outside.state.setCancelRequest(false)
            }
        }
    }

    /// Tells the observer how things stand.
    public func notify() { observer?.engineChanged(status) }

    /// A lower bound of the time, seconds since 1970: the clock may be wrong, but it is never earlier than this.
    func now() -> Int64 { clock.now(outside.time.realSeconds()) }

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
        do throws(Failure) { return try verifyKeptHead(set) } catch { return nil }
    }

    /// The same from the disk, with the reason why it does not verify.
    func verifyKeptHead(_ set: SlotSet) throws(Failure) -> BundleHead? {
        guard let bytes = try step({ () throws(SystemError) in try outside.state.readHead(set) }) else { return nil }
        return try BundleHead(verifying: bytes, trust: trust)
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
