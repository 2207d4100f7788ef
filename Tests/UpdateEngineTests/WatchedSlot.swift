import BundleFormat
import Payload
import Platform
import Slots
import Testing

/// A real slot, and what happened to it in which order.
final class WatchedSlot: Slot, @unchecked Sendable {
    enum Event: Equatable {
        case write(UInt64, Int)
        case flushBegins, flushed
        case sealed
        case readSealed(UInt64, Int)
    }

    let inner: any Slot
    private let monitor = Monitor()
    private var log: [Event] = []
    private var isSealed = false
    /// Called before and after each flush, on the flushing thread.
    var atFlush: ((Event) throws(SlotError) -> Void)?

    init(_ inner: any Slot) { self.inner = inner }

    var events: [Event] { monitor.locked { log } }
    private func note(_ event: Event) { monitor.locked { log.append(event) } }

    var displayName: String { inner.displayName }
    var bytesWritten: UInt64 { inner.bytesWritten }
    func check(_ component: Component) throws(SlotError) { try inner.check(component) }
    func open(_ component: Component) throws(SlotError) { try inner.open(component) }
    func openForReading(_ component: Component) throws(SlotError) { try inner.openForReading(component) }
    func holds(_ component: Component) throws(SlotError) -> Bool { try inner.holds(component) }

    func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int {
        if monitor.locked({ isSealed }) { note(.readSealed(offset, count)) }
        return try inner.read(at: offset, count: count, into: buffer)
    }

    func write(_ window: borrowing VerifiedWindow) throws(SlotError) {
        try inner.write(window)
        note(.write(window.offset, window.length))
    }

    func flush() throws(SlotError) {
        note(.flushBegins)
        try atFlush?(.flushBegins)
        try inner.flush()
        note(.flushed)
        try atFlush?(.flushed)
    }

    func seal(_ component: Component) throws(SlotError) {
        try inner.seal(component)
        monitor.locked { isSealed = true }
        note(.sealed)
    }

    func publish(_ component: Component, release: String) throws(SlotError) {
        try inner.publish(component, release: release)
    }

    func close() { inner.close() }
}
