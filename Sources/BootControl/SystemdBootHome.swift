internal import Platform

/// A boot record for systemd-boot, which counts tries in the names of its entries and can hold nothing else.
///
/// What decides is in the entries: which slot sets have one, their versions and their tries. What is evidence (which
/// attempt, which release, the floor) is in a record of Kedge's own form at `record` (a file or a partition, two
/// copies). No torn write makes two truths of them, because reading lets the entries decide, and because each change
/// is written in the order in which the half of it still means the old or the new record:
///
/// - arming: the record first, then the entry with its tries, by one rename. Without the entry nothing was armed, and
///   `load` gives the record of before: the spare slot set being written.
/// - everything else: the entries first. A blessed entry with a record on trial is a trial that goes on; a trial whose
///   entry is gone or has no tries left, while the other slot set runs, fell back, and `load` says so.
///
/// So a fallback needs no write at all: it is read off the entries, the same at every start, until the next attempt.
public final class SystemdBootHome: BootHome {
    public let displayName: String
    private let entries: BootEntryDirectory
    private let evidence: SimulatedBootHome
    private let running: SlotSet?

    /// `entries` is the directory with `kedge-a.conf` and `kedge-b.conf`; `running` is the slot set that runs, by
    /// which a trial is told from a fallback. Nothing is opened yet.
    public init(entries: String, record: String, running: SlotSet?) {
        displayName = "boot entries \(entries)"
        self.entries = BootEntryDirectory(path: entries)
        evidence = SimulatedBootHome(path: record)
        self.running = running
    }

    public func load() throws(BootError) -> BootRecord {
        let record = try evidence.load()
        return observed(record, try system { () throws(SystemError) in try entries.read() })
    }

    private func observed(_ stored: BootRecord, _ found: [SlotSet: BootEntry]) -> BootRecord {
        var record = stored
        if record.phase == .trial {
            let gone = running == record.active.other
            switch found[record.active]?.state ?? .off {
            case .plain: return record
            case .counted(let left, _):
                record.triesLeft = UInt8(clamping: left)
                return gone && left == 0 ? Self.fallenBack(record) : record
            case .off:
                if !gone { return record }
                return record.userSpaceBoots == 0 ? Self.notArmed(record) : Self.fallenBack(record)
            }
        }
        guard let first = SystemdBootModel.choose(Array(found.values))?.start.set, first != record.active else {
            return record
        }
        // Somebody selected the other one: an interrupted rollback, or a person.
        record.active = first
        record.phase = .fellBack
        record.reason = .requested
        return record
    }

    /// What a boot loader with a full record would have written.
    static func fallenBack(_ record: BootRecord) -> BootRecord {
        var last = record
        last.triesLeft = 0
        return BootLoaderModel.choose(last).write ?? record
    }

    /// The record before it was armed.
    private static func notArmed(_ record: BootRecord) -> BootRecord {
        var next = record
        next[record.active].state = .writing
        next.active = record.active.other
        next.phase = .writing
        next.triesLeft = 0
        return next
    }

    public func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let stored = try evidence.load()
        let former = observed(stored, try system { () throws(SystemError) in try entries.read() })
        if record.phase == .trial {
            let next = try evidence.store(record)
            if former.phase != .trial {
                try system { () throws(SystemError) in
                    try entries.set(
                        record.active, .counted(left: UInt32(record.triesLeft), done: 0), version: next.revision)
                }
                try readBack(record.active, .counted(left: UInt32(record.triesLeft), done: 0))
            }
            return next
        }
        try system { () throws(SystemError) in try select(record, revision: stored.revision + 1) }
        try readBack(record.active, .plain)
        return try evidence.store(record)
    }

    /// The active slot set plain and first; the other one only when it is good.
    private func select(_ record: BootRecord, revision: UInt64) throws(SystemError) {
        let found = try entries.read()
        let active = BootEntry(record.active, .plain, version: found[record.active]?.version ?? 0)
        let isGood = record[record.active.other].state == .good
        let other = found[record.active.other]
        let rivals = isGood ? [active] + (other.map { [$0] } ?? []) : [active]
        let isFirst = SystemdBootModel.choose(rivals)?.start.set == record.active
        if found[record.active]?.state != .plain || !isFirst {
            try entries.set(record.active, .plain, version: isFirst ? nil : revision)
        }
        if !isGood, let other, other.state != .off { try entries.set(record.active.other, .off, version: nil) }
    }

    private func readBack(_ set: SlotSet, _ state: BootEntry.State) throws(BootError) {
        let found = try system { () throws(SystemError) in try entries.read() }
        guard let entry = found[set] else {
            throw .invalid(home: displayName, why: "there is no entry kedge-\(set.letter).conf")
        }
        if entry.state != state { throw .readBackMismatch(home: displayName) }
    }

    private func system<Result>(_ body: () throws(SystemError) -> Result) throws(BootError) -> Result {
        do { return try body() } catch { throw .system(home: displayName, error) }
    }

    public func examine() -> [BootFinding] {
        var findings = evidence.examine()
        do throws(SystemError) {
            let found = try entries.read()
            for set in SlotSet.allCases where found[set] == nil {
                findings.append(
                    BootFinding(
                        .error, code: "doctor.no-entry",
                        context: "\(entries.path) has no entry of slot set \(set.letter), which so cannot start",
                        remedy: "Copy the entry from bootloader/systemd-boot there"))
            }
        } catch { findings.append(BootFinding(BootError.system(home: displayName, error))) }
        return findings
    }
}
