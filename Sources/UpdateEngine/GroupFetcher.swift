internal import BundleFormat
internal import Payload
internal import Platform
internal import Transfer
internal import Trust

/// The transfer thread's work for deltas and solid forms: fetches groups, checks their stored digests and hands them
/// on, and between them the windows that the decoder could not make.
final class GroupFetcher: ExtentSink, @unchecked Sendable {
    private let source: any BundleSource
    private let extents: ExtentFetcher
    private let tables: [VerifiedChunkTable]
    private let lists: [GroupList]
    private let exchange: FormExchange
    private let single: AlignedBuffer
    private let tally: FormTally
    /// Most bytes that the source may have given when a window is fetched in full; nil: no limit.
    private let limit: UInt64?

    /// The list and the batch of it that come next, the first one of its request.
    private var list = 0
    private var batch = 0
    /// After a window in full, requests are for one batch each: the next one would only be broken off too.
    private var expectsWishes = false

    init(
        source: any BundleSource, head: BundleHead, lists: [GroupList], exchange: FormExchange, tally: FormTally,
        limit: UInt64?
    ) throws(Failure) {
        self.source = source
        extents = ExtentFetcher(source, payloadOffset: head.release.header.payloadOffset)
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
                (list, batch) = settled(list, batch)
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

    /// The same place, or the start of the next list that has batches.
    private func settled(_ list: Int, _ batch: Int) -> (list: Int, batch: Int) {
        var place = (list: list, batch: batch)
        while place.list < lists.count,
            place.batch == lists[place.list].batches.count || exchange.isAbandoned(place.list)
        {
            place = (list: place.list + 1, batch: 0)
        }
        return place
    }

    /// One range request for batches behind each other, broken off when the decoder wishes something else.
    private func fetch() throws(Failure) {
        let work = lists[list]
        let run = expectsWishes ? batch..<(batch + 1) : work.run(from: batch)
        let wanted = work.batches[run].map { Extent(offset: $0.offset, length: $0.length) }
        batch += try extents.fetch(wanted, next: expectsWishes ? nil : range(behind: run.upperBound), into: self)
    }

    /// What the request behind these batches will ask for.
    private func range(behind end: Int) -> Range<UInt64>? {
        let place = settled(list, end)
        if place.list == lists.count { return nil }
        let next = lists[place.list]
        let range = next.range(next.run(from: place.batch))
        return range.isEmpty ? nil : range
    }

    func buffer() throws(Failure) -> AlignedBuffer? { exchange.isAbandoned(list) ? nil : exchange.buffer() }

    func giveBack(_ buffer: AlignedBuffer) { exchange.give(buffer) }

    func damage(_ number: Int) -> Failure {
        Failure(PayloadError.damaged(component: lists[list].table.chunks.component.id, what: "a group of the delta"))
    }

    func take(_ number: Int, _ buffer: AlignedBuffer?) throws(Failure) -> Bool {
        let work = lists[list]
        let wanted = work.batches[batch + number]
        tally.add(fetched: wanted.length, work.form)
        var items: [GroupItem] = []
        for group in wanted.groups {
            let entry = work.table.table.groups[group]
            let place = entry.storedLength == 0 ? 0 : Int(entry.storedOffset - wanted.offset)
            do throws(PayloadError) {
                let stored = try StoredGroup(
                    checking: buffer ?? single, at: place, length: entry.storedLength, of: work.table, group: group)
                items.append(GroupItem(stored))
            } catch {
                guard case .damaged = error else { throw Failure(error) }
                return false
            }
        }
        exchange.push(FetchedBatch(list: list, groups: items, buffer: buffer))
        return true
    }

    /// One window in its own form; asked for again when it arrives damaged.
    private func window(_ target: FetchJob.Target) throws(Failure) -> StoredItem {
        let sink = SingleWindow(target, of: tables[target.component], into: single)
        tally.addFallback(bytes: sink.extent.length)
        while true {
            let sum = source.bytesReceived + UInt64(sink.extent.length)
            if let limit, sum > limit { throw Failure(EngineError.mostBytes(more: sum - limit)) }
            _ = try extents.fetch([sink.extent], next: nil, into: sink)
            tally.add(fetched: sink.extent.length, .windows)
            if let item = sink.item { return item }
        }
    }
}

/// Takes one window in its own form.
private final class SingleWindow: ExtentSink {
    private let target: FetchJob.Target
    private let table: VerifiedChunkTable
    private let memory: AlignedBuffer
    private(set) var item: StoredItem?

    init(_ target: FetchJob.Target, of table: VerifiedChunkTable, into memory: AlignedBuffer) {
        self.target = target
        self.table = table
        self.memory = memory
    }

    var extent: Extent {
        let entry = table.table.windows[target.window]
        return Extent(offset: entry.storedOffset, length: entry.storedLength)
    }

    func buffer() throws(Failure) -> AlignedBuffer? { memory }

    func giveBack(_ buffer: AlignedBuffer) {}

    func damage(_ number: Int) -> Failure {
        Failure(PayloadError.storedDigest(component: table.component.id, window: target.window))
    }

    func take(_ number: Int, _ buffer: AlignedBuffer?) throws(Failure) -> Bool {
        do throws(PayloadError) {
            let window = try StoredWindow(
                checking: buffer ?? memory, length: extent.length, of: table, index: target.window)
            item = StoredItem(component: target.component, window: window)
            return true
        } catch {
            return false
        }
    }
}
