internal import BootControl
internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

extension Engine {
    /// Chooses for each component the form that costs the fewest bytes, and fetches the tables of those that need one.
    ///
    /// From a local place windows are taken: they are decoded on several threads, and bytes cost nothing there. A pipe
    /// gives its bytes only once, and so nothing but windows.
    func chooseForms(_ head: BundleHead, from source: any BundleSource) throws(Failure) {
        forms = head.tables.map { _ in nil }
        blockLists = head.tables.map { _ in nil }
        bases = head.tables.map { _ in nil }
        formsBefore = FormCounters()
        let policy = outside.download
        let wanted = policy.use == .always || policy.full == .never || !source.isLocal
        let usable = policy.use != .never && wanted && !source.isSequential
        let prefixed = PrefixedSource(source, at: head.release.header.payloadOffset, bytes: head.surplus)
        formRepeats = DamageRepeats()
        for (index, table) in head.tables.enumerated() where !whole[index] {
            if FetchList([table], held: [held[index]]).fetchBytes == 0 { continue }
            if usable { try chooseForm(table, number: index, head: head, from: prefixed) }
            if forms[index] == nil, policy.full == .never {
                throw Failure(EngineError.fullForbidden(table.component.id.text))
            }
        }
    }

    /// First a delta against what runs: no other form comes near it. Then what both slots hold in any order, then the
    /// image coded against itself.
    private func chooseForm(
        _ table: VerifiedChunkTable, number: Int, head: BundleHead, from source: any BundleSource
    ) throws(Failure) {
        let policy = outside.download
        var best = policy.full == .never ? UInt64.max : FetchList([table], held: [held[number]]).fetchBytes
        // From a local place it is not the bytes that decide.
        if policy.use == .always, source.isLocal { best = .max }
        if let base = openBase(table.component) {
            for delta in table.component.deltas where delta.base == base.image {
                if expected(delta.table, delta.payload, table, number) >= best { continue }
                let verified = try fetch(delta.table, .delta, head, source) { (stored) throws(PayloadError) in
                    try VerifiedDeltaTable(stored: stored, delta: delta, of: table)
                }
                take(GroupList(component: number, form: .delta, table: verified, held: held[number]), number, &best)
            }
            if forms[number] != nil {
                bases[number] = base.slot
                return
            }
            base.slot.close()
        }
        if policy.full == .never { return }
        if let list = try chooseBlocks(table, number: number, head: head, from: source, best: best) {
            blockLists[number] = list
            best = list.total(held: held[number])
        }
        guard let solid = table.component.solid, expected(solid.table, solid.payload, table, number) < best else {
            return
        }
        let verified = try fetch(solid.table, .solid, head, source) { (stored) throws(PayloadError) in
            try VerifiedDeltaTable(stored: stored, solid: solid, of: table)
        }
        take(GroupList(component: number, form: .solid, table: verified, held: held[number]), number, &best)
        if forms[number] == nil { return }
        blockLists[number] = nil
        bases[number]?.close()
        bases[number] = nil
    }

    /// The form is taken if it costs less than the best so far. Its table is paid for by now.
    private func take(_ list: GroupList, _ number: Int, _ best: inout UInt64) {
        if list.fetchBytes >= best { return }
        best = list.fetchBytes
        forms[number] = list
    }

    /// Bytes that a form will about take: after an interruption some groups are not needed any more; which ones only
    /// its table tells.
    private func expected(
        _ piece: PayloadPiece, _ payload: UInt64, _ table: VerifiedChunkTable, _ number: Int
    ) -> UInt64 {
        UInt64(piece.length) + payload / 1000 * Self.missingShare(table, held[number])
    }

    /// The table of a form; asked for again when it arrives damaged.
    func fetch<Table>(
        _ piece: PayloadPiece, _ form: FormKind, _ head: BundleHead, _ source: any BundleSource,
        verify: ([UInt8]) throws(PayloadError) -> Table
    ) throws(Failure) -> Table {
        let start = head.release.header.payloadOffset + piece.offset
        let range = start..<(start + UInt64(piece.length))
        while true {
            try checkCanceled()
            var stored: [UInt8] = []
            stored.reserveCapacity(piece.length)
            try step { () throws(TransferError) in
                try source.read(range) { (piece) throws(TransferError) in
                    stored.append(contentsOf: [UInt8](copying: piece))
                }
            }
            formsBefore[form].fetched += UInt64(stored.count)
            do throws(PayloadError) {
                return try verify(stored)
            } catch {
                guard case .damaged = error else { throw Failure(error) }
                if !formRepeats.allow(range, from: source) { throw Failure(error) }
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
