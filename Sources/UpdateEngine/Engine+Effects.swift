internal import BootControl
internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

extension Engine {
    /// Runs one effect; the event that came of it, if any.
    func perform(_ effect: UpdateMachine.Effect) throws(Failure) -> UpdateMachine.Event? {
        do throws(Failure) {
            switch effect {
            case .plan: return try timed(.planning) { () throws(Failure) in try makePlan() }
            case .store(let record): return try store(record)
            case .transfer:
                try timed(.fetching) { () throws(Failure) in try transfer() }
                return .transferred
            case .readBack:
                try timed(.readBack) { () throws(Failure) in try readBack() }
                return .readBack
            case .stage:
                try stage()
                return nil
            case .measure:
                try timed(.measuring) { () throws(Failure) in try measure() }
                return .measured
            case .checkHealth:
                try checkHealth()
                return .healthy
            case .reboot:
                try reboot()
                return nil
            case .finish(let phase, let failure, let reason):
                try finish(phase, failure, reason)
                return nil
            }
        } catch {
            // While a trial or an armed record stands, or may stand, only the boot record may change what is true:
            // an error of the record, the reboot or the journal is told, and the next start goes on from the record.
            switch effect {
            case .store where machine.phase == .trial || machine.phase == .armed || recordUnknown: throw error
            case .reboot, .finish: throw error
            default: return .failed(error)
            }
        }
    }

    /// One write of the boot record. After an error the record is read again: what is on the medium decides.
    private func store(_ record: BootRecord) throws(Failure) -> UpdateMachine.Event {
        let arms = record.phase == .trial && machine.phase == .verified
        let comesBack = record.phase == .fellBack && record.active != machine.running
        if arms || comesBack, var attempt = machine.attempt {
            // Noted before the record is written: a boot with another id on the former slot then proves that the boot
            // loader did not try, and the same boot that its reboot is still due.
            attempt.armedBoot = outside.running.bootID ?? ""
            machine.note(attempt)
            do throws(Failure) { try noteProgress() } catch {
                // A journal that fails keeps nobody from coming back.
                if arms { throw error }
            }
        }
        if arms { try lowerFloor(for: record) }
        do throws(BootError) {
            return .stored(try outside.boot.store(record))
        } catch {
            recordUnknown = true
            let present = try step { () throws(BootError) in try outside.boot.load() }
            recordUnknown = false
            var wanted = record
            wanted.revision = present.revision
            if present == wanted { return .stored(present) }
            throw Failure(error)
        }
    }

    /// Hashes the running slot set and compares it with the release that the record names.
    func measure() throws(Failure) {
        let running = machine.running
        try checkStillTrusted(running)
        guard let manifest = machine.record[running].manifest, let head = keptHead(running),
            head.release.digest == manifest
        else { throw Failure(EngineError.wrongImage("the release's head is not kept on this device")) }
        try measure(head, in: running)
    }

    /// Throws when a newer trust root revoked the keys of the running release or denies it: a trial must not confirm
    /// such a release. One that is confirmed already runs on, because nothing else may be there to run.
    private func checkStillTrusted(_ set: SlotSet) throws(Failure) {
        do throws(Failure) {
            _ = try verifyKeptHead(set)
        } catch {
            if error.code == "trust.revoked-key" || error.code == "trust.denied-release" { throw error }
        }
    }

