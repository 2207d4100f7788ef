internal import BundleFormat
internal import Payload
internal import Platform
internal import Transfer
internal import Trust

/// The transfer thread's work: fetch what is missing, check stored digests, hand windows on.
final class WindowFetcher: ExtentSink, @unchecked Sendable {
    private let extents: ExtentFetcher
    private let tables: [VerifiedChunkTable]
    private let list: FetchList
    private let output: HandOver<StoredItem>
    private let pool: BufferPool
    /// The job that comes next, the first one of its request.
    private var start = 0

    init(
        source: any BundleSource, head: BundleHead, list: FetchList, to output: HandOver<StoredItem>, pool: BufferPool
    ) {
        extents = ExtentFetcher(source, payloadOffset: head.release.header.payloadOffset)
        tables = head.tables
        self.list = list
        self.output = output
        self.pool = pool
    }

    /// Runs to the end on the calling thread and always ends the output.
    func run() {
        do throws(Failure) {
            while start < list.jobs.count {
                let run = list.run(from: start)
                let wanted = list.jobs[run].map { Extent(offset: $0.offset, length: $0.length) }
                start += try extents.fetch(wanted, next: list.range(from: run.upperBound), into: self)
            }
            output.end(nil)
        } catch {
            output.end(error)
        }
    }

    func damage(_ number: Int) -> Failure {
        let target = list.jobs[start + number].targets[0]
        return Failure(
            PayloadError.storedDigest(component: tables[target.component].component.id, window: target.window))
    }

    func buffer() throws(Failure) -> AlignedBuffer? { try free() }

    func giveBack(_ buffer: AlignedBuffer) { pool.give(buffer) }

    func take(_ number: Int, _ buffer: AlignedBuffer?) throws(Failure) -> Bool {
        let job = list.jobs[start + number]
        for target in job.targets.dropFirst() {
            let copy = try free()
            if let buffer { copy.copy(buffer.bytes.extracting(0..<job.length), at: 0) }
            if !handIfWhole(target, copy, length: job.length) {
                pool.give(copy)
                return false
            }
        }
        if let buffer { return handIfWhole(job.targets[0], buffer, length: job.length) }
        // A zero window.
        let empty = try free()
        if handIfWhole(job.targets[0], empty, length: 0) { return true }
        pool.give(empty)
        return false
    }

    private func free() throws(Failure) -> AlignedBuffer {
        guard let buffer = pool.take() else { throw Failure(EngineError.canceled) }
        return buffer
    }

    /// Hands the window on; false when its stored digest is wrong.
    private func handIfWhole(_ target: FetchJob.Target, _ buffer: AlignedBuffer, length: Int) -> Bool {
        do throws(PayloadError) {
            let window = try StoredWindow(
                checking: buffer, length: length, of: tables[target.component], index: target.window)
            output.push(StoredItem(component: target.component, window: window))
            return true
        } catch {
            return false
        }
    }
}
