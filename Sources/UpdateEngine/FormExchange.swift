internal import Payload
internal import Platform

/// Stored bytes of a batch with the digests of its groups proven, on their way to the decoder.
final class FetchedBatch: @unchecked Sendable {
    let list: Int
    /// Nil where the groups have no bytes.
    let buffer: AlignedBuffer?
    private var groups: [GroupItem]

    init(list: Int, groups: [GroupItem], buffer: AlignedBuffer?) {
        self.list = list
        self.groups = groups
        self.buffer = buffer
    }

    var items: [GroupItem] { groups }
}

/// A stored group that can be handed over once.
final class GroupItem: @unchecked Sendable {
    private var group: StoredGroup?

    init(_ group: consuming StoredGroup) { self.group = consume group }

    /// Hands the group over; nil the second time.
    func take() -> StoredGroup? { group.take() }
}

/// What the transfer thread and the decoding thread of deltas tell each other: batches go one way, wishes for single
/// windows the other. A wish goes first, because the groups behind it may be coded against that window.
final class FormExchange: @unchecked Sendable {
    /// What the transfer thread does next.
    enum Task {
        case batches
        case window(FetchJob.Target)
    }

    private let monitor = Monitor()
    private var free: [AlignedBuffer]
    private var ready: [FetchedBatch] = []
    private var wish: FetchJob.Target?
    private var answer: StoredItem?
    private var allFetched = false
    private var decoderIsDone = false
    /// Lists whose rest nobody wants.
    private var abandoned: [Int] = []
    private var failure: Failure?

    /// Buffers that batches are fetched into.
    init(buffers: [AlignedBuffer]) { free = buffers }

    // MARK: the transfer side

    /// What to do next: serve a wish, or fetch batches while there are some. Nil when the decoder is done.
    func nextTask(hasBatches: Bool) -> Task? {
        monitor.locked {
            while true {
                if decoderIsDone { return nil }
                if let target = wish {
                    wish = nil
                    return .window(target)
                }
                if hasBatches, !free.isEmpty { return .batches }
                if !hasBatches && !allFetched {
                    allFetched = true
                    monitor.signal()
                }
                monitor.wait()
            }
        }
    }

    /// Memory for the next batch, waited for; nil when a wish goes first or the decoder is done.
    func buffer() -> AlignedBuffer? {
        monitor.locked {
            while free.isEmpty, wish == nil, !decoderIsDone { monitor.wait() }
            return wish != nil || decoderIsDone ? nil : free.popLast()
        }
    }

    func push(_ batch: FetchedBatch) {
        monitor.locked {
            ready.append(batch)
            monitor.signal()
        }
    }

    func grant(_ item: StoredItem) {
        monitor.locked {
            answer = item
            monitor.signal()
        }
    }

    /// Nothing more comes. What was pushed before is still handed out, so that what was fetched is kept.
    func fail(_ failure: Failure) {
        monitor.locked {
            if self.failure == nil { self.failure = failure }
            monitor.signal()
        }
    }

    // MARK: the decoder's side

    /// The next batch; nil at the good end.
    func next() throws(Failure) -> FetchedBatch? {
        try monitor.locked { () throws(Failure) in
            while ready.isEmpty, !allFetched, failure == nil { monitor.wait() }
            if !ready.isEmpty { return ready.removeFirst() }
            if let failure { throw failure }
            return nil
        }
    }

    /// Gives a buffer back; from either side.
    func give(_ buffer: AlignedBuffer) {
        monitor.locked {
            free.append(buffer)
            monitor.signal()
        }
    }

    /// Asks for one window in its own form and waits for it.
    func window(_ target: FetchJob.Target) throws(Failure) -> StoredItem {
        try monitor.locked { () throws(Failure) in
            wish = target
            monitor.signal()
            while answer == nil, failure == nil { monitor.wait() }
            guard let item = answer else { throw failure ?? Failure(EngineError.canceled) }
            answer = nil
            return item
        }
    }

    /// The rest of a list is of no use: its base is another image.
    func abandon(_ list: Int) {
        monitor.locked {
            abandoned.append(list)
            monitor.signal()
        }
    }

    /// From either side.
    func isAbandoned(_ list: Int) -> Bool { monitor.locked { abandoned.contains(list) } }

    /// The decoder needs nothing more, well or badly.
    func end() {
        monitor.locked {
            decoderIsDone = true
            monitor.signal()
        }
    }
}
