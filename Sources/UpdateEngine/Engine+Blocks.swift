public import BootControl
public import BundleFormat
internal import Payload
public import Platform
internal import Slots
internal import Transfer
internal import Trust

/// What the device holds in either of its slots, whatever release it was a part of: found by the records that were kept
/// while it was written.
extension Engine {
    /// Plain bytes of the largest block index that is taken, so that the plan and the transfer stay small: 2.3 GiB of
    /// image. A device with a larger image takes another form.
    private static let indexBytes = 6 * 1024 * 1024
    /// An index is fetched before it is known whether it helps, so it may cost at most this part of what it could spare.
    private static let indexShare: UInt64 = 4

    /// Buffers of windows that are put together: one is written while the other is filled.
    private static let windowBuffers = 2

    /// Records of both slots of a component; nil where neither has one. Stores have none: layers are archives, whose
    /// files lie at multiples of 512 bytes, so blocks of 4096 bytes recur in none of them.
    ///
    /// With `scans`, the running slot is read through once where nothing is on record of it.
    private func seeds(
        _ component: Component, _ running: any Slot, scans: Bool
    ) throws(Failure) -> [(any HintSource)?]? {
        let set = machine.running
        var found = SlotHints(outside.state, component.target, set)
        if found == nil, scans {
            let known = knownComponent(component.target, set)
            _ = try record(running, component.target, set, known: known, inAttempt: true)
            found = SlotHints(outside.state, component.target, set)
        }
        let growing = SlotHints(outside.state, component.target, set.other)
        return found == nil && growing == nil ? nil : [found, growing]
    }

    /// The component that a slot set is known to hold in a slot.
    private func knownComponent(_ target: Identifier, _ set: SlotSet) -> Component? {
        keptHead(set)?.tables.first { $0.component.target == target }?.component
    }

    /// What is to be had from the device for a component that no delta serves, when that is less than `best` bytes.
    /// The running slot is then open.
    func chooseBlocks(
        _ table: VerifiedChunkTable, number: Int, head: BundleHead, from source: any BundleSource, best: UInt64
    ) throws(Failure) -> BlockList? {
        let component = table.component
        if targets[number].directory != nil { return nil }
        let running: any Slot
        do throws(SlotError) {
            running = try outside.slots.slot(component.target, machine.running)
            try running.openForReading(knownComponent(component.target, machine.running) ?? component)
        } catch {
            // A slot that is smaller than the image, or not there: nothing comes from it.
            return nil
        }
        var form: BlocksForm?
        if let blocks = component.blocks, blocks.index.plainLength <= Self.indexBytes,
            UInt64(blocks.index.length) * Self.indexShare < best
        {
            form = blocks
        }
        var list: BlockList?
        if let sources = try seeds(component, running, scans: form != nil) {
            let missing = held[number]
            if let form {
                let index = try fetch(form.index, .blocks, head, source) { (stored) throws(PayloadError) in
                    try VerifiedBlockIndex(stored: stored, form: form, of: table)
                }
                let places = BlockPlaces(of: index.index, in: sources, growing: BlockList.growing)
                list = BlockList(component: number, index: index, places: places, held: missing)
            } else {
                list = BlockList(component: number, chunks: table, held: missing, in: sources)
            }
        }
        guard let list, !list.jobs.isEmpty, list.total(held: held[number]) < best else {
            running.close()
            return nil
        }
        bases[number] = running
        return list
    }

    /// The windows that come from what the device holds, before those that do not: these would overwrite it.
    /// What is flushed in the end; the windows that could not be had are left out.
    func pumpBlocks(
        _ lists: [BlockList], from source: any BundleSource, head: BundleHead
    ) throws(Failure) -> [WindowBitmap] {
        let pace = WritePace(flushBytes: outside.pace.flushBytes, holdBytes: outside.pace.holdBytes, workers: 1)
        let writer = SlotWriter(slots: targets, held: held, pace: pace, recorders: recorders)
        let pool = try BufferPool(count: Self.windowBuffers, capacity: BundleLimits.window)
        let made = HandOver<WindowItem>()
        let tally = FormTally()
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        let fetching = try BlockFetching(
            source: prefixed, head: head, lists: lists, running: bases, targets: targets, to: made, pool: pool,
            tally: tally, limit: byteLimit(source))
        var kinds = head.tables.map { _ in FormKind.windows }
        for list in lists { kinds[list.component] = list.form }
        let placing = WindowPlacing(from: made, pool: pool, to: writer, tally: tally, forms: kinds)
        let pump = Pump(machine.attempt, writer: writer, source: source) { tally.current }
        var threads: [WorkerThread] = []
        do throws(Failure) {
            try Self.start("kedge-transfer", &threads) { fetching.run() }
            try Self.start("kedge-window", &threads) { placing.run() }
            try drain(pump)
            for thread in threads { thread.join() }
        } catch {
            source.cancel()
            pool.stop()
            writer.stop()
            for thread in threads { thread.join() }
            try keep(pump, after: error)
        }
        return writer.flushed
    }

    // MARK: kedged index

    /// Reads a slot through and records what it holds, so that an update finds blocks of it. For a slot that something
    /// else than this program wrote; where a release runs that a bundle's delta names, it is not needed. Windows that
    /// were recorded.
    public func index(_ target: Identifier, _ set: SlotSet) throws(Failure) -> Int {
        let slot = try step { () throws(SlotError) in try outside.slots.slot(target, set) }
        if slot.directory != nil { throw Failure(EngineError.nothingToIndex(slot: slot.displayName)) }
        let known = knownComponent(target, set)
        try step { () throws(SlotError) in try slot.openForReading(known ?? Self.smallest(target)) }
        defer { slot.close() }
        return try record(slot, target, set, known: known, inAttempt: false)
    }

    /// Opens a slot of which nothing is known: any slot is as large as this.
    private static func smallest(_ target: Identifier) -> Component {
        let digest = SHA256.digest(of: [])
        return Component(
            id: target, kind: .rootfs, target: target, version: nil, size: 1, digest: digest,
            windowSize: BundleLimits.window, table: TableReference(offset: 0, length: 0, digest: digest),
            verityRoot: nil)
    }

    /// The slot is open. Up to the end of the known image, or of the slot.
    private func record(
        _ slot: any Slot, _ target: Identifier, _ set: SlotSet, known: Component?, inAttempt: Bool
    ) throws(Failure) -> Int {
        let size = known?.windowSize ?? BundleLimits.window
        let end = known?.size ?? UInt64.max
        let buffer = try step { () throws(SystemError) in try AlignedBuffer(capacity: size) }
        let recorder = HintRecorder(outside.state, target, set, windowSize: size)
        var window = 0
        while UInt64(window) * UInt64(size) < end {
            if inAttempt { try checkCanceled() }
            let start = UInt64(window) * UInt64(size)
            let wanted = Int(min(UInt64(size), end - start))
            let got = try step { () throws(SlotError) in try slot.read(at: start, count: wanted, into: buffer) }
            if got == 0 { break }
            recorder.record(WindowHints(reading: buffer, count: got), window: window)
            window += 1
            if got < wanted { break }
        }
        return window
    }
}

extension BlockList {
    /// Bytes to fetch when this is done: for its own windows, and for all others as windows.
    func total(held: WindowBitmap) -> UInt64 {
        fetchBytes + FetchList([chunks], held: [covered(beside: held)]).fetchBytes
    }

    /// Windows that need not be fetched as windows.
    func covered(beside held: WindowBitmap) -> WindowBitmap {
        var all = held
        for job in jobs { all.insert(job.window) }
        return all
    }
}
