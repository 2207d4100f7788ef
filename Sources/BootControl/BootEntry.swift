internal import Platform

/// A boot loader entry of one slot set as systemd-boot names it: `kedge-a.conf`, or `kedge-a+2-1.conf` with two tries
/// left and one done (the Boot Loader Specification, "Boot counting").
public struct BootEntry: Equatable, Sendable {
    /// What the file name says.
    public enum State: Equatable, Sendable {
        /// There is none, or one that systemd-boot does not see (`kedge-a.off`).
        case off
        /// Being tried.
        case counted(left: UInt32, done: UInt32)
        /// Good: not counted.
        case plain
    }

    public let set: SlotSet
    public let state: State
    /// Of two entries with the same sort key the one with the higher version comes first; 0 when it has none.
    public let version: UInt64

    public init(_ set: SlotSet, _ state: State, version: UInt64) {
        self.set = set
        self.state = state
        self.version = version
    }

    /// The file's name without directory.
    public var fileName: String { Self.fileName(set, state) }

    static func fileName(_ set: SlotSet, _ state: State) -> String {
        switch state {
        case .off: "kedge-\(set.letter).off"
        case .plain: "kedge-\(set.letter).conf"
        case .counted(let left, let done):
            done == 0 ? "kedge-\(set.letter)+\(left).conf" : "kedge-\(set.letter)+\(left)-\(done).conf"
        }
    }

    /// From a file name; nil for a file that is not one of Kedge's entries.
    static func parse(_ name: String) -> (set: SlotSet, state: State)? {
        let bytes = Array(name.utf8)
        let prefix = Array("kedge-".utf8)
        guard bytes.starts(with: prefix), bytes.count > prefix.count,
            let set = SlotSet(letter: String(decoding: bytes[prefix.count...prefix.count], as: UTF8.self))
        else { return nil }
        let rest = String(decoding: bytes[(prefix.count + 1)...], as: UTF8.self)
        if rest == ".off" { return (set: set, state: .off) }
        let tail = Array(".conf".utf8)
        let middle = Array(rest.utf8)
        guard middle.count >= tail.count, Array(middle.suffix(tail.count)) == tail else { return nil }
        let count = middle.dropLast(tail.count)
        if count.isEmpty { return (set: set, state: .plain) }
        guard count.first == 0x2b else { return nil }
        let parts = count.dropFirst().split(separator: 0x2d, maxSplits: 1, omittingEmptySubsequences: false)
        guard let left = parts.first.flatMap({ number($0) }) else { return nil }
        if parts.count == 1 { return (set: set, state: .counted(left: left, done: 0)) }
        guard let done = number(parts[1]) else { return nil }
        return (set: set, state: .counted(left: left, done: done))
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt32? {
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt32(String(decoding: digits, as: UTF8.self))
    }
}

/// What systemd-boot does with Kedge's entries (src/boot/efi/boot.c, config_entry_compare and
/// config_entry_bump_counters): the Swift model of it, compared with the real one in QEMU.
public enum SystemdBootModel {
    /// The entry that starts, and the one that it is renamed to before; nil when no entry can be seen.
    public static func choose(_ entries: [BootEntry]) -> (start: BootEntry, renamed: BootEntry)? {
        var best: BootEntry?
        for entry in entries where entry.state != .off {
            if let present = best, !comesBefore(entry, present) { continue }
            best = entry
        }
        guard let best else { return nil }
        guard case .counted(let left, let done) = best.state else { return (start: best, renamed: best) }
        // What was done is counted on when nothing is left, and nothing better is there to start.
        let next = BootEntry(
            best.set, .counted(left: left == 0 ? 0 : left - 1, done: done + 1), version: best.version)
        return (start: best, renamed: next)
    }

    /// Entries without tries come last; then the higher version, then the higher name, then more tries first.
    private static func comesBefore(_ a: BootEntry, _ b: BootEntry) -> Bool {
        if isExhausted(a) != isExhausted(b) { return !isExhausted(a) }
        if a.version != b.version { return a.version > b.version }
        if a.set != b.set { return a.set == .b }
        guard case .counted(let left, _) = a.state, case .counted(let other, _) = b.state else { return false }
        return left > other
    }

    private static func isExhausted(_ entry: BootEntry) -> Bool {
        if case .counted(let left, _) = entry.state { return left == 0 }
        return false
    }
}
