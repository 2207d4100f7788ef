public import BootControl
internal import BundleFormat
public import Platform

/// The engine's decisions as a value: events in, effects out, no input or output inside. The order of its effects is
/// the write protocol.
public struct UpdateMachine: Equatable, Sendable {
    /// What happened.
    public enum Event: Equatable, Sendable {
        /// Somebody wants this attempt.
        case requested(Attempt)
        /// The head is verified, the release is admitted and the plan holds.
        /// `resetSequence` is the accepted sequence, where the trust root took back what the record says.
        case planned(Attempt, sequence: UInt64, securityVersion: UInt32, resetSequence: UInt64? = nil)
        /// The running slot was measured and already is this release.
        case alreadyRunning(Attempt)
        /// The boot record was written, flushed and read back.
        case stored(BootRecord)
        /// All windows are written and flushed.
        case transferred
        /// The whole target was read back from the medium and is right.
        case readBack
        /// The running slot was hashed and is the release on trial.
        case measured
        /// The health check passed, or somebody confirmed.
        case healthy
        case failed(Failure)
        case cancelRequested
        /// Another attempt takes its place.
        case superseded
        case rollbackRequested(String)
    }

    /// What to do next, in this order.
    public enum Effect: Equatable, Sendable {
        /// Fetch the head, verify, admit, plan. Writes nothing on a slot.
        case plan
        /// Write the boot record, flush, read back.
        case store(BootRecord)
        /// Fetch, verify and write the windows that the target does not hold.
        case transfer
        /// Read the whole target back from the medium.
        case readBack
        /// Wait for the wish to install; nothing is armed.
        case stage
        /// Compare the running slot with the manifest.
        case measure
        case checkHealth
        case reboot
        /// Note how the attempt ended; reports are made from it.
        case finish(Phase, Failure?, reason: String)
    }

    public private(set) var phase: Phase
    public private(set) var record: BootRecord
    public private(set) var attempt: Attempt?
    /// The slot set that runs now.
    public let running: SlotSet
    private var planned: (sequence: UInt64, securityVersion: UInt32)?
    private var pendingFailure: Failure?

    /// Where things stand after a start, from the record (truth) and the journal's attempt (hint).
    ///
    /// An attempt that is not the record's is a newer one, which ended or was interrupted before its first write:
    /// the caller leaves older ones out. `ended` is the phase it ended with, if it did.
    public init(record: BootRecord, running: SlotSet, attempt: Attempt?, ended: Phase?) {
        self.record = record
        self.running = running
        let newer = attempt != nil && attempt?.id != record.attempt && record.phase != .trial
        self.attempt = newer || attempt?.id == record.attempt ? attempt : Self.nameless(record)
        if newer {
            phase = ended ?? .planned
            return
        }
        switch record.phase {
        case .trial: phase = running == record.active ? .trial : .armed
        case .writing: phase = ended ?? .fetching
        case .fellBack: phase = .rolledBack
        case .confirmed: phase = .confirmed
        case .idle: phase = .idle
        }
    }

    /// The attempt that only the record still knows; nil when it knows none.
    private static func nameless(_ record: BootRecord) -> Attempt? {
        record.attempt.isEmpty ? nil : Attempt(id: record.attempt, location: "", wanted: nil)
    }

    public static func == (a: UpdateMachine, b: UpdateMachine) -> Bool {
        a.phase == b.phase && a.record == b.record && a.attempt == b.attempt && a.running == b.running
    }

    /// Takes over what the shell counted for the attempt in work (progress, bytes); decides nothing.
    public mutating func note(_ attempt: Attempt) {
        if attempt.id == self.attempt?.id { self.attempt = attempt }
    }

    /// Takes one event. One that does not follow from the present phase changes nothing: above all, nothing is armed
    /// that was not read back in this process.
    public mutating func handle(_ event: Event) -> [Effect] {
        switch event {
        case .requested(let attempt):
            self.attempt = attempt
            phase = .planned
            return [.plan]
        case .planned(let attempt, let sequence, let securityVersion, let resetSequence):
            guard phase == .planned else { return [] }
            return begin(attempt, sequence, securityVersion, resetSequence)
        case .alreadyRunning(let attempt):
            guard phase == .planned else { return [] }
            self.attempt = attempt
            phase = .confirmed
            return [.finish(.confirmed, nil, reason: "already-running")]
        case .stored(let record):
            self.record = record
            return afterStore()
        case .transferred:
            guard phase == .fetching else { return [] }
            phase = .written
            return [.readBack]
        case .readBack:
            guard phase == .written else { return [] }
            phase = .verified
            if attempt?.staging == .wanted { return [.stage] }
            return [.store(record.arming(tries: tries))]
        case .measured: return phase == .trial ? [.checkHealth] : []
        case .healthy: return phase == .trial ? [.store(record.confirming())] : []
        case .failed(let failure): return fail(failure)
        case .cancelRequested: return cancel("requested")
        case .superseded: return cancel("superseded")
        case .rollbackRequested(let attempt): return rollBack(attempt)
        }
    }

