internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Trust

/// Reads an image back from its medium and compares every window with the chunk table: this thread reads, another
/// hashes.
final class ReadBack: @unchecked Sendable {
    /// A window as it was read.
    private final class Sample {
        let index: Int
        let count: Int
        let buffer: AlignedBuffer
        init(index: Int, count: Int, buffer: AlignedBuffer) {
            self.index = index
            self.count = count
            self.buffer = buffer
        }
    }

    private let slot: any Slot
    private let table: VerifiedChunkTable
    private let pool: BufferPool
    private let samples = HandOver<Sample>()
    private let monitor = Monitor()
    private var different = false

    private static let buffers = 2

    /// The slot must be open.
    init(slot: any Slot, table: VerifiedChunkTable) throws(Failure) {
        self.slot = slot
        self.table = table
        pool = try BufferPool(count: Self.buffers, capacity: BundleLimits.window)
    }

    /// Reads and compares everything; `slot.read-back` when anything differs. `progress` is told the bytes of every
    /// window and may throw to end it.
    func run(_ progress: (Int) throws(Failure) -> Void) throws(Failure) {
        let hasher = try step { () throws(SystemError) in
            try WorkerThread(name: "kedge-hash") { self.hash() }
        }
        do throws(Failure) {
            for index in table.table.windows.indices {
                guard let buffer = pool.take() else { break }
                let length = table.table.plainLength(of: index)
                let count = try step { () throws(SlotError) in
                    try slot.read(at: table.table.plainOffset(of: index), count: length, into: buffer)
                }
                samples.push(Sample(index: index, count: count, buffer: buffer))
                try progress(length)
            }
            samples.end(nil)
            hasher.join()
        } catch {
            samples.end(error)
            hasher.join()
            throw error
        }
        if monitor.locked({ different }) { throw Failure(SlotError.readBackMismatch(slot: slot.displayName)) }
    }

    private func hash() {
        do throws(Failure) {
            while let sample = try samples.next() {
                if table.compare(sample.buffer, count: sample.count, index: sample.index) == .differs {
                    monitor.locked { different = true }
                    pool.stop()
                }
                pool.give(sample.buffer)
            }
        } catch {
            // The reading side ended with an error and reports it itself.
            return
        }
    }
}
