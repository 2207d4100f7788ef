internal import BundleFormat
internal import Payload
internal import Platform

/// The middle of the pipeline: threads that take stored windows, decode them, check their plain digest and bring them
/// to the slot, each one window at a time.
///
/// At least two, so that decoding goes on while a write or a comparison waits for the medium, and the medium has more
/// than one request at a time. Each holds one plain window and a piece to compare
/// with; nothing else is copied.
final class WindowWorkers: @unchecked Sendable {
    private let input: HandOver<StoredItem>
    private let stored: BufferPool
    private let writer: SlotWriter

    /// Threads of one transfer.
    static var count: Int { min(max(ProcessInformation.processorCount, 2), 4) }

    init(from input: HandOver<StoredItem>, stored: BufferPool, to writer: SlotWriter) {
        self.input = input
        self.stored = stored
        self.writer = writer
    }

    /// Runs one worker to the end on the calling thread; the writer always hears of the end.
    func run() {
        do throws(Failure) {
            let decoder = try step { () throws(PayloadError) in try WindowDecoder() }
            let scratch = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) }
            let present = try step { () throws(SystemError) in
                try AlignedBuffer(capacity: SlotWriter.comparedBytes)
            }
            while let item = try input.next() { try pass(item, decoder, scratch, present) }
            writer.end(nil)
        } catch {
            writer.end(error)
            // The fetching side must not wait for buffers that nobody gives back any more.
            stored.stop()
        }
    }

    private func pass(
        _ item: StoredItem, _ decoder: WindowDecoder, _ scratch: AlignedBuffer, _ present: AlignedBuffer
    ) throws(Failure) {
        guard let window = item.take() else { return }
        let decoded: VerifiedWindow
        do throws(PayloadError) {
            decoded = try decoder.decode(consume window, scratch: scratch)
        } catch {
            throw Failure(error)
        }
        // A window that is stored as it is stays in its own buffer.
        let stays = decoded.buffer === item.buffer
        if !stays { stored.give(item.buffer) }
        try writer.accept(decoded, of: item.component, comparingIn: present)
        if stays { stored.give(item.buffer) }
    }
}
