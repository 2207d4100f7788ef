internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

extension Engine {
    /// Stored windows on the way between the two threads. With a scratch and a compare buffer the pipeline uses at
    /// most 6 MiB.
    private static let pipelineBuffers = 4

    /// Steps 2 and 3 of the write protocol, up to the flushed and sealed target.
    func transfer() throws(Failure) {
        guard let head, let source else { throw Failure(EngineError.interrupted) }
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try step { () throws(SlotError) in try targets[index].open(table.component) }
        }
        let list = FetchList(head.tables, held: held)
        let writer = try SlotWriter(tables: head.tables, slots: targets, held: held)
        try pump(list, from: source, head: head, into: writer)
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try step { () throws(SlotError) in try targets[index].seal(table.component) }
        }
    }

    private func pump(
        _ list: FetchList, from source: any BundleSource, head: BundleHead, into writer: SlotWriter
    ) throws(Failure) {
        let received = source.bytesReceived
        let base = machine.attempt?.counters ?? TransferCounters()
        let queue = try step { () throws(SystemError) in
            try WindowQueue(buffers: Self.pipelineBuffers, capacity: BundleLimits.window)
        }
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        let fetcher = WindowFetcher(source: prefixed, head: head, list: list, queue: queue)
        let thread = try step { () throws(SystemError) in
            try WorkerThread(name: "kedge-transfer") { fetcher.run() }
        }
        defer { thread.join() }
        let reused = base.reused
        do throws(Failure) {
            while let item = try queue.next() {
                try checkCanceled()
                let buffer = item.buffer
                try writer.accept(item)
                queue.recycle(buffer)
                handledBytes = reused + writer.handled
                if writer.epochIsFull { try checkpoint(writer, base, source.bytesReceived - received) }
            }
            try checkpoint(writer, base, source.bytesReceived - received)
        } catch {
            source.cancel()
            queue.stop()
            // What reached the slot is worth keeping, whatever ended the transfer; a failing flush is not.
            let pauses = error.category == .network || error.code == UpdateMachine.stoppedCode
            if pauses || error.category == .canceled {
                try checkpoint(writer, base, source.bytesReceived - received)
            }
            try checkCanceled()
            throw error
        }
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
        let writer = try SlotWriter(tables: head.tables, slots: targets, held: held)
        for index in head.tables.indices where !whole[index] {
            try writer.readBack(index) { () throws(Failure) in
                try self.checkCanceled()
                self.handledBytes += UInt64(BundleLimits.window)
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
