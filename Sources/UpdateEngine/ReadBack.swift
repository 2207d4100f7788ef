internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Trust

/// Reads an image back from its medium and compares every window with the chunk table. Several threads read and hash,
/// so that the medium has more than one request at a time and hashing costs no waiting.
final class ReadBack: @unchecked Sendable {
    private let slot: any Slot
    private let table: VerifiedChunkTable
    private let monitor = Monitor()
    private var next = 0
    private var done = 0
    private var working = 0
    private var stopping = false
    private var failure: Failure?

    /// Each holds one window: 3 MiB together.
    private static let readers = 3

    /// The slot must be open.
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
            for _ in 0..<Self.readers {
                monitor.locked { working += 1 }
                threads.append(
                    try step { () throws(SystemError) in try WorkerThread(name: "kedge-readback") { self.read() } })
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
            let buffer = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) }
            while let index = take() {
                let length = table.table.plainLength(of: index)
                let count = try step { () throws(SlotError) in
                    try slot.read(at: table.table.plainOffset(of: index), count: length, into: buffer)
                }
                if table.compare(buffer, count: count, index: index) == .differs {
                    throw Failure(SlotError.readBackMismatch(slot: slot.displayName))
                }
                finish(bytes: length)
            }
            finish(failure: nil)
        } catch {
            finish(failure: error)
        }
    }

    private func finish(bytes: Int) {
        monitor.locked {
            done += bytes
            monitor.signal()
        }
    }

    private func finish(failure: Failure?) {
        monitor.locked {
            if self.failure == nil { self.failure = failure }
            working -= 1
            monitor.signal()
        }
    }
}
