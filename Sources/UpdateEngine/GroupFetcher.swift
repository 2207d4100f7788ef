internal import BundleFormat
internal import Payload
internal import Platform
internal import Transfer
internal import Trust

/// The transfer thread's work for deltas and solid forms: fetches groups, checks their stored digests and hands them
/// on, and between them the windows that the decoder could not make.
final class GroupFetcher: @unchecked Sendable {
    private let source: any BundleSource
    private let payloadOffset: UInt64
    private let tables: [VerifiedChunkTable]
    private let lists: [GroupList]
    private let exchange: FormExchange
    private let single: AlignedBuffer
    private let tally: FormTally
    /// Most bytes that the source may have given when a window is fetched in full; nil: no limit.
    private let limit: UInt64?

    /// The list and the batch of it that come next.
    private var list = 0
    private var batch = 0
    private var position: UInt64 = 0
    private var filled = 0
    private var current: AlignedBuffer?
    private var isDamaged = false
    private var isInterrupted = false
    /// Of the batch in work.
    private var repeats = DamageRepeats()
    private var failure: Failure?
    /// After a window in full, requests are for one batch each: the next one would only be broken off too.
    private var expectsWishes = false

    init(
        source: any BundleSource, head: BundleHead, lists: [GroupList], exchange: FormExchange, tally: FormTally,
        limit: UInt64?
    ) throws(Failure) {
        self.source = source
        payloadOffset = head.release.header.payloadOffset
        tables = head.tables
        self.lists = lists
        self.exchange = exchange
        self.tally = tally
        self.limit = limit
        single = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) }
    }

    /// Runs until the decoder is done, on the calling thread; the exchange always hears of a failure.
    func run() {
        do throws(Failure) {
            while true {
                while list < lists.count, batch == lists[list].batches.count {
                    list += 1
                    batch = 0
                }
                switch exchange.nextTask(hasBatches: list < lists.count) {
                case nil: return
                case .window(let target):
                    expectsWishes = true
                    exchange.grant(try window(target))
                case .batches: try fetch()
                }
            }
        } catch {
            exchange.fail(error)
        }
    }

    /// One range request for batches behind each other, broken off when the decoder wishes something else.
    private func fetch() throws(Failure) {
        let work = lists[list]
        if work.batches[batch].length == 0 {
            _ = try finish(work, nil)
            return
        }
        let run = expectsWishes ? batch..<(batch + 1) : work.run(from: batch)
        position = work.batches[run.lowerBound].offset
        let range = (payloadOffset + position)..<(payloadOffset + work.batches[run.upperBound - 1].end)
        isDamaged = false
        isInterrupted = false
        do throws(TransferError) {
            try source.read(range) { (piece) throws(TransferError) in try self.take(piece, work, run.upperBound) }
        } catch {
            dropCurrent()
            if let failure { throw failure }
            if !isDamaged && !isInterrupted { throw Failure(error) }
        }
        if isDamaged { try repeatLater(work.batches[batch]) }
    }

    private func dropCurrent() {
        if let current { exchange.give(current) }
        current = nil
        filled = 0
    }

    /// Throws when a damaged batch is not asked for once more.
    private func repeatLater(_ wanted: GroupList.Batch) throws(Failure) {
        if !repeats.allow((payloadOffset + wanted.offset)..<(payloadOffset + wanted.end), from: source) {
            throw Failure(
                PayloadError.damaged(component: lists[list].table.chunks.component.id, what: "a group of the delta"))
        }
    }

    /// Sorts the bytes of a piece into the batches they belong to.
    private func take(_ piece: RawSpan, _ work: GroupList, _ end: Int) throws(TransferError) {
        var offset = 0
        while offset < piece.byteCount, batch < end {
            let wanted = work.batches[batch]
            if position < wanted.offset {
                let skipped = min(UInt64(piece.byteCount - offset), wanted.offset - position)
                offset += Int(skipped)
                position += skipped
                continue
            }
            let buffer = try bufferForCurrent()
            let count = min(piece.byteCount - offset, wanted.length - filled)
            buffer.copy(piece.extracting(offset..<(offset + count)), at: filled)
            filled += count
            offset += count
            position += UInt64(count)
            if filled < wanted.length { continue }
            do throws(Failure) {
                isDamaged = try !finish(work, buffer)
            } catch {
                failure = error
                throw .stopped
            }
            if isDamaged { throw .stopped }
        }
    }

    private func bufferForCurrent() throws(TransferError) -> AlignedBuffer {
        if let current { return current }
        guard let buffer = exchange.buffer() else {
            isInterrupted = true
            throw .stopped
        }
        current = buffer
        filled = 0
        return buffer
    }

    /// Hands the present batch on and goes to the next; false when one of its groups is damaged.
    private func finish(_ work: GroupList, _ buffer: AlignedBuffer?) throws(Failure) -> Bool {
        let wanted = work.batches[batch]
        tally.add(fetched: wanted.length, work.form)
        var items: [GroupItem] = []
        for number in wanted.groups {
            let group = work.table.table.groups[number]
            let place = group.storedLength == 0 ? 0 : Int(group.storedOffset - wanted.offset)
            do throws(PayloadError) {
                let stored = try StoredGroup(
                    checking: buffer ?? single, at: place, length: group.storedLength, of: work.table, group: number)
                items.append(GroupItem(stored))
            } catch {
                guard case .damaged = error else { throw Failure(error) }
                return false
            }
        }
        current = nil
        filled = 0
        repeats = DamageRepeats()
        batch += 1
        exchange.push(FetchedBatch(list: list, groups: items, buffer: buffer))
        return true
    }

    /// One window in its own form; asked for again when it arrives damaged.
    private func window(_ target: FetchJob.Target) throws(Failure) -> StoredItem {
        let table = tables[target.component]
        let entry = table.table.windows[target.window]
        let start = payloadOffset + entry.storedOffset
        let range = start..<(start + UInt64(entry.storedLength))
        var repeats = DamageRepeats()
        tally.addFallback(bytes: entry.storedLength)
        while true {
            let sum = source.bytesReceived + UInt64(entry.storedLength)
            if let limit, sum > limit { throw Failure(EngineError.mostBytes(more: sum - limit)) }
            var filled = 0
            try step { () throws(TransferError) in
                try source.read(range) { (piece) throws(TransferError) in
                    single.copy(piece, at: filled)
                    filled += piece.byteCount
                }
            }
            tally.add(fetched: entry.storedLength, .windows)
            do throws(PayloadError) {
                let window = try StoredWindow(
                    checking: single, length: entry.storedLength, of: table, index: target.window)
                return StoredItem(component: target.component, window: window)
            } catch {
                if !repeats.allow(range, from: source) { throw Failure(error) }
            }
        }
    }
}
