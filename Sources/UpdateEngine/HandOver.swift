internal import Platform

/// A first-in first-out hand-over between two threads of the pipeline. It has no bound of its own: whoever pushes
/// holds a buffer from a pool, and the pool is the bound.
final class HandOver<Item: AnyObject>: @unchecked Sendable {
    private let monitor = Monitor()
    private var items: [Item] = []
    private var ended = false
    private var failure: Failure?

    /// Hands an item on.
    func push(_ item: Item) {
        monitor.locked {
            items.append(item)
            monitor.signal()
        }
    }

    /// Nothing more comes; with a failure when it is not all. The first end counts.
    func end(_ failure: Failure?) {
        monitor.locked {
            if !ended { self.failure = failure }
            ended = true
            monitor.signal()
        }
    }

    /// The next item; nil at the good end. What was pushed before a failure is still handed out first, so that
    /// what was fetched is kept.
    func next() throws(Failure) -> Item? {
        try monitor.locked { () throws(Failure) in
            while items.isEmpty && !ended { monitor.wait() }
            if !items.isEmpty { return items.removeFirst() }
            if let failure { throw failure }
            return nil
        }
    }
}

/// The buffers that go round between two stages. Everything that waits in the pipeline waits here for a buffer:
/// memory is bounded by the pools, and a slow slot slows the download down instead of filling memory.
final class BufferPool: @unchecked Sendable {
    private let monitor = Monitor()
    private var free: [AlignedBuffer] = []
    private var stopped = false

    /// Allocates all buffers now.
    init(count: Int, capacity: Int) throws(Failure) {
        for _ in 0..<count {
            free.append(try step { () throws(SystemError) in try AlignedBuffer(capacity: capacity) })
        }
    }

    /// A free buffer, waited for; nil after `stop`.
    func take() -> AlignedBuffer? {
        monitor.locked {
            while free.isEmpty && !stopped { monitor.wait() }
            return stopped ? nil : free.removeLast()
        }
    }

    /// Gives a buffer back.
    func give(_ buffer: AlignedBuffer) {
        monitor.locked {
            free.append(buffer)
            monitor.signal()
        }
    }

    /// Ends all waiting, now and later: the stages that need buffers come to their end.
    func stop() {
        monitor.locked {
            stopped = true
            monitor.signal()
        }
    }
}
