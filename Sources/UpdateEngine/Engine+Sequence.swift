internal import BootControl
internal import BundleFormat
internal import Platform
internal import Trust

/// Below which sequence a release is a replay, and how far a sequence may jump.
struct SequenceRule: Equatable {
    /// Highest sequence that was confirmed and still counts.
    var accepted: UInt64
    /// Whether the record says more, which does not count any more.
    var isReset = false
    /// Whether the trust root changed since a release was last confirmed.
    var rootChanged = false

    /// Largest step of a sequence under one trust root. Whoever steals a release key could otherwise push the sequence
    /// to its end, and every real release that follows would be older (TUF 1.0.34, fast-forward attack).
    static let mostJump: UInt64 = 1 << 20

    /// Whether a sequence is too far ahead. The first release of a device may have any.
    func isJump(_ sequence: UInt64) -> Bool {
        accepted > 0 && !rootChanged && !isReset && sequence > accepted && sequence - accepted > Self.mostJump
    }
}

extension Engine {
    /// The rule at this moment. A sequence counts as long as the release that reached it is trusted: once a newer root
    /// revokes the keys that signed it, or denies it, what it claimed is worth nothing, and the sequence goes back to
    /// that of the releases that are still trusted (TUF 1.0.34 section 5.3.11). Where that release's head is not kept
    /// any more nobody can tell, and the sequence stays.
    func sequenceRule() -> SequenceRule {
        let record = machine.record
        var rule = SequenceRule(
            accepted: record.acceptedSequence,
            rootChanged: state.sequenceRoot > 0 && trust.root.version > state.sequenceRoot)
        var trusted: UInt64 = 0
        var lost = false
        for set in SlotSet.allCases where record[set].state == .good {
            if isDisowned(set) {
                if record[set].sequence == record.acceptedSequence { lost = true }
            } else {
                trusted = max(trusted, record[set].sequence)
            }
        }
        if lost, trusted < record.acceptedSequence {
            rule.accepted = trusted
            rule.isReset = true
        }
        return rule
    }

    /// Whether the present trust root no longer stands behind the release in a slot set.
    private func isDisowned(_ set: SlotSet) -> Bool {
        do throws(Failure) {
            _ = try verifyKeptHead(set)
            return false
        } catch {
            switch error.code {
            case "trust.revoked-key", "trust.unknown-key", "trust.threshold", "trust.denied-release": return true
            default: return false
            }
        }
    }

    /// Notes under which trust root the accepted sequence was reached: at a confirmation, and where nobody did before.
    func noteSequenceRoot() { state.sequenceRoot = trust.root.version }
}
