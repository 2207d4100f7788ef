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
    private var damaged: [FetchJob] = []
    private var failure: Failure?

    /// How often a window that arrives damaged is asked for again before the attempt fails.
    static let repeats = 2

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
            try fetch(list)
            var left = Self.repeats
            while !damaged.isEmpty {
                let again = damaged
                damaged = []
                if left == 0 { throw damage(again[0]) }
                left -= 1
                for job in again { try fetchOne(job) }
            }
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

    private func fetch(_ list: FetchList) throws(Failure) {
        var start = 0
        while start < list.jobs.count {
            let run = list.run(from: start)
            try fetch(Array(list.jobs[run]))
            start = run.upperBound
        }
    }

    private func fetchOne(_ job: FetchJob) throws(Failure) { try fetch([job]) }

    /// One range request for jobs whose offsets rise.
    private func fetch(_ jobs: [FetchJob]) throws(Failure) {
        cursor = 0
        try finishEmpty(jobs)
        guard cursor < jobs.count, let last = jobs.last(where: { $0.length > 0 }) else { return }
        position = jobs[cursor].offset
        let range = (payloadOffset + position)..<(payloadOffset + last.end)
        do throws(TransferError) {
            try source.read(range) { (piece) throws(TransferError) in try self.take(piece, jobs) }
        } catch {
            throw failure ?? Failure(error)
        }
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
                    try finish(job, buffer)
                    cursor += 1
                    try finishEmpty(jobs)
                }
            }
        } catch {
            failure = error
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

    private func finish(_ job: FetchJob, _ buffer: AlignedBuffer) throws(Failure) {
        current = nil
        filled = 0
        for target in job.targets.dropFirst() {
            guard let copy = pool.take() else { throw Failure(EngineError.canceled) }
            copy.copy(buffer.bytes.extracting(0..<job.length), at: 0)
            if !handIfWhole(target, copy, length: job.length) {
                pool.give(buffer)
                damaged.append(job)
                return
            }
        }
        if !handIfWhole(job.targets[0], buffer, length: job.length) { damaged.append(job) }
    }

    /// Hands the window on, or keeps it back for a repeated fetch when its stored digest is wrong.
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
