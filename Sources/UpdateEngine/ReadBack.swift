internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Trust

/// Reads an image back from its medium and compares every window with the chunk table. Several threads read and hash,
/// so that the medium has more than one request at a time and hashing costs no waiting.
///
/// It begins when all is written, sealed and flushed, and not while other windows are still written. Reading each epoch
/// back behind its own flush would hide most of the time that this takes, and was tried: but then whatever changes the
/// medium later (a medium that loses an older write when a newer one is merged, somebody who writes to the slot) would
/// be armed, and found only by the trial.
final class ReadBack: @unchecked Sendable {
    private let slot: any Slot
    private let table: VerifiedChunkTable
    private let monitor = Monitor()
    private var next = 0
    private var done = 0
    private var working = 0
    private var stopping = false
    private var failure: Failure?

    /// Threads, each with one piece of a window: 1 MiB together. Short pieces from many threads keep the medium as busy
    /// as whole windows from a few, at less memory.
    private static let readers = 8
    private static let pieceBytes = 128 * 1024

    /// The slot must be open and sealed.
    init(slot: any Slot, table: VerifiedChunkTable) {
        self.slot = slot
        self.table = table
    }

    /// Reads and compares everything; `slot.read-back` when anything differs. `progress` is told bytes as they are
    /// done, on this thread, and may throw to end it.
    func run(_ progress: (Int) throws(Failure) -> Void) throws(Failure) {
        var threads: [WorkerThread] = []
        defer { for thread in threads { thread.join() } }
        do throws(Failure) {
            for _ in 0..<min(Self.readers, table.table.windows.count) {
                threads.append(
                    try step { () throws(SystemError) in try WorkerThread(name: "kedge-readback") { self.read() } })
                monitor.locked { working += 1 }
            }
            var told = 0
            while let bytes = waitForProgress(after: told) {
                try progress(bytes - told)
                told = bytes
            }
        } catch {
            monitor.locked { stopping = true }
            throw error
        }
        if let failure = monitor.locked({ failure }) { throw failure }
    }

    /// Bytes done so far, once there are more than `told`; nil when all threads have ended.
    private func waitForProgress(after told: Int) -> Int? {
        monitor.locked {
            while done <= told && working > 0 { monitor.wait() }
            return done > told ? done : nil
        }
    }

    private func take() -> Int? {
        monitor.locked {
            guard !stopping, failure == nil, next < table.table.windows.count else { return nil }
            next += 1
            return next - 1
        }
    }

    private func read() {
        do throws(Failure) {
            let buffer = try step { () throws(SystemError) in try AlignedBuffer(capacity: Self.pieceBytes) }
            while let index = take() { try read(index, buffer) }
            end(nil)
        } catch {
            end(error)
        }
    }

    private func read(_ index: Int, _ buffer: AlignedBuffer) throws(Failure) {
        let start = table.table.plainOffset(of: index)
        var comparison = table.comparison(of: index)
        while comparison.missing > 0 {
            let count = min(comparison.missing, buffer.capacity)
            let place = start + UInt64(comparison.seen)
            let got = try step { () throws(SlotError) in try slot.read(at: place, count: count, into: buffer) }
            if got < count { throw Failure(SlotError.readBackMismatch(slot: slot.displayName)) }
            comparison.add(buffer.bytes.extracting(0..<count))
        }
        if comparison.finish() == .differs { throw Failure(SlotError.readBackMismatch(slot: slot.displayName)) }
        monitor.locked {
            done += table.table.plainLength(of: index)
            monitor.signal()
        }
    }

    private func end(_ failure: Failure?) {
        monitor.locked {
            if self.failure == nil { self.failure = failure }
            working -= 1
            monitor.signal()
        }
    }
}
