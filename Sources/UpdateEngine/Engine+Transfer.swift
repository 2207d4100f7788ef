internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

extension Engine {
    /// Stored windows in the pipeline, 1 MiB each at most and as a rule half of it. With the workers' plain windows
    /// the pipeline uses at most 5.6 MiB on two processors.
    private static let storedBuffers = 3

    /// Step 2 of the write protocol, and step 3 up to the flushed and sealed target.
    func transfer() throws(Failure) {
        guard let head, let source else { throw Failure(EngineError.interrupted) }
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try step { () throws(SlotError) in try targets[index].open(table.component) }
        }
        try checkSpace()
        let list = FetchList(head.tables, held: held, inOrderOfBundle: source.isSequential)
        let writer = SlotWriter(slots: targets, held: held, pace: outside.pace)
        try pump(list, from: source, head: head, into: writer)
        if source.isSequential { try head.checkEnd(source) }
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try step { () throws(SlotError) in try targets[index].seal(table.component) }
        }
    }

    /// One thread fetches and checks stored digests, some decode, check plain digests, compare and write, and this
    /// one flushes and journals.
    private func pump(
        _ list: FetchList, from source: any BundleSource, head: BundleHead, into writer: SlotWriter
    ) throws(Failure) {
        let received = source.bytesReceived
        let base = machine.attempt ?? Attempt(id: "", location: "", wanted: nil)
        let stored = try BufferPool(count: Self.storedBuffers, capacity: BundleLimits.window)
        let fetched = HandOver<StoredItem>()
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        let fetcher = WindowFetcher(source: prefixed, head: head, list: list, to: fetched, pool: stored)
        let workers = WindowWorkers(from: fetched, stored: stored, to: writer)
        var threads: [WorkerThread] = []
        do throws(Failure) {
            try Self.start("kedge-transfer", &threads) { fetcher.run() }
            for _ in 0..<outside.pace.workers { try Self.start("kedge-window", &threads) { workers.run() } }
            while let progress = try writer.next() {
                try checkCanceled()
                try checkSpace()
                handledBytes = base.counters.reused + progress.handled
                if writer.epochIsFull { try checkpoint(writer, base, source.bytesReceived - received) }
            }
            try checkpoint(writer, base, source.bytesReceived - received)
            for thread in threads { thread.join() }
        } catch {
            source.cancel()
            stored.stop()
            writer.stop()
            for thread in threads { thread.join() }
            // What reached the slot is worth keeping, whatever ended the transfer; a failing flush is not.
            let pauses = error.category == .network || UpdateMachine.passingCodes.contains(error.code)
            if pauses || error.category == .canceled {
                try checkpoint(writer, base, source.bytesReceived - received)
            }
            try checkCanceled()
            throw error
        }
    }

    private static func start(
        _ name: String, _ threads: inout [WorkerThread], _ body: @escaping @Sendable () -> Void
    ) throws(Failure) {
        threads.append(try step { () throws(SystemError) in try WorkerThread(name: name, body) })
    }

    /// Flush, then the journal's hint: never the other way round. The workers write on meanwhile.
    private func checkpoint(_ writer: SlotWriter, _ base: Attempt, _ received: UInt64) throws(Failure) {
        try writer.flush()
        guard var attempt = machine.attempt else { return }
        let progress = writer.current
        attempt.progress = writer.flushed
        attempt.counters = base.counters
        attempt.counters.fetched += received
        attempt.counters.unchanged += progress.unchanged
        attempt.counters.written += progress.written
        attempt.cost.flushes = base.cost.flushes + progress.flushes
        settleCost(&attempt)
        machine.note(attempt)
        try noteProgress()
    }

    /// The whole target from the medium against the chunk tables; then stores publish their blobs.
    func readBack() throws(Failure) {
        guard let head else { throw Failure(EngineError.interrupted) }
        handledBytes = 0
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try ReadBack(slot: targets[index], table: table).run { (bytes) throws(Failure) in
                try self.checkCanceled()
                self.handledBytes += UInt64(bytes)
            }
            notify()
        }
        for (index, table) in head.tables.enumerated() {
            try step { () throws(SlotError) in
                try targets[index].publish(table.component, release: head.release.manifest.releaseID)
                targets[index].close()
            }
        }
    }
}
