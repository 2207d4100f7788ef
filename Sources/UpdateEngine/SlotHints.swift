internal import BootControl
internal import BundleFormat
internal import Payload
internal import Platform
internal import Trust

/// What the data directory has on record of a slot's content, window by window. A hint: whatever is read by it is hashed
/// again.
final class SlotHints: HintSource {
    let windowSize: Int
    private let state: any StateStore
    private let target: Identifier
    private let set: SlotSet

    /// Records that are looked at, so that no file, however long, keeps an attempt busy for ever (64 GiB of windows).
    private static let mostWindows = 65_536
    /// Bytes read at a time.
    private static let readBytes = 64 * 1024

    /// Nil when nothing is on record.
    init?(_ state: any StateStore, _ target: Identifier, _ set: SlotSet) {
        self.state = state
        self.target = target
        self.set = set
        guard
            let size = WindowHints.windowSize(
                header: Self.read(state, target, set, at: 0, count: WindowHints.headerLength))
        else { return nil }
        windowSize = size
    }

    /// What cannot be read is not known.
    private static func read(
        _ state: any StateStore, _ target: Identifier, _ set: SlotSet, at offset: UInt64, count: Int
    ) -> [UInt8] {
        do throws(SystemError) {
            return try state.readHints(target, set, at: offset, count: count)
        } catch {
            return []
        }
    }

    func visit(_ body: (_ window: Int, _ hints: WindowHints) -> Void) {
        let length = WindowHints.recordLength(windowSize: windowSize)
        let records = max(1, Self.readBytes / length)
        var window = 0
        while window < Self.mostWindows {
            let offset = WindowHints.recordOffset(of: window, windowSize: windowSize)
            let bytes = Self.read(state, target, set, at: offset, count: records * length)
            var place = 0
            while place + length <= bytes.count {
                let record = Array(bytes[place..<(place + length)])
                if let hints = WindowHints.decode(record, window: window, windowSize: windowSize) {
                    body(window, hints)
                }
                place += length
                window += 1
            }
            if place == 0 { return }
        }
    }
}

/// Keeps the record of one slot while its windows are written. Nothing depends on it: when the data directory cannot
/// take it, the attempt goes on without.
final class HintRecorder: @unchecked Sendable {
    private let state: any StateStore
    private let target: Identifier
    private let set: SlotSet
    private let windowSize: Int
    /// Digests of the windows that are written.
    private let table: ChunkTable?
    private var isBroken = false

    /// For windows of a release.
    convenience init(_ state: any StateStore, _ set: SlotSet, _ chunks: VerifiedChunkTable) {
        self.init(
            state, chunks.component.target, set, windowSize: chunks.table.windowSize, table: chunks.table)
    }

    /// Begins a file for windows of this size, unless there is one.
    init(
        _ state: any StateStore, _ target: Identifier, _ set: SlotSet, windowSize: Int, table: ChunkTable? = nil
    ) {
        self.state = state
        self.target = target
        self.set = set
        self.windowSize = windowSize
        self.table = table
        if SlotHints(state, target, set)?.windowSize != windowSize {
            write(WindowHints.header(windowSize: windowSize), at: 0)
        }
    }

    /// What is to be recorded of a window of the release. From any thread.
    func hints(of window: borrowing VerifiedWindow) -> WindowHints? {
        guard let table else { return nil }
        return WindowHints(of: window, digest: table.windows[window.index].plainDigest)
    }

    /// Puts the record of a window in the place of what was there. One thread uses it.
    func record(_ hints: WindowHints, window: Int) {
        if isBroken { return }
        write(
            hints.encode(window: window, windowSize: windowSize),
            at: WindowHints.recordOffset(of: window, windowSize: windowSize))
    }

    private func write(_ bytes: [UInt8], at offset: UInt64) {
        do throws(SystemError) {
            try state.writeHints(target, set, bytes, at: offset)
        } catch {
            isBroken = true
        }
    }
}
