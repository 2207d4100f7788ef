internal import BootControl
internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

extension Engine {
    /// A form that could serve, before its table is known.
    private struct Candidate {
        let form: FormKind
        let piece: PayloadPiece
        let payload: UInt64
        /// Nil for the solid form.
        let delta: DeltaForm?
    }

    /// Chooses for each component the form that costs the fewest bytes, and fetches the tables of those that need one.
    ///
    /// From a local place windows are taken: they are decoded on several threads, and bytes cost nothing there. A pipe
    /// gives its bytes only once, and so nothing but windows.
    func chooseForms(_ head: BundleHead, from source: any BundleSource) throws(Failure) {
        forms = head.tables.map { _ in nil }
        bases = head.tables.map { _ in nil }
        formsBefore = FormCounters()
        let policy = outside.download
        let wanted = policy.use == .always || policy.full == .never || !source.isLocal
        let usable = policy.use != .never && wanted && !source.isSequential
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        var repeats = DamageRepeats()
        for (index, table) in head.tables.enumerated() where !whole[index] {
            if FetchList([table], held: [held[index]]).fetchBytes == 0 { continue }
            if usable { try chooseForm(table, number: index, head: head, from: prefixed, &repeats) }
            if forms[index] == nil, policy.full == .never {
                throw Failure(EngineError.fullForbidden(table.component.id.text))
            }
        }
    }

    private func chooseForm(
        _ table: VerifiedChunkTable, number: Int, head: BundleHead, from source: any BundleSource,
        _ repeats: inout DamageRepeats
    ) throws(Failure) {
        let policy = outside.download
        var best = policy.full == .never ? UInt64.max : FetchList([table], held: [held[number]]).fetchBytes
        // From a local place it is not the bytes that decide.
        if policy.use == .always, source.isLocal { best = .max }
        let base = openBase(table.component)
        var candidates: [Candidate] = []
        for delta in table.component.deltas where delta.base == base?.image {
            candidates.append(Candidate(form: .delta, piece: delta.table, payload: delta.payload, delta: delta))
        }
        if let solid = table.component.solid, policy.full == .allow {
            candidates.append(Candidate(form: .solid, piece: solid.table, payload: solid.payload, delta: nil))
        }
        // After an interruption some groups are not needed any more; which ones only the table tells.
        let missing = Self.missingShare(table, held[number])
        for candidate in candidates {
            let expected = UInt64(candidate.piece.length) + candidate.payload / 1000 * missing
            if expected >= best { continue }
            let list = GroupList(
                component: number, form: candidate.form, table: try fetch(candidate, table, head, source, &repeats),
                held: held[number])
            // The table is paid for by now.
            if list.fetchBytes < best {
                best = list.fetchBytes
                forms[number] = list
            }
        }
        if forms[number]?.form == .delta { bases[number] = base?.slot } else { base?.slot.close() }
    }

    /// The table of a form; asked for again when it arrives damaged.
    private func fetch(
        _ candidate: Candidate, _ chunks: VerifiedChunkTable, _ head: BundleHead, _ source: any BundleSource,
        _ repeats: inout DamageRepeats
    ) throws(Failure) -> VerifiedDeltaTable {
        let start = head.release.header.payloadOffset + candidate.piece.offset
        let range = start..<(start + UInt64(candidate.piece.length))
        while true {
            try checkCanceled()
            var stored: [UInt8] = []
            stored.reserveCapacity(candidate.piece.length)
            try step { () throws(TransferError) in
                try source.read(range) { (piece) throws(TransferError) in
                    stored.append(contentsOf: [UInt8](copying: piece))
                }
            }
            formsBefore[candidate.form].fetched += UInt64(stored.count)
            do throws(PayloadError) {
                if let delta = candidate.delta {
                    return try VerifiedDeltaTable(stored: stored, delta: delta, of: chunks)
                }
                guard let solid = chunks.component.solid else { throw .noMemory }
                return try VerifiedDeltaTable(stored: stored, solid: solid, of: chunks)
            } catch {
                guard case .damaged = error else { throw Failure(error) }
                if !repeats.allow(range, from: source) { throw Failure(error) }
            }
        }
    }

    /// What the running slot set holds of a component, as the release that runs says, open for reading; nil when that
    /// is not known or cannot be read. It is a claim: what is made of it is checked window by window.
    private func openBase(_ component: Component) -> (image: DeltaBase, slot: any Slot)? {
        let running = machine.running
        guard !component.deltas.isEmpty, let manifest = machine.record[running].manifest,
            let kept = keptHead(running), kept.release.digest == manifest,
            let present = kept.tables.first(where: { $0.component.id == component.id })?.component
        else { return nil }
        let image = DeltaBase(digest: present.digest, size: present.size)
        guard component.deltas.contains(where: { $0.base == image }) else { return nil }
        do throws(SlotError) {
            let slot = try outside.slots.slot(present.target, running)
            try slot.openForReading(present)
            return (image: image, slot: slot)
        } catch {
            return nil
        }
    }

    /// Thousandths of the windows that are missing.
    private static func missingShare(_ table: VerifiedChunkTable, _ held: WindowBitmap) -> UInt64 {
        let count = table.table.windows.count
        var missing = 0
        for window in 0..<count where !held.contains(window) { missing += 1 }
        return UInt64(missing * 1000 / count)
    }

    /// Throws when the plan would take more bytes than an attempt may.
    func checkBudget(_ plan: UpdatePlan, fetched: UInt64, from source: any BundleSource) throws(EngineError) {
        guard let most = outside.download.mostBytes, !source.isLocal, !source.isSequential else { return }
        let needed = fetched + plan.fetchBytes
        if needed > most { throw .mostBytes(more: needed - most) }
    }
}
