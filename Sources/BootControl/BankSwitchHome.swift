internal import Platform

/// Another home on a machine with two firmware banks, which a strap, a GPIO or a controller selects: a command of the
/// device selects the bank that belongs to the slot set of the record.
///
/// The record stays the one truth. Before arming, the command runs first: if it fails, nothing is armed. Everything
/// else is recorded first. `settle` selects the record's bank again at each start, which ends what a power cut left
/// between the two, and takes the strap back after the boot loader fell back. Both banks hold firmware that was read
/// back, so the machine starts from either meanwhile; a bank that does not start is the hardware watchdog's affair.
public final class BankSwitchHome: BootHome {
    private let home: any BootHome
    private let commands: [SlotSet: [String]]
    /// Milliseconds that a command may take.
    private static let limit: UInt64 = 30_000

    public var displayName: String { home.displayName }

    /// `a` and `b` are the words of the two commands; no shell runs.
    public init(_ home: any BootHome, a: [String], b: [String]) {
        self.home = home
        commands = [.a: a, .b: b]
    }

    public func load() throws(BootError) -> BootRecord { try home.load() }

    public func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let former = try home.load()
        let arms = record.phase == .trial && former.phase != .trial
        if arms { try select(record.active) }
        let next = try home.store(record)
        if !arms && former.active != next.active { try select(next.active) }
        return next
    }

    /// Selects the bank of the record's slot set, whatever is selected now. For the start of the service.
    public func settle() throws(BootError) { try select(home.load().active) }

    public func examine() -> [BootFinding] { home.examine() }

    private func select(_ set: SlotSet) throws(BootError) {
        let outcome: ChildProcess.Outcome
        do throws(SystemError) {
            outcome = try ChildProcess.run(
                commands[set] ?? [], environment: [(name: "KEDGE_SLOT", value: set.letter)], milliseconds: Self.limit)
        } catch { throw .bank(set: set.letter, why: error.context) }
        if outcome.succeeded { return }
        throw .bank(set: set.letter, why: outcome.status.map { "exit status \($0)" } ?? "it did not end in time")
    }
}
