internal import BootControl
internal import Floors
internal import Platform

extension BootRecord {
    /// The lowest security version of the slot sets that can be selected; nil when there is none. No floor may be
    /// above it.
    var lowestSelectable: UInt32? {
        var lowest: UInt32?
        for set in SlotSet.allCases {
            let slot = self[set]
            if slot.state == .good || slot.state == .trial {
                lowest = min(lowest ?? .max, slot.securityVersion)
            }
        }
        return lowest
    }
}

extension Engine {
    /// Asks the store for its floor. A store that does not answer is noted and stops nothing but older releases.
    func readFloor() {
        guard let store = outside.floor else { return }
        do throws(FloorError) {
            floors.stored = try store.read()
            floors.failure = nil
        } catch {
            floors.stored = nil
            floors.failure = Failure(error)
        }
    }

    /// Raises the store to the record's floor, which only a confirmation raises. Also finishes what was interrupted:
    /// between the record's write and the store's, the power may go.
    ///
    /// Never above a slot set that can still be selected, whatever the record says. A store that fails is noted; the
    /// record's floor holds without it, and the next start tries again.
    ///
    /// - Parameter repairs: also writes to a store that could not be read, as after a confirmation.
    func raiseFloor(repairs: Bool) {
        guard let store = outside.floor, let lowest = machine.record.lowestSelectable else { return }
        if floors.stored == nil, !repairs { return }
        let wanted = min(machine.record.floor, lowest)
        if let stored = floors.stored, stored >= wanted { return }
        do throws(FloorError) {
            floors.stored = try store.raise(to: wanted)
            floors.failure = nil
        } catch {
            floors.failure = Failure(error)
        }
    }

    /// Before a release is armed that an override let below the floor: no store may stand above a slot set that can
    /// be selected.
    func lowerFloor(for armed: BootRecord) throws(Failure) {
        guard let store = outside.floor, store.kind.canBeLowered, let stored = floors.stored else { return }
        let version = armed[armed.active].securityVersion
        if stored <= version { return }
        try step { () throws(FloorError) in try store.lower(to: version) }
        floors.stored = version
    }
}
