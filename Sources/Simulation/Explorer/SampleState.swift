internal import BootControl

/// What somebody outside the device remembers, and what the machine remembers until its power goes.
struct SampleFacts: Hashable, Sendable {
    /// How an attempt was told to have ended.
    enum Told: UInt8, Sendable {
        case nothing, confirmed, rolledBack, failed, canceled
    }
    /// By stage of the scenario.
    var told: [Told]
    /// The update that is wanted now.
    var stage = 0
    /// Starts of the present trial.
    var trialBoots: UInt8 = 0
    /// Faults of media and network that may still happen.
    var faults: UInt8 = 0
    /// The slot set that runs, where only the process ended and the machine did not; nil when the power was off.
    var resident: SlotSet?
    /// Alternates with every start, so that two starts in a row have different ids.
    var boot: UInt8 = 0
}

/// Everything that outlives a power cut, and what is remembered outside: one node of the exploration.
struct SampleState: Sendable {
    /// Content numbers by cell.
    var cells: [UInt32]
    var facts: SampleFacts

    /// Equal for states that lead to the same decisions.
    func key(_ pool: ContentPool, _ layout: SampleLayout) -> SampleStateKey {
        var cells = cells
        var order: UInt8 = 0
        for (bit, pair) in [(layout.record(0), layout.record(1)), (layout.journal(0), layout.journal(1))].enumerated() {
            let (first, second) = (pool.meaning(cells[pair.0]), pool.meaning(cells[pair.1]))
            cells[pair.0] = first.canonical
            cells[pair.1] = second.canonical
            if first.order > second.order { order |= 1 << UInt8(bit) }
        }
        return SampleStateKey(cells: cells, order: order, facts: facts)
    }
}

struct SampleStateKey: Hashable, Sendable {
    let cells: [UInt32]
    let order: UInt8
    let facts: SampleFacts
}

/// What one run did to the outside, in order: the base of all crash states.
enum SampleOperation: Sendable {
    /// A cell is to hold this.
    case write(cell: Int, Content)
    /// The same, durable by itself before the call came back (FUA; a rename that was flushed).
    case writeThrough(cell: Int, Content)
    case flush(medium: Int)
    /// The world outside or the running machine learned something.
    case facts(SampleFacts)

    /// What is written; nil where nothing is.
    var cell: Int? {
        switch self {
        case .write(let cell, _), .writeThrough(let cell, _): cell
        case .flush, .facts: nil
        }
    }
}

/// All states that a power cut can leave at any instant of a run.
///
/// Between two flushes every subset of the pending writes may be on the medium, each whole or torn. Metadata is taken
/// exhaustively. Windows of slots too, while few are pending; where more are, by representatives: all old, all new,
/// every prefix, every single hole, every single torn one.
struct CrashStates {
    let layout: SampleLayout
    /// Pending windows up to which all subsets are taken.
    let exhaustive: Int

    private struct Pending {
        let cell: Int
        /// Durable content first, then what was written, oldest first.
        var versions: [UInt32]
    }

    /// Calls `body` with every state, some of them more than once, and the number of the operation before which the
    /// power went. The last one is the state after an orderly end, with a number behind the last operation.
    func visit(
        from start: SampleState, _ log: [SampleOperation], _ pool: ContentPool, _ body: (SampleState, Int) -> Void
    ) -> SampleState {
        var durable = start
        durable.facts.resident = nil
        var pending: [Pending] = []
        for (index, operation) in log.enumerated() {
            switch operation {
            case .write(let cell, let content):
                add(cell, pool.number(of: content), &pending, durable)
            case .writeThrough(let cell, let content):
                let number = pool.number(of: content)
                add(cell, number, &pending, durable)
                emit(durable, pending, index, body)
                durable.cells[cell] = number
                pending.removeAll { $0.cell == cell }
            case .flush(let medium):
                if !pending.isEmpty { emit(durable, pending, index, body) }
                for entry in pending where layout.medium(entry.cell) == medium {
                    durable.cells[entry.cell] = entry.versions[entry.versions.count - 1]
                }
                pending.removeAll { layout.medium($0.cell) == medium }
            case .facts(let facts):
                emit(durable, pending, index, body)
                durable.facts = facts
                durable.facts.resident = nil
            }
        }
        emit(durable, pending, log.count, body)
        for entry in pending { durable.cells[entry.cell] = entry.versions[entry.versions.count - 1] }
        return durable
    }

    private func add(_ cell: Int, _ number: UInt32, _ pending: inout [Pending], _ durable: SampleState) {
        if let index = pending.firstIndex(where: { $0.cell == cell }) {
            pending[index].versions.append(number)
        } else {
            pending.append(Pending(cell: cell, versions: [durable.cells[cell], number]))
            // One order, whichever thread wrote first.
            pending.sort { $0.cell < $1.cell }
        }
    }

    private func options(_ entry: Pending) -> [UInt32] {
        entry.versions + (layout.canTear(entry.cell) ? [ContentPool.torn] : [])
    }

    private func emit(_ durable: SampleState, _ pending: [Pending], _ index: Int, _ body: (SampleState, Int) -> Void) {
        let data = pending.filter { layout.isData($0.cell) }
        if data.count <= exhaustive { return product(durable, pending[...], index, body) }
        let rest = pending.filter { !layout.isData($0.cell) }
        for choice in representatives(data) {
            var state = durable
            for (entry, number) in zip(data, choice) { state.cells[entry.cell] = number }
            product(state, rest[...], index, body)
        }
    }

    private func representatives(_ data: [Pending]) -> [[UInt32]] {
        let old = data.map { $0.versions[0] }
        let new = data.map { $0.versions[$0.versions.count - 1] }
        var choices = [old]
        for place in data.indices {
            choices.append(Array(new[0...place]) + Array(old[(place + 1)...]))
            var hole = new
            hole[place] = old[place]
            choices.append(hole)
            hole[place] = ContentPool.torn
            choices.append(hole)
        }
        return choices
    }

    private func product(
        _ state: SampleState, _ pending: ArraySlice<Pending>, _ index: Int, _ body: (SampleState, Int) -> Void
    ) {
        guard let first = pending.first else { return body(state, index) }
        for number in options(first) {
            var next = state
            next.cells[first.cell] = number
            product(next, pending.dropFirst(), index, body)
        }
    }
}
