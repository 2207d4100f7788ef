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

    var isCanceled: Bool { monitor.locked { values.canceled } }
    var received: UInt64 { monitor.locked { values.received } }
    var total: UInt64? { monitor.locked { values.total } }

    func cancel() { monitor.locked { values.canceled = true } }
    func count(_ bytes: Int) { monitor.locked { values.received += UInt64(bytes) } }
    func learn(total: UInt64) { monitor.locked { values.total = total } }

    /// Throws `.canceled` once `cancel()` was called.
    func check() throws(TransferError) {
        if isCanceled { throw TransferError.canceled }
    }
}
