internal import BootControl
internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

extension Engine {
    /// Buffers of stored groups of a delta, 1 MiB each: one is filled while the other is decoded.
    private static let groupBuffers = 2
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
        recorders = makeRecorders(head)
        var flushed = held
        let blocks = blockLists.compactMap { $0 }
        if !blocks.isEmpty { flushed = try pumpBlocks(blocks, from: source, head: head) }
        let groups = forms.compactMap { $0 }
        let list = FetchList(
            head.tables, held: withForms(flushed), inOrderOfBundle: source.isSequential)
        if !blocks.isEmpty { try checkLimit(list, source) }
        if !list.jobs.isEmpty || groups.isEmpty && blocks.isEmpty {
            flushed = try pumpWindows(list, from: source, head: head, flushed: flushed)
        }
        if !groups.isEmpty {
            flushed = try pumpGroups(groups, from: source, head: head, flushed: flushed)
            // A delta whose base turned out to be another image was given up.
            let rest = FetchList(head.tables, held: flushed)
            if !rest.jobs.isEmpty {
                try checkLimit(rest, source)
                _ = try pumpWindows(rest, from: source, head: head, flushed: flushed, inPlaceOfForm: true)
            }
        }
        if source.isSequential { try head.checkEnd(source) }
        for (index, table) in head.tables.enumerated() where !whole[index] {
            try step { () throws(SlotError) in try targets[index].seal(table.component) }
        }
    }

    /// The windows that nothing is planned to be fetched for as windows: the slot holds them, or they come in another
    /// form.
    var heldOrInForms: [WindowBitmap] {
        var all = withForms(held)
        for list in blockLists { if let list { all[list.component] = list.covered(beside: all[list.component]) } }
        return all
    }

    /// These windows, and those of components that come as deltas or in the solid form.
    private func withForms(_ windows: [WindowBitmap]) -> [WindowBitmap] {
        var all = windows
        for form in forms { if let form { all[form.component].insertAll() } }
        return all
    }

    /// Records are kept of raw slots; see `seeds`.
    private func makeRecorders(_ head: BundleHead) -> [HintRecorder?] {
        var out: [HintRecorder?] = []
        for (index, table) in head.tables.enumerated() {
            let isKept = !whole[index] && targets[index].directory == nil
            out.append(isKept ? HintRecorder(outside.state, machine.running.other, table) : nil)
        }
        return out
    }

    /// What blocks did not give was not in the plan: the bytes that an attempt may take are looked at again.
    private func checkLimit(_ list: FetchList, _ source: any BundleSource) throws(Failure) {
        let sum = source.bytesReceived + list.fetchBytes
        if let limit = byteLimit(source), sum > limit { throw Failure(EngineError.mostBytes(more: sum - limit)) }
    }

    /// One thread fetches and checks stored digests, some decode, check plain digests, compare and write, and this
    /// one flushes and journals. What is flushed in the end.
    private func pumpWindows(
        _ list: FetchList, from source: any BundleSource, head: BundleHead, flushed: [WindowBitmap],
        inPlaceOfForm: Bool = false
    ) throws(Failure) -> [WindowBitmap] {
        let writer = SlotWriter(slots: targets, held: flushed, pace: outside.pace, recorders: recorders)
        let stored = try BufferPool(count: Self.storedBuffers, capacity: BundleLimits.window)
        let fetched = HandOver<StoredItem>()
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        let fetcher = WindowFetcher(source: prefixed, head: head, list: list, to: fetched, pool: stored)
        let workers = WindowWorkers(from: fetched, stored: stored, to: writer)
        let received = source.bytesReceived
        let pump = Pump(machine.attempt, writer: writer, source: source) {
            var forms = FormCounters()
            forms[.windows].fetched = source.bytesReceived - received
            forms[.windows].written = writer.current.written
            if inPlaceOfForm {
                forms.fallbackWindows = UInt64(list.jobs.count)
                forms.fallbackBytes = forms[.windows].fetched
            }
            return forms
        }
        var threads: [WorkerThread] = []
        do throws(Failure) {
            try Self.start("kedge-transfer", &threads) { fetcher.run() }
            for _ in 0..<outside.pace.workers { try Self.start("kedge-window", &threads) { workers.run() } }
            try drain(pump)
            for thread in threads { thread.join() }
        } catch {
            source.cancel()
            stored.stop()
            writer.stop()
            for thread in threads { thread.join() }
            try keep(pump, after: error)
        }
        return writer.flushed
    }

    /// The same for components that come as deltas or in the solid form: one thread fetches, and one decodes in order,
    /// because every group may be made from what lies before it. What is flushed in the end.
    private func pumpGroups(
        _ lists: [GroupList], from source: any BundleSource, head: BundleHead, flushed: [WindowBitmap]
    ) throws(Failure) -> [WindowBitmap] {
        let pace = WritePace(flushBytes: outside.pace.flushBytes, holdBytes: outside.pace.holdBytes, workers: 1)
        let writer = SlotWriter(slots: targets, held: flushed, pace: pace, recorders: recorders)
        var buffers: [AlignedBuffer] = []
        for _ in 0..<Self.groupBuffers {
            buffers.append(try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) })
        }
        let exchange = FormExchange(buffers: buffers)
        let tally = FormTally()
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        let fetcher = try GroupFetcher(
            source: prefixed, head: head, lists: lists, exchange: exchange, tally: tally, limit: byteLimit(source))
        let decoding = GroupDecoding(
            lists: lists, held: held, bases: bases, targets: targets, exchange: exchange, writer: writer, tally: tally,
            full: outside.download.full)
        let pump = Pump(machine.attempt, writer: writer, source: source) { tally.current }
        var threads: [WorkerThread] = []
        do throws(Failure) {
            try Self.start("kedge-transfer", &threads) { fetcher.run() }
            try Self.start("kedge-window", &threads) { decoding.run() }
            try drain(pump)
            for thread in threads { thread.join() }
        } catch {
            source.cancel()
            writer.stop()
            exchange.end()
            exchange.fail(error)
            for thread in threads { thread.join() }
            try keep(pump, after: error)
        }
        return writer.flushed
    }

    /// Up to which count of received bytes a source may still be asked for whole windows.
    func byteLimit(_ source: any BundleSource) -> UInt64? {
        guard let most = outside.download.mostBytes, !source.isLocal else { return nil }
        let before = machine.attempt?.counters.fetched ?? 0
        return source.bytesReceived + (most > before ? most - before : 0)
    }

    /// A transfer that runs, and where its counts began.
    struct Pump {
        let writer: SlotWriter
        let source: any BundleSource
        /// The attempt and the source's count when it began.
        let base: Attempt
        let received: UInt64
        let forms: () -> FormCounters

        init(
            _ base: Attempt?, writer: SlotWriter, source: any BundleSource, forms: @escaping () -> FormCounters
        ) {
            self.base = base ?? Attempt(id: "", location: "", wanted: nil)
            self.writer = writer
            self.source = source
            received = source.bytesReceived
            self.forms = forms
        }
    }

    /// Flushes and journals what other threads write, to the good end.
    func drain(_ pump: Pump) throws(Failure) {
        let before = handledBytes
        while let progress = try pump.writer.next() {
            try checkCanceled()
            try checkSpace()
            handledBytes = before + progress.handled
            if pump.writer.epochIsFull { try checkpoint(pump) }
        }
        try checkpoint(pump)
    }

    /// What reached the slot is worth keeping, whatever ended the transfer; a failing flush is not. Throws what is to be
    /// told of the end.
    func keep(_ pump: Pump, after error: Failure) throws(Failure) {
        let pauses = error.category == .network || UpdateMachine.passingCodes.contains(error.code)
        if pauses || error.category == .canceled { try checkpoint(pump) }
        try checkCanceled()
        throw error
    }

    static func start(
        _ name: String, _ threads: inout [WorkerThread], _ body: @escaping @Sendable () -> Void
    ) throws(Failure) {
        threads.append(try step { () throws(SystemError) in try WorkerThread(name: name, body) })
    }

    /// Flush, then the journal's hint: never the other way round. The workers write on meanwhile.
    private func checkpoint(_ pump: Pump) throws(Failure) {
        try pump.writer.flush()
        guard var attempt = machine.attempt else { return }
        let progress = pump.writer.current
        attempt.progress = pump.writer.flushed
        attempt.counters = pump.base.counters
        attempt.counters.fetched += pump.source.bytesReceived - pump.received
        attempt.counters.forms += pump.forms()
        attempt.counters.unchanged += progress.unchanged
        attempt.counters.written += progress.written
        attempt.cost.flushes = pump.base.cost.flushes + progress.flushes
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
