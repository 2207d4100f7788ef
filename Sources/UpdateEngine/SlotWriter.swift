internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Trust

/// The last stage of the pipeline. Workers compare and write windows, several at once; the engine's own thread
/// flushes and notes what is flushed, while the workers write on.
///
/// What is written and not yet flushed is bounded: a worker that would pass the bound waits for the flush.
final class SlotWriter: @unchecked Sendable {
    /// Bytes that are fetched again after a power cut, at most: image bytes that are not flushed yet, and stored
    /// bytes that are still in the pipeline (three windows).
    static let epochBytes = 8 * 1024 * 1024
    /// Image bytes after which a flush begins, and which may be written and not flushed yet, the running flush's
    /// included. The difference keeps the workers busy during a flush.
    static let flushBytes = 3 * 1024 * 1024
    static let unflushedBytes = 5 * 1024 * 1024

    private let slots: [any Slot]
    /// Who keeps the record of what each slot holds, if anybody does.
    private let recorders: [HintRecorder?]
    private let pace: WritePace
    private let monitor = Monitor()
    private var workers: Int
    private var failure: Failure?
    private var stopped = false
    /// Windows in their slots that the next flush makes durable, and their bytes.
    private var pending: [Entry] = []
    private var pendingBytes = 0
    /// Bytes in the making, pending, or in the flush that runs.
    private var unflushed = 0
    /// Components that were written since their last flush. All are at the beginning: an earlier process may have
    /// written what is found unchanged now.
    private var unsettled: [Bool]
    private var progress = Progress()
    private var told: UInt64 = 0

    private struct Entry {
        let component: Int
        let window: Int
        let hints: WindowHints?
    }

    /// How far the writing is, in image bytes, and what it took.
    struct Progress: Equatable {
        /// Found unchanged in the slot, and written.
        var unchanged: UInt64 = 0
        var written: UInt64 = 0
        /// Flushes of a slot.
        var flushes: UInt64 = 0
        /// Image bytes done so far, flushed or not.
        var handled: UInt64 { unchanged + written }
    }

    /// Windows that are flushed, by component. Only the flushing thread uses it.
    private(set) var flushed: [WindowBitmap]

    /// Compared first: a window that differs nearly always differs here, and then the rest need not be read.
    private static let probe = 16 * 1024
    /// Bytes of the slot that one worker compares at a time.
    static let comparedBytes = 128 * 1024

    /// For the workers of `pace`, which all must `end`.
    init(slots: [any Slot], held: [WindowBitmap], pace: WritePace, recorders: [HintRecorder?]) {
        self.slots = slots
        self.recorders = recorders
        self.pace = pace
        workers = pace.workers
        flushed = held
        unsettled = slots.map { _ in true }
    }

    // MARK: the workers' side

    /// Writes one window, unless the slot holds it; the bytes that had to be written. `present` is the worker's memory
    /// to compare in.
    @discardableResult
    func accept(
        _ window: consuming VerifiedWindow, of component: Int, comparingIn present: AlignedBuffer
    ) throws(Failure) -> Int {
        let length = window.length
        try reserve(length)
        let slot = slots[component]
        let holds = try step { () throws(SlotError) in try Self.holds(slot, window, present) }
        if !holds { try step { () throws(SlotError) in try slot.write(window) } }
        let entry = Entry(
            component: component, window: window.index, hints: recorders[component]?.hints(of: window))
        monitor.locked {
            pending.append(entry)
            pendingBytes += length
            if holds {
                progress.unchanged += UInt64(length)
            } else {
                progress.written += UInt64(length)
                unsettled[component] = true
            }
            monitor.signal()
        }
        return holds ? 0 : length
    }

    /// Waits until so many more bytes may be written before the next flush.
    private func reserve(_ length: Int) throws(Failure) {
        try monitor.locked { () throws(Failure) in
            while unflushed >= pace.holdBytes, !stopped, failure == nil { monitor.wait() }
            if stopped || failure != nil { throw Failure(EngineError.canceled) }
            unflushed += length
        }
    }

    private static func holds(
        _ slot: any Slot, _ window: borrowing VerifiedWindow, _ present: AlignedBuffer
    ) throws(SlotError) -> Bool {
        var position = 0
        while position < window.length {
            let step = min(position == 0 ? probe : comparedBytes, window.length - position)
            let got = try slot.read(at: window.offset + UInt64(position), count: step, into: present)
            if got < step || !present.equals(window.buffer, at: position, count: step) { return false }
            position += step
        }
        return true
    }

    /// A worker has nothing left to do, or failed; the first failure counts.
    func end(_ failure: Failure?) {
        monitor.locked {
            workers -= 1
            if self.failure == nil { self.failure = failure }
            monitor.signal()
        }
    }

    // MARK: the flushing side

    /// Waits until more was written; nil when all workers came to their good end.
    func next() throws(Failure) -> Progress? {
        try monitor.locked { () throws(Failure) in
            while progress.handled <= told, workers > 0, failure == nil { monitor.wait() }
            if let failure { throw failure }
            if progress.handled <= told { return nil }
            told = progress.handled
            return progress
        }
    }

    /// How far the writing is now.
    var current: Progress { monitor.locked { progress } }

    /// Whether it is time to flush.
    var epochIsFull: Bool { monitor.locked { pendingBytes >= pace.flushBytes } }

    /// Ends all waiting, now and later: the workers come to their end.
    func stop() {
        monitor.locked {
            stopped = true
            monitor.signal()
        }
    }

    /// Makes durable what is written up to now; only then are its windows noted. A slot that was not written since
    /// its last flush is not flushed again.
    func flush() throws(Failure) {
        let (entries, bytes, dirty) = monitor.locked {
            let dirty = slots.indices.filter { slot in unsettled[slot] && pending.contains { $0.component == slot } }
            for component in dirty { unsettled[component] = false }
            let taken = (pending, pendingBytes, dirty)
            pending.removeAll(keepingCapacity: true)
            pendingBytes = 0
            return taken
        }
        for component in dirty { try step { () throws(SlotError) in try slots[component].flush() } }
        for entry in entries {
            flushed[entry.component].insert(entry.window)
            if let hints = entry.hints { recorders[entry.component]?.record(hints, window: entry.window) }
        }
        monitor.locked {
            progress.flushes += UInt64(dirty.count)
            unflushed -= bytes
            monitor.signal()
        }
    }
}
