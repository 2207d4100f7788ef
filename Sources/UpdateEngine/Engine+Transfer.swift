internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

extension Engine {
    /// Buffers of one window each: for stored bytes, and for plain bytes. With the writer's compare buffer the
    /// pipeline uses at most 6 MiB, and as a rule half of it, because stored windows are smaller than their buffers.
    private static let storedBuffers = 3
    private static let plainBuffers = 2

    /// Steps 2 and 3 of the write protocol, up to the flushed and sealed target.
    func transfer() throws(Failure) {
        guard let head, let source else { throw Failure(EngineError.interrupted) }
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try step { () throws(SlotError) in try targets[index].open(table.component) }
        }
        let list = FetchList(head.tables, held: held, inOrderOfBundle: source.isSequential)
        let writer = try SlotWriter(slots: targets, tables: head.tables, list: list, held: held)
        try pump(list, from: source, head: head, into: writer)
        if source.isSequential { try head.checkEnd(source) }
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try step { () throws(SlotError) in try targets[index].seal(table.component) }
        }
    }

    /// Three threads: one fetches and checks stored digests, one decodes and checks plain digests, and this one
    /// compares, writes, flushes and journals.
    private func pump(
        _ list: FetchList, from source: any BundleSource, head: BundleHead, into writer: SlotWriter
    ) throws(Failure) {
        let received = source.bytesReceived
        let base = machine.attempt?.counters ?? TransferCounters()
        let stored = try BufferPool(count: Self.storedBuffers, capacity: BundleLimits.window)
        let plain = try BufferPool(count: Self.plainBuffers, capacity: BundleLimits.window)
        let fetched = HandOver<StoredItem>()
        let decoded = HandOver<PlainItem>()
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        let fetcher = WindowFetcher(source: prefixed, head: head, list: list, to: fetched, pool: stored)
        let decoding = try WindowDecoding(from: fetched, to: decoded, stored: stored, plain: plain)
        let threads = try Self.start([("kedge-transfer", { fetcher.run() }), ("kedge-decode", { decoding.run() })])
        defer { for thread in threads { thread.join() } }
        let reused = base.reused
        do throws(Failure) {
            while let item = try decoded.next() {
                try checkCanceled()
                try writer.accept(item)
                handledBytes = reused + writer.handled
                if writer.epochIsFull { try checkpoint(writer, base, source.bytesReceived - received) }
            }
            try checkpoint(writer, base, source.bytesReceived - received)
        } catch {
            source.cancel()
            stored.stop()
            plain.stop()
            // What reached the slot is worth keeping, whatever ended the transfer; a failing flush is not.
            let pauses = error.category == .network || UpdateMachine.passingCodes.contains(error.code)
            if pauses || error.category == .canceled {
                try checkpoint(writer, base, source.bytesReceived - received)
            }
            try checkCanceled()
            throw error
        }
    }

    /// Starts threads one after the other. When a later one cannot be started, the pools' owners would wait for
    /// ever, so the failure of any is the failure of all: the first thread ends by itself at its first buffer.
    private static func start(
        _ bodies: [(name: String, body: @Sendable () -> Void)]
    ) throws(Failure) -> [WorkerThread] {
        var threads: [WorkerThread] = []
        for entry in bodies {
            threads.append(try step { () throws(SystemError) in try WorkerThread(name: entry.name, entry.body) })
        }
        return threads
    }

    /// Flush, then the journal's hint: never the other way round.
    private func checkpoint(_ writer: SlotWriter, _ base: TransferCounters, _ received: UInt64) throws(Failure) {
        try writer.flush()
        guard var attempt = machine.attempt else { return }
        attempt.progress = writer.flushed
        attempt.counters = base
        attempt.counters.fetched += received
        attempt.counters.unchanged += writer.unchanged
        attempt.counters.written += writer.written
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
