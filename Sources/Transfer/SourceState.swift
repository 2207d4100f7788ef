internal import Platform

/// What several threads may look at while one of them reads: the cancel flag, the byte count and the length.
final class SourceState: Sendable {
    private final class Values: @unchecked Sendable {
        var canceled = false
        var received: UInt64 = 0
        var total: UInt64?
    }

    private let monitor = Monitor()
    private let values = Values()
    private let deadline: Deadline?

    /// With a deadline, every check behind it fails.
    init(deadline: Deadline? = nil) { self.deadline = deadline }

    var isCanceled: Bool { monitor.locked { values.canceled } }
    var received: UInt64 { monitor.locked { values.received } }
    var total: UInt64? { monitor.locked { values.total } }

    func cancel() { monitor.locked { values.canceled = true } }
    func count(_ bytes: Int) { monitor.locked { values.received += UInt64(bytes) } }
    func learn(total: UInt64) { monitor.locked { values.total = total } }
    /// What was learned came from a place that does not count.
    func forgetTotal() { monitor.locked { values.total = nil } }

    /// Throws `.canceled` once `cancel()` was called, and `transfer.deadline` behind the deadline.
    func check() throws(TransferError) {
        if isCanceled { throw TransferError.canceled }
        if let deadline, deadline.isOver { throw deadline.error }
    }

    /// The same as a value, for where nothing can be thrown.
    var interruption: TransferError? {
        do throws(TransferError) {
            try check()
            return nil
        } catch {
            return error
        }
    }

    /// Waits in short pieces, so that a cancel or the deadline does not wait for the end.
    func wait(nanoseconds: UInt64, _ time: any TimeSource) throws(TransferError) {
        let end = time.monotonicNanoseconds() + nanoseconds
        while true {
            try check()
            let now = time.monotonicNanoseconds()
            if now >= end { return }
            time.sleep(nanoseconds: min(end - now, Self.pieceNanoseconds))
        }
    }

    private static let pieceNanoseconds: UInt64 = 100_000_000
}

/// When a download has to be over.
struct Deadline: Sendable {
    private let time: any TimeSource
    private let end: UInt64
    private let milliseconds: UInt64
    private let source: String

    /// Nil for 0 milliseconds: no deadline.
    init?(milliseconds: UInt64, source: String, time: any TimeSource) {
        if milliseconds == 0 { return nil }
        self.time = time
        self.source = source
        self.milliseconds = milliseconds
        end = time.monotonicNanoseconds() + milliseconds * 1_000_000
    }

    var isOver: Bool { time.monotonicNanoseconds() >= end }
    var error: TransferError {
        .network(.outOfTime, source: source, detail: "the download took longer than \(milliseconds / 1000) s")
    }
}
