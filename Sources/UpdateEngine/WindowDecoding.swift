internal import BundleFormat
internal import Payload
internal import Platform

/// A fetched window with its stored digest proven, on its way to the decoder.
final class StoredItem: @unchecked Sendable {
    let component: Int
    let buffer: AlignedBuffer
    private var window: StoredWindow?

    init(component: Int, window: consuming StoredWindow) {
        self.component = component
        buffer = window.buffer
        self.window = consume window
    }

    /// Hands the window over; nil the second time.
    func take() -> StoredWindow? { window.take() }
}

/// A decoded window with its plain digest proven, on its way to the slot.
final class PlainItem: @unchecked Sendable {
    let component: Int
    let index: Int
    /// Where its memory goes back to.
    let pool: BufferPool
    let buffer: AlignedBuffer
    private var window: VerifiedWindow?

    init(component: Int, window: consuming VerifiedWindow, pool: BufferPool) {
        self.component = component
        self.pool = pool
        index = window.index
        buffer = window.buffer
        self.window = consume window
    }

    /// Hands the window over; nil the second time.
    func take() -> VerifiedWindow? { window.take() }
}

/// The middle of the pipeline, on a thread of its own: stored windows in, verified plain windows out.
final class WindowDecoding: @unchecked Sendable {
    private let input: HandOver<StoredItem>
    private let output: HandOver<PlainItem>
    private let stored: BufferPool
    private let plain: BufferPool
    private let decoder: WindowDecoder

    init(
        from input: HandOver<StoredItem>, to output: HandOver<PlainItem>, stored: BufferPool, plain: BufferPool
    ) throws(Failure) {
        self.input = input
        self.output = output
        self.stored = stored
        self.plain = plain
        decoder = try step { () throws(PayloadError) in try WindowDecoder() }
    }

    /// Runs to the end on the calling thread and always ends the output.
    func run() {
        do throws(Failure) {
            while let item = try input.next() { try pass(item) }
            output.end(nil)
        } catch {
            // The fetching side must not wait for buffers that nobody gives back any more.
            stored.stop()
            output.end(error)
        }
    }

    private func pass(_ item: StoredItem) throws(Failure) {
        guard let window = item.take() else { return }
        guard let scratch = plain.take() else { throw Failure(EngineError.canceled) }
        let decoded: VerifiedWindow
        do throws(PayloadError) {
            decoded = try decoder.decode(consume window, scratch: scratch)
        } catch {
            throw Failure(error)
        }
        // A window that is stored as it is stays in its own buffer.
        let stays = decoded.buffer === item.buffer
        if stays { plain.give(scratch) } else { stored.give(item.buffer) }
        output.push(PlainItem(component: item.component, window: decoded, pool: stays ? stored : plain))
    }
}