    /// Boots that the next armed release gets.
    public var tries: UInt8 = 3

    private mutating func begin(
        _ attempt: Attempt, _ sequence: UInt64, _ securityVersion: UInt32, _ resetSequence: UInt64?
    ) -> [Effect] {
        guard let manifest = attempt.manifest else { return [] }
        self.attempt = attempt
        let next = record.beginning(
            attempt: attempt.id, running: running, manifest: manifest, sequence: sequence,
            securityVersion: securityVersion, resetSequence: resetSequence)
        // On resume the record already says so; a second write would only wear the medium.
        if record.phase == .writing, record.attempt == attempt.id, record[running.other] == next[running.other],
            record.active == running
        {
            phase = .fetching
            return [.transfer]
        }
        return [.store(next)]
    }

    private mutating func afterStore() -> [Effect] {
        switch record.phase {
        case .writing:
            phase = .fetching
            return [.transfer]
        case .trial:
            if running == record.active {
                phase = .trial
                return [.measure]
            }
            phase = .armed
            return [.reboot]
        case .confirmed:
            phase = .confirmed
            return [.finish(.confirmed, nil, reason: "")]
        case .fellBack:
            phase = .rolledBack
            let failure = pendingFailure
            pendingFailure = nil
            let finish = Effect.finish(.rolledBack, failure, reason: record.reason.name)
            return running == record.active ? [finish] : [finish, .reboot]
        case .idle: return []
        }
    }

    private mutating func fail(_ failure: Failure) -> [Effect] {
        switch phase {
        case .trial:
            pendingFailure = failure
            let reason: RollbackReason = failure.code == Self.wrongImageCode ? .wrongImage : .healthFailed
            return [.store(record.fallingBack(reason))]
        case .planned, .fetching, .written, .verified, .waiting, .idle:
            // What a repeated try can mend keeps the attempt: it goes on from what is already in the slot.
            if failure.category == .network || Self.passingCodes.contains(failure.code) {
                phase = phase == .planned ? .planned : .fetching
                return []
            }
            let canceled = failure.category == .canceled
            phase = canceled ? .canceled : .failed
            return [.finish(phase, canceled ? nil : failure, reason: "")]
        default: return []
        }
    }

    private mutating func cancel(_ reason: String) -> [Effect] {
        if phase.isBeforeArming {
            phase = .canceled
            return [.finish(.canceled, nil, reason: reason)]
        }
        return []
    }

    private mutating func rollBack(_ attempt: String) -> [Effect] {
        switch phase {
        case .trial, .armed: return [.store(record.fallingBack(.requested))]
        default:
            self.attempt = Attempt(id: attempt, location: "", wanted: nil)
            return [.store(record.switchingBack(attempt: attempt))]
        }
    }

    static let stoppedCode = EngineError.stopped.code
    /// Besides the network's: a stop of this process, a pause, a release that is only downloaded, and a full medium, on
    /// which space may come back.
    static let passingCodes = [stoppedCode, EngineError.pausedCode, EngineError.stagedCode] + EngineError.spaceCodes
    static let wrongImageCode = EngineError.wrongImage("").code

    /// What a start has to do by itself, without anybody asking.
    public func dueAtStart(currentBoot: String) -> [Effect] {
        switch phase {
        case .trial:
            // The first user-space start of a trial is noted once; later ones add nothing that decides.
            return record.userSpaceBoots == 0 ? [.store(record.reachingUserSpace())] : [.measure]
        case .armed:
            // Another boot came up on the former set although the new one has tries left: the boot loader did not
            // follow the record. Going on would claim a trial that never was.
            guard let armed = attempt?.armedBoot, !armed.isEmpty, !currentBoot.isEmpty else { return [] }
            if armed != currentBoot { return [.store(record.fallingBack(.bootFailed))] }
            // The process ended between arming and the reboot; nobody else would ask for it.
            return [.reboot]
        case .rolledBack:
            // The same on the way back: the failed release would run on, and nothing could be installed.
            guard record.phase == .fellBack, running != record.active, !currentBoot.isEmpty,
                attempt?.armedBoot == currentBoot
            else { return [] }
            return [.reboot]
        default: return []
        }
    }
}
