/// What every Kedge boot loader does with a record: the rule in one place. The simulated boot loader runs this code;
/// the scripts under bootloader/ must agree with it on every record.
public enum BootLoaderModel {
    /// What the boot loader starts, and what it writes before it does.
    public struct Choice: Equatable, Sendable {
        public let slot: SlotSet
        /// The record to store before the kernel starts; nil in the steady state, where nothing is written.
        public let write: BootRecord?
    }

    /// Decides by the record alone. A trial's try is counted down, and stored, before the kernel runs; with none
    /// left the former slot set comes back, and the record says so.
    public static func choose(_ record: BootRecord) -> Choice {
        guard record.phase == .trial else { return Choice(slot: record.active, write: nil) }
        var next = record
        if record.triesLeft > 0 {
            next.triesLeft -= 1
            return Choice(slot: record.active, write: next)
        }
        next[record.active].state = .bad
        next.active = record.active.other
        next.phase = .fellBack
        next.reason = record.userSpaceBoots > 0 ? .notConfirmed : .bootFailed
        return Choice(slot: next.active, write: next)
    }
}

extension BootLoaderModel {
    /// One start, as a simulated boot loader does it: the newest record decides, and what must be written is stored
    /// before the slot set is given back. A count that cannot be stored starts nothing.
    public static func start(from home: any BootHome) throws(BootError) -> SlotSet {
        let choice = choose(try home.load())
        guard let next = choice.write else { return choice.slot }
        return try home.store(next).active
    }
}
