internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Trust

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