    private func measure(_ head: BundleHead, in set: SlotSet) throws(Failure) {
        let buffer = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) }
        for table in head.tables {
            let slot = try step { () throws(SlotError) in try outside.slots.slot(table.component.target, set) }
            let found = try step { () throws(SlotError) -> WindowComparison in
                try slot.openForReading(table.component)
                defer { slot.close() }
                return try SlotScan(slot: slot, table: table, buffer: buffer).isWhole()
            }
            if found == .differs {
                throw Failure(
                    EngineError.wrongImage(
                        "\(slot.displayName) differs from release \(head.release.manifest.releaseID)"))
            }
        }
    }

    private func checkHealth() throws(Failure) {
        notify()
        let head = keptHead(machine.running)
        try outside.health.run(
            slot: machine.running, release: head?.release.manifest.releaseID ?? "",
            attempt: machine.record.attempt, deadline: head?.release.manifest.healthDeadline ?? 300)
    }

    private func reboot() throws(Failure) {
        // After a rollback the reboot is part of coming back; an armed release follows its own policy.
        // Its head may be an earlier process's.
        let manual =
            machine.phase == .armed && keptHead(machine.running.other)?.release.manifest.reboot == .manual
        if manual { return }
        switch try outside.power.reboot() {
        case .started: rebooting = true
        case .byHand: break
        }
    }

    private func finish(_ phase: Phase, _ failure: Failure?, _ reason: String) throws(Failure) {
        closeTargets()
        pause = nil
        guard let attempt = machine.attempt, !attempt.id.isEmpty else { return }
        state.latch(
            AttemptResult(attempt, phase, failure: failure ?? Self.failure(of: machine.record, phase), reason: reason))
        if state.attempt?.id == attempt.id {
            state.attempt?.phase = phase
            state.attempt?.pause = nil
        }
        // The record is confirmed already: what it says is what the store may rise to.
        if phase == .confirmed, machine.record.phase == .confirmed {
            noteSequenceRoot()
            raiseFloor(repairs: true)
        }
        try saveState()
        try step { () throws(SystemError) in try outside.state.setCancelRequest(false) }
        try dropHold(of: attempt.id)
        notify()
    }

    private static func failure(of record: BootRecord, _ phase: Phase) -> Failure? {
        phase == .rolledBack ? failure(of: record.reason) : nil
    }

    /// Closes what the attempt in work holds open.
    func closeTargets() {
        for slot in targets { slot.close() }
        for slot in bases { slot?.close() }
        targets = []
        bases = []
        forms = []
        blockLists = []
        recorders = []
        armCancel(nil)
        source = nil
        held = []
    }

    // MARK: planning

    /// Head, admission, plan. Changes nothing on a slot or in the boot record.
    private func makePlan() throws(Failure) -> UpdateMachine.Event {
        guard var attempt = machine.attempt else { throw Failure(EngineError.interrupted) }
        try checkCanceled()
        try checkSpace()
        if let rotation = outside.rotation { take(rotation.newest(for: attempt.location)) }
        let source = try step { () throws(TransferError) in
            try outside.sources.openBundle(
                attempt.location, alternatives: attempt.alternatives, isPinned: attempt.wanted != nil)
        }
        self.source = source
        armCancel(source)
        let head = try fetchHead(source, wanted: attempt.wanted)
        let manifest = head.release.manifest
        // Whoever signed it lived then; whether it may be installed is another question.
        clock.learn(manifest.created)
        let resumes =
            attempt.manifest == head.release.digest && machine.record.phase == .writing
            && machine.record.attempt == attempt.id
        let sequence = sequenceRule()
        let admission = Admission(
            identity: outside.identity, record: machine.record, running: machine.running, floors: floors,
            sequence: sequence, now: now(), clock: clock.judge(outside.time.realSeconds()), resumes: resumes)
        let permit = try admit(head.release, attempt, admission)
        refreshChannel(beside: attempt.location)
        try step { () throws(EngineError) in
            try checkNewest(head.release, isRepair: permit != nil || admission.isRepair(head.release))
        }
        // Its time has come, or it would not have been admitted.
        if let notBefore = manifest.notBefore { clock.learn(notBefore) }
        if !resumes { attempt.progress = [] }
        attempt.manifest = head.release.digest
        attempt.releaseID = manifest.releaseID
        attempt.version = manifest.version
        attempt.target = machine.running.other.letter
        attempt.imageBytes = manifest.imageBytes
        self.head = head
        if machine.record[machine.running].manifest == head.release.digest, machine.record.active == machine.running {
            if runningHolds(head) {
                attempt.counters.fetched += source.bytesReceived
                settleCost(&attempt)
                return .alreadyRunning(attempt)
            }
        }
        try planSlots(head, &attempt, from: source, resumes: resumes)
        attempt.counters.fetched += source.bytesReceived
        attempt.counters.forms += formsBefore
        if let plan {
            let before = attempt.counters.fetched
            try step { () throws(EngineError) in try checkBudget(plan, fetched: before, from: source) }
        }
        settleCost(&attempt)
        machine.note(attempt)
        try keep(head)
        try redeem(permit, attempt)
        return .planned(
            attempt, sequence: manifest.sequence, securityVersion: manifest.securityVersion,
            resetSequence: sequence.isReset ? sequence.accepted : nil)
    }

    /// A newer trust root holds from now on.
    private func take(_ newer: TrustStore) {
        trust = newer
        clock.vouch(newer.root.created)
        floors.root = newer.root.floor
    }

    /// The head from the first place that has the right one: a place with another bundle under this name, or with none,
    /// does not keep the device from it.
    private func fetchHead(_ source: any BundleSource, wanted: Digest?) throws(Failure) -> BundleHead {
        var isRepeated = false
        while true {
            do throws(Failure) {
                let head = try BundleHead.fetch(source, trust: trust)
                if let wanted, wanted != head.release.digest {
                    throw Failure(EngineError.otherManifest(wanted: wanted, found: head.release.digest))
                }
                return head
            } catch {
                // A canceled transfer is the attempt's cancellation.
                try checkCanceled()
                let isForeign = error.category == .trust || error.code == Self.otherManifestCode
                if !isForeign { throw error }
                switch source.reject(0..<BundleHead.firstRequest) {
                case .elsewhere: break
                // Once more, past a cache that may be old or damaged.
                case .afresh where !isRepeated: isRepeated = true
                case .afresh, .nowhereElse: throw error
                }
            }
        }
    }

    private static let otherManifestCode = EngineError.otherManifest(
        wanted: SHA256.digest(of: []), found: SHA256.digest(of: [])
    ).code

    private func runningHolds(_ head: BundleHead) -> Bool {
        do throws(Failure) {
            try measure(head, in: machine.running)
            return true
        } catch {
            return false
        }
    }

    /// Keeps the head for the trial's measurement and for names, unless it is there already.
    private func keep(_ head: BundleHead) throws(Failure) {
        try step { () throws(SystemError) in
            let set = machine.running.other
            if try outside.state.readHead(set) != head.bytes { try outside.state.writeHead(set, head.bytes) }
        }
    }

    private func planSlots(
        _ head: BundleHead, _ attempt: inout Attempt, from source: any BundleSource, resumes: Bool
    ) throws(Failure) {
        targets = []
        held = []
        whole = []
        for table in head.tables {
            let slot = try step { () throws(SlotError) in
                try outside.slots.slot(table.component.target, machine.running.other)
            }
            try step { () throws(SlotError) in try slot.check(table.component) }
            targets.append(slot)
        }
        let buffer = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) }
        for (index, table) in head.tables.enumerated() {
            let claimed = attempt.progress.first { $0.component == table.component.id }
            let present = try step { () throws(SlotError) in try targets[index].holds(table.component) }
            whole.append(present)
            held.append(try findHeld(targets[index], table, present, resumes ? claimed : nil, buffer))
        }
        attempt.progress = held
        try chooseForms(head, from: source)
        let list = FetchList(head.tables, held: heldOrInForms, inOrderOfBundle: source.isSequential)
        var items: [UpdatePlan.Item] = []
        for (index, table) in head.tables.enumerated() {
            items.append(
                Self.item(
                    table, slot: targets[index].displayName, held: held[index], list: list, form: forms[index],
                    blocks: blockLists[index], number: index))
        }
        plan = UpdatePlan(items: items)
        attempt.counters.reused = plan?.reusedBytes ?? 0
        handledBytes = attempt.counters.reused
    }

    private func findHeld(
        _ slot: any Slot, _ table: VerifiedChunkTable, _ present: Bool, _ claimed: WindowBitmap?,
        _ buffer: AlignedBuffer
    ) throws(Failure) -> WindowBitmap {
        try step { () throws(SlotError) in
            if present {
                var all = WindowBitmap(component: table.component.id, count: table.table.windows.count)
                for index in 0..<all.count { all.insert(index) }
                return all
            }
            guard let claimed else {
                return WindowBitmap(component: table.component.id, count: table.table.windows.count)
            }
            try slot.open(table.component)
            defer { slot.close() }
            return try SlotScan(slot: slot, table: table, buffer: buffer).held(claimed: claimed)
        }
    }

    private static func item(
        _ table: VerifiedChunkTable, slot: String, held: WindowBitmap, list: FetchList, form: GroupList?,
        blocks: BlockList?, number: Int
    ) -> UpdatePlan.Item {
        var reused: UInt64 = 0
        var missing = 0
        for index in table.table.windows.indices {
            if held.contains(index) { reused += UInt64(table.table.plainLength(of: index)) } else { missing += 1 }
        }
        var fetch = form?.fetchBytes ?? blocks?.fetchBytes ?? 0
        for job in list.jobs where job.targets[0].component == number { fetch += UInt64(job.length) }
        return UpdatePlan.Item(
            component: table.component.id, slot: slot, imageBytes: table.component.size, reusedBytes: reused,
            form: form?.form ?? blocks?.form ?? .windows, fetchBytes: fetch, windowsToDo: missing,
            windows: table.table.windows.count)
    }
}
