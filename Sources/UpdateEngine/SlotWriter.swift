internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Trust

/// The last stage of the pipeline, on the engine's own thread: compare, write, flush once an epoch.
final class SlotWriter {
    /// Image bytes between two flushes. After a power cut at most this much is fetched again.
    static let epochBytes = 8 * 1024 * 1024

    private let slots: [any Slot]
    private let present: AlignedBuffer
    private var pending: [(component: Int, window: Int)] = []
    private var pendingBytes = 0

    /// Windows that are flushed, by component.
    private(set) var flushed: [WindowBitmap]
    /// Image bytes found unchanged, and written.
    private(set) var unchanged: UInt64 = 0
    private(set) var written: UInt64 = 0
    /// Image bytes handled so far, flushed or not.
    private(set) var handled: UInt64 = 0

    /// Compared first: a window that differs nearly always differs here, and then the rest need not be read.
    private static let probe = 64 * 1024
    /// Windows whose first bytes are read ahead, so that comparing does not wait for the medium.
    private static let readAhead = 8
    private var announced = 0
    private var accepted = 0
    private let coming: [(component: Int, offset: UInt64)]

    /// `list` tells what will come; windows in another order than it says cost only their read-ahead.
    init(
        slots: [any Slot], tables: [VerifiedChunkTable], list: FetchList, held: [WindowBitmap]
    ) throws(Failure) {
        self.slots = slots
        flushed = held
        coming = list.jobs.flatMap { job in
            job.targets.map { (component: $0.component, offset: tables[$0.component].table.plainOffset(of: $0.window)) }
        }
        present = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) }
    }

    /// Writes one window, unless the slot holds it, and gives its buffer back.
    func accept(_ item: PlainItem) throws(Failure) {
        guard let window = item.take() else { return }
        let slot = slots[item.component]
        let length = window.length
        announce()
        if try step({ () throws(SlotError) in try slotHolds(slot, window) }) {
            unchanged += UInt64(length)
        } else {
            try step { () throws(SlotError) in try slot.write(window) }
            written += UInt64(length)
        }
        item.pool.give(item.buffer)
        handled += UInt64(length)
        pending.append((component: item.component, window: item.index))
        pendingBytes += length
    }

    private func announce() {
        let end = min(coming.count, accepted + Self.readAhead)
        while announced < end {
            let next = coming[announced]
            slots[next.component].willRead(at: next.offset, count: Self.probe)
            announced += 1
        }
        accepted += 1
    }
    private func slotHolds(_ slot: any Slot, _ window: borrowing VerifiedWindow) throws(SlotError) -> Bool {
        let first = min(Self.probe, window.length)
        let got = try slot.read(at: window.offset, count: first, into: present)
        if got < first || !present.equals(window.buffer, from: 0, count: first) { return false }
        if first == window.length { return true }
        let all = try slot.read(at: window.offset, count: window.length, into: present)
        return all == window.length && present.equals(window.buffer, from: 0, count: all)
    }

    /// Whether an epoch is full.
    var epochIsFull: Bool { pendingBytes >= Self.epochBytes }

    /// Flushes every slot that was written since the last flush; only then are its windows noted.
    func flush() throws(Failure) {
        if pending.isEmpty { return }
        for component in slots.indices where pending.contains(where: { $0.component == component }) {
            try step { () throws(SlotError) in try slots[component].flush() }
        }
        for entry in pending { flushed[entry.component].insert(entry.window) }
        pending.removeAll(keepingCapacity: true)
        pendingBytes = 0
    }
}

/// Finds the windows that a slot already holds, by hashing what is on the medium.
struct SlotScan {
    let slot: any Slot
    let table: VerifiedChunkTable
    let buffer: AlignedBuffer

    /// Windows past the highest claimed one that are looked at too: what was written after the last journal hint.
    static let ahead = 16

    /// Checks the claimed windows, and some behind them. What differs is left out: hints are never believed.
    func held(claimed: WindowBitmap?) throws(SlotError) -> WindowBitmap {
        let count = table.table.windows.count
        var found = WindowBitmap(component: table.component.id, count: count)
        guard let claimed, claimed.count == count else { return found }
        let end = min(count, claimed.highest + 1 + Self.ahead)
        for index in 0..<end where claimed.contains(index) || index > claimed.highest {
            let length = table.table.plainLength(of: index)
            let got = try slot.read(at: table.table.plainOffset(of: index), count: length, into: buffer)
            if table.compare(buffer, count: got, index: index) == .holds { found.insert(index) }
        }
        return found
    }

    /// Checks every window; stops at the first that differs.
    func isWhole() throws(SlotError) -> WindowComparison {
        for index in table.table.windows.indices {
            let length = table.table.plainLength(of: index)
            let got = try slot.read(at: table.table.plainOffset(of: index), count: length, into: buffer)
            if table.compare(buffer, count: got, index: index) == .differs { return .differs }
        }
        return .holds
    }
}
