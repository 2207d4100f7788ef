internal import Platform

/// A boot record for firmware that starts the slot sets itself, one boot option (`Boot####`) each.
///
/// What decides is in the firmware: `BootNext` starts an option once, `BootOrder` always. That gives a trial exactly
/// one try: the firmware deletes BootNext before it starts the option, so whatever happens, the next start is the
/// former slot set. What is evidence is in a record of Kedge's own form at `record`, two copies. No torn write makes
/// two truths of them, because reading lets the firmware decide:
///
/// - arming: the record first, then BootNext, one variable. A power cut between them leaves a trial without BootNext
///   and the former slot set running, which reads as a release that did not start (`boot-failed`): the next attempt
///   is free to try it again.
/// - confirming: BootOrder first, then the record. In between the trial simply goes on.
/// - falling back needs no write: a trial whose BootNext is gone while the other slot set runs fell back.
///
/// How a firmware stores its variables is its own affair; power cuts in that are what the peers' users report
/// trouble with. BootOrder is written only when it changes.
public final class EFIBootHome: BootHome {
    public let displayName: String
    private let variables: EFIVariables
    private let options: [SlotSet: UInt16]
    private let evidence: SimulatedBootHome
    private let running: SlotSet?

    /// `a` and `b` are the numbers of the boot options; `running` is the slot set that runs. Nothing is opened yet.
    public init(variables: EFIVariables, a: UInt16, b: UInt16, record: String, running: SlotSet?) throws(BootError) {
        displayName = "EFI variables \(variables.path)"
        self.variables = variables
        if a == b { throw .invalid(home: displayName, why: "both slot sets have the same boot option") }
        options = [.a: a, .b: b]
        evidence = SimulatedBootHome(path: record)
        self.running = running
    }

    /// What the firmware starts, and whether it deletes BootNext for it; nil when none of the two options would be
    /// started (UEFI specification, section 3.1.1).
    public static func choose(
        next: UInt16?, order: [UInt16], a: UInt16, b: UInt16
    ) -> (start: SlotSet, consumesNext: Bool)? {
        if next == a { return (start: .a, consumesNext: true) }
        if next == b { return (start: .b, consumesNext: true) }
        guard let first = order.first(where: { $0 == a || $0 == b }) else { return nil }
        return (start: first == a ? .a : .b, consumesNext: false)
    }

    public func load() throws(BootError) -> BootRecord { try observed(evidence.load()) }

    private func observed(_ stored: BootRecord) throws(BootError) -> BootRecord {
        var record = stored
        let (next, order) = try selection()
        if record.phase == .trial {
            record.triesLeft = next == options[record.active] ? 1 : 0
            let gone = running == record.active.other
            return gone && record.triesLeft == 0 ? SystemdBootHome.fallenBack(record) : record
        }
        guard let a = options[.a], let b = options[.b],
            let first = Self.choose(next: nil, order: order, a: a, b: b)?.start, first != record.active
        else { return record }
        record.active = first
        record.phase = .fellBack
        record.reason = .requested
        return record
    }

    private func selection() throws(BootError) -> (next: UInt16?, order: [UInt16]) {
        do throws(SystemError) {
            return (next: try variables.numbers("BootNext")?.first, order: try variables.numbers("BootOrder") ?? [])
        } catch { throw .system(home: displayName, error) }
    }

    public func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let former = try load()
        if record.phase == .trial {
            if former.phase == .trial { return try evidence.store(record) }
            if record.triesLeft != 1 {
                throw .invalid(home: displayName, why: "BootNext gives exactly one try; write tries = 1 into [boot]")
            }
            let next = try evidence.store(record)
            try change { () throws(SystemError) in
                try variables.write("BootNext", numbers: [options[record.active] ?? 0])
            }
            if try selection().next != options[record.active] { throw .readBackMismatch(home: displayName) }
            return next
        }
        try select(record)
        return try evidence.store(record)
    }

    /// BootOrder with the active slot set first, the other one next when it is good and not at all when not, and
    /// whatever else the firmware has behind them.
    private func select(_ record: BootRecord) throws(BootError) {
        let (next, order) = try selection()
        guard let active = options[record.active], let other = options[record.active.other] else { return }
        var wanted = [active]
        if record[record.active.other].state == .good { wanted.append(other) }
        wanted += order.filter { $0 != active && $0 != other }
        try change { () throws(SystemError) in
            if next == active || next == other { try variables.remove("BootNext") }
            if order != wanted { try variables.write("BootOrder", numbers: wanted) }
        }
        if try selection().order != wanted { throw .readBackMismatch(home: displayName) }
    }

    private func change(_ body: () throws(SystemError) -> Void) throws(BootError) {
        do { try body() } catch { throw .system(home: displayName, error) }
    }

    public func examine() -> [BootFinding] {
        var findings = evidence.examine()
        for set in SlotSet.allCases {
            guard let number = options[set] else { continue }
            let name = "Boot" + Self.hex(number)
            let present: Bool
            do throws(SystemError) { present = try variables.read(name) != nil } catch {
                findings.append(BootFinding(BootError.system(home: displayName, error)))
                continue
            }
            if !present {
                findings.append(
                    BootFinding(
                        .error, code: "doctor.no-entry",
                        context: "the firmware has no \(name), so slot set \(set.letter) cannot start",
                        remedy: "Make it with efibootmgr --create, and name it in [boot] entry-\(set.letter)"))
            }
        }
        return findings
    }

    /// Four upper-case digits, as in `Boot001A`.
    static func hex(_ number: UInt16) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for shift in [12, 8, 4, 0] { out.append(digits[Int(number >> UInt16(shift)) & 15]) }
        return String(decoding: out, as: UTF8.self)
    }
}
