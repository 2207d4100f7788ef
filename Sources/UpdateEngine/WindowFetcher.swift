internal import BundleFormat
internal import Payload
internal import Platform
internal import Transfer
internal import Trust

/// The transfer thread's work: fetch what is missing, check stored digests, hand windows on.
final class WindowFetcher: @unchecked Sendable {
    private let source: any BundleSource
    private let payloadOffset: UInt64
    private let tables: [VerifiedChunkTable]
    private let list: FetchList
    private let output: HandOver<StoredItem>
    private let pool: BufferPool
    private var current: AlignedBuffer?
    private var filled = 0
    private var cursor = 0
    private var position: UInt64 = 0
    private var failure: Failure?
    /// The window that arrived damaged in the request that just ended, and how often it did.
    private var damagedAt: Int?
    private var damages = 0
    private var lastDamaged: Int?

    /// What damage in all may still cost, in good windows; see `damagePrice`.
    private var credit = WindowFetcher.mostCredit

    /// How often a window that arrives damaged is asked for again at the same place before the attempt fails.
    static let repeats = 3
    /// A damaged window costs as much as so many good ones earn, up to `mostCredit`: what a place wastes that damages
    /// something now and then is bounded, eight windows and one in sixteen.
    static let damagePrice = 16
    static let mostCredit = 8 * damagePrice

    init(
        source: any BundleSource, head: BundleHead, list: FetchList, to output: HandOver<StoredItem>, pool: BufferPool
    ) {
        self.source = source
        payloadOffset = head.release.header.payloadOffset
        tables = head.tables
        self.list = list
        self.output = output
        self.pool = pool
    }

    /// Runs to the end on the calling thread and always ends the output.
    func run() {
        do throws(Failure) {
            var start = 0
            while start < list.jobs.count { start = try fetch(list.run(from: start)) }
            output.end(nil)
        } catch {
            output.end(error)
        }
    }

    private func damage(_ job: FetchJob) -> Failure {
        let target = job.targets[0]
        return Failure(
            PayloadError.storedDigest(component: tables[target.component].component.id, window: target.window))
    }

    /// One range request for jobs whose offsets rise; the first job that is still to do.
    ///
    /// A damaged window ends the request at once: a place that serves another object costs one window, not a bundle.
    private func fetch(_ run: Range<Int>) throws(Failure) -> Int {
        let jobs = Array(list.jobs[run])
        cursor = 0
        try finishEmpty(jobs)
        guard cursor < jobs.count, let last = jobs.last(where: { $0.length > 0 }) else { return run.upperBound }
        position = jobs[cursor].offset
        let range = (payloadOffset + position)..<(payloadOffset + last.end)
        announce(behind: run.upperBound)
        do throws(TransferError) {
            try source.read(range) { (piece) throws(TransferError) in try self.take(piece, jobs) }
        } catch {
            if let failure { throw failure }
            guard damagedAt == cursor else { throw Failure(error) }
        }
        guard damagedAt == cursor, cursor < jobs.count else { return run.upperBound }
        try repeatLater(jobs[cursor], at: run.lowerBound + cursor)
        return run.lowerBound + cursor
    }

    /// Tells the source what the next request will be.
    private func announce(behind index: Int) {
        let run = list.run(from: index)
        guard let first = list.jobs[run].first(where: { $0.length > 0 }),
            let last = list.jobs[run].last(where: { $0.length > 0 })
        else { return }
        source.announce((payloadOffset + first.offset)..<(payloadOffset + last.end))
    }

    /// Decides whether a damaged window is asked for once more: always where the source has another place for it,
    /// and a few times at the same place, which a source on the network asks past its caches and not at once.
    private func repeatLater(_ job: FetchJob, at index: Int) throws(Failure) {
        damagedAt = nil
        if lastDamaged != index { damages = 0 }
        lastDamaged = index
        if case .elsewhere = source.reject((payloadOffset + job.offset)..<(payloadOffset + job.end)) { return }
        damages += 1
        credit -= Self.damagePrice
        if damages > Self.repeats || credit < 0 { throw damage(job) }
    }

    /// Sorts the bytes of a piece into the windows they belong to.
    private func take(_ piece: RawSpan, _ jobs: [FetchJob]) throws(TransferError) {
        var offset = 0
        do throws(Failure) {
            while offset < piece.byteCount, cursor < jobs.count {
                let job = jobs[cursor]
                if position < job.offset {
                    let skipped = min(UInt64(piece.byteCount - offset), job.offset - position)
                    offset += Int(skipped)
                    position += skipped
                    continue
                }
                let buffer = try bufferForCurrent()
                let count = min(piece.byteCount - offset, job.length - filled)
                buffer.copy(piece.extracting(offset..<(offset + count)), at: filled)
                filled += count
                offset += count
                position += UInt64(count)
                if filled == job.length {
                    if try !finish(job, buffer) {
                        damagedAt = cursor
                        throw Failure(TransferError.stopped)
                    }
                    cursor += 1
                    credit = min(credit + 1, Self.mostCredit)
                    try finishEmpty(jobs)
                }
            }
        } catch {
            if damagedAt == nil { failure = error }
            throw .stopped
        }
    }

    private func bufferForCurrent() throws(Failure) -> AlignedBuffer {
        if let current { return current }
        guard let buffer = pool.take() else { throw Failure(EngineError.canceled) }
        current = buffer
        filled = 0
        return buffer
    }

    /// Zero windows at the cursor need no bytes.
    private func finishEmpty(_ jobs: [FetchJob]) throws(Failure) {
        while cursor < jobs.count, jobs[cursor].length == 0 {
            guard let buffer = pool.take() else { throw Failure(EngineError.canceled) }
            try hand(jobs[cursor].targets[0], buffer, length: 0)
            cursor += 1
        }
    }

    /// False when the window is damaged.
    private func finish(_ job: FetchJob, _ buffer: AlignedBuffer) throws(Failure) -> Bool {
        current = nil
        filled = 0
        for target in job.targets.dropFirst() {
            guard let copy = pool.take() else { throw Failure(EngineError.canceled) }
            copy.copy(buffer.bytes.extracting(0..<job.length), at: 0)
            if !handIfWhole(target, copy, length: job.length) {
                pool.give(buffer)
                return false
            }
        }
        return handIfWhole(job.targets[0], buffer, length: job.length)
    }

    /// Hands the window on, or gives its buffer back and says false when its stored digest is wrong.
    private func handIfWhole(
        _ target: FetchJob.Target, _ buffer: AlignedBuffer, length: Int
    ) -> Bool {
        do throws(PayloadError) {
            let window = try StoredWindow(
                checking: buffer, length: length, of: tables[target.component], index: target.window)
            output.push(StoredItem(component: target.component, window: window))
            return true
        } catch {
            pool.give(buffer)
            return false
        }
    }

    private func hand(_ target: FetchJob.Target, _ buffer: AlignedBuffer, length: Int) throws(Failure) {
        if !handIfWhole(target, buffer, length: length) {
            throw damage(FetchJob(offset: 0, length: 0, targets: [target]))
        }
    }
}
