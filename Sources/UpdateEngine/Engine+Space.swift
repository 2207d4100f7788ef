internal import Platform
internal import Slots

/// Room on file systems: planned before the first byte, and watched while an attempt works, because others write there
/// too. Slots on raw media need no watching.
extension Engine {
    /// Where the attempt in work writes files.
    private func spaceReadings(_ probe: any SpaceProbe) -> [(path: String, free: UInt64)] {
        var found: [(path: String, free: UInt64)] = []
        let paths = [probe.data] + targets.compactMap { $0.directory }
        for path in paths where !found.contains(where: { $0.path == path }) {
            if let free = probe.free(at: path) { found.append((path, free)) }
        }
        return found
    }

    /// Throws `engine.low-space` when less is free than must stay free.
    func checkSpace() throws(Failure) {
        guard let probe = outside.space else { return }
        for (path, free) in spaceReadings(probe) where free < probe.reserve {
            throw Failure(EngineError.lowSpace(place: path, free: free, reserve: probe.reserve))
        }
    }

    /// Notes what is free where the attempt pauses for room, for `spaceIsBack`. Before its targets are closed.
    func noteShortage(_ failure: Failure) {
        shortage = []
        guard let probe = outside.space, EngineError.spaceCodes.contains(failure.code) else { return }
        shortage = spaceReadings(probe)
    }

    /// Whether the attempt waits for room.
    public var waitsForSpace: Bool { !shortage.isEmpty && machine.phase.isBeforeArming }

    /// Whether there is room again: a quarter more than must stay free, so that the attempt does not pause at once
    /// again, and, where a write met a full medium, clearly more than there was then.
    public var spaceIsBack: Bool {
        guard let probe = outside.space, let code = pause?.code else { return true }
        var hasGrown = code == EngineError.spaceCodes[0]
        for (path, before) in shortage {
            guard let free = probe.free(at: path) else { continue }
            if free < probe.reserve + probe.reserve / 4 { return false }
            if free >= before + max(before / 4, Self.leastGrowth) { hasGrown = true }
        }
        return hasGrown
    }

    private static let leastGrowth: UInt64 = 1 << 20
}
