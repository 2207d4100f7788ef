public import Platform

/// A source whose bytes go through the device's network meter.
public final class MeteredSource: BundleSource, @unchecked Sendable {
    private let inner: any BundleSource
    private let meter: NetworkMeter
    private let time: any TimeSource
    private let state = SourceState()
    /// Bytes of the inner source that were counted; the reading thread's own.
    private var counted: UInt64

    public init(_ inner: any BundleSource, meter: NetworkMeter, time: any TimeSource) {
        self.inner = inner
        self.meter = meter
        self.time = time
        counted = inner.bytesReceived
    }

    public var displayName: String { inner.displayName }
    public var totalLength: UInt64? { inner.totalLength }
    public var bytesReceived: UInt64 { inner.bytesReceived }
    public var askedRestNanoseconds: UInt64 { inner.askedRestNanoseconds }
    public var isSequential: Bool { inner.isSequential }
    public var isLocal: Bool { inner.isLocal }
    public func reject(_ range: Range<UInt64>) -> SecondChance { inner.reject(range) }

    /// Nothing is asked for ahead of a budget: what a server has sent is paid for, taken or not.
    public func announce(_ range: Range<UInt64>) {
        do throws(TransferError) {
            if try meter.allowance() == .max { inner.announce(range) }
        } catch {
            // The read itself will tell.
            return
        }
    }

    public func cancel() {
        state.cancel()
        inner.cancel()
    }

    public func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        var next = range.lowerBound
        while next < range.upperBound {
            try meter.check(displayName)
            // No more is asked for than may come: what a server has sent is paid for, taken or not.
            let end = min(range.upperBound, next + min(try meter.allowance(), UInt64(1) << 62))
            try counting { (pass) throws(TransferError) in
                try self.inner.read(next..<end) { (piece) throws(TransferError) in
                    try deliver(piece)
                    next += UInt64(piece.byteCount)
                    try pass()
                }
            }
        }
    }

    public func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try meter.check(displayName)
        try counting { (pass) throws(TransferError) in
            try self.inner.readAvailable(range) { (piece) throws(TransferError) in
                try deliver(piece)
                try pass()
            }
        }
    }

    /// Counts what came, wasted bytes included, and keeps the count also when the read fails.
    private func counting(
        _ body: (() throws(TransferError) -> Void) throws(TransferError) -> Void
    ) throws(TransferError) {
        do throws(TransferError) {
            try body { () throws(TransferError) in
                try self.count()
                try self.meter.check(self.displayName)
            }
        } catch {
            try count()
            try meter.settle()
            throw error
        }
        try count()
        try meter.settle()
    }

    private func count() throws(TransferError) {
        let received = inner.bytesReceived
        if received == counted { return }
        let wait = try meter.take(received - counted)
        counted = received
        if wait > 0 { try state.wait(nanoseconds: wait, time) }
    }
}
