internal import Payload
internal import Platform

/// One fetched window on its way from the transfer thread to the writing thread.
final class WindowItem: @unchecked Sendable {
    let component: Int
    let index: Int
    let buffer: AlignedBuffer
    private var window: StoredWindow?

    init(component: Int, window: consuming StoredWindow) {
        self.component = component
        index = window.index
        buffer = window.buffer
        self.window = consume window
    }

    /// Hands the window over; nil the second time.
    func take() -> StoredWindow? { window.take() }
}

/// The bounded hand-over between the two threads of the pipeline, with the pool of buffers that go round.
///
/// Everything that waits here waits for a buffer: memory is bounded by the pool, and a slow slot slows the download
/// down instead of filling memory.
final class WindowQueue: @unchecked Sendable {
    private let monitor = Monitor()
    private var free: [AlignedBuffer] = []
    private var items: [WindowItem] = []
    private var ended = false
    private var failure: Failure?
    private var stopping = false

    /// Makes the pool.
    init(buffers: Int, capacity: Int) throws(SystemError) {
        for _ in 0..<buffers { free.append(try AlignedBuffer(capacity: capacity)) }
    }

    /// A free buffer; nil when the reader stopped.
    func buffer() -> AlignedBuffer? {
        monitor.locked {
            while free.isEmpty && !stopping { monitor.wait() }
            return stopping ? nil : free.removeLast()
        }
    }

    /// Gives a buffer back.
    func recycle(_ buffer: AlignedBuffer) {
        monitor.locked {
            free.append(buffer)
            monitor.signal()
        }
    }

    /// Hands a window on.
    func push(_ item: WindowItem) {
        monitor.locked {
            items.append(item)
            monitor.signal()
        }
    }

    /// No more windows; with a failure when they are not all.
    func end(_ failure: Failure?) {
        monitor.locked {
            ended = true
            if self.failure == nil { self.failure = failure }
            monitor.signal()
        }
    }

    /// The next window; nil at the good end. Windows that came before a failure are still handed out, so that
    /// what was fetched is kept.
    func next() throws(Failure) -> WindowItem? {
        try monitor.locked { () throws(Failure) in
            while items.isEmpty && !ended { monitor.wait() }
            if !items.isEmpty { return items.removeFirst() }
            if let failure { throw failure }
            return nil
        }
    }

    /// The reader gives up: the fetching side stops at its next buffer.
    func stop() {
        monitor.locked {
            stopping = true
            monitor.signal()
        }
    }
}
