internal import BootControl
internal import BundleFormat
internal import Floors
internal import Platform
internal import Slots
internal import StrictJSON
internal import Transfer
internal import Trust
internal import UpdateEngine

/// One start of a sample device: a boot loader, then the shipped engine over simulated media. Everything that happens
/// to the outside is written to a log.
final class SampleDevice: @unchecked Sendable {
    /// How a start ended.
    enum End: Sendable {
        /// The engine asked for a reboot.
        case rebooted
        /// The machine reset itself: panic or watchdog.
        case reset
        /// Nothing is left to do now.
        case quiet
        /// A step failed with this code; the next start goes on.
        case failed(String)
    }

    let scenario: SampleScenario
    let pool: ContentPool
    let bug: SeededBug?
    let fault: SampleFault?
    let monitor = Monitor()
    var facts: SampleFacts
    var running = SlotSet.a
    private(set) var log: [SampleOperation] = []
    private var cells: [Content]
    /// What is on the media, for bugs and faults that keep the two apart.
    private var durable: [Content]
    private var cached: Set<Int> = []
    private(set) var writes = 0
    private(set) var flushes = 0
    private(set) var pieces = 0
    /// Why the last step failed, where it did.
    private(set) var failure: Failure?
    /// The first rule of each kind that this run broke.
    private(set) var violations: [String] = []
    /// Media whose flush waits (a seeded bug).
    private var postponed: Set<Int> = []
    /// From a slot's flush to the journal's write that follows, no window is written: one order of all writes, which
    /// the engine's threads alone do not promise.
    private var isGateShut = false
    var rebooting = false
    private(set) var hung = false
    /// Operations before this number were the boot loader's.
    private(set) var bootOperations = 0
    /// Windows that the journal claimed when this run began, by component, and of which release (a seeded bug).
    private var claimed: (claims: [String: String], windows: [[WindowBytes]])?
    private var attempts: [String]

    init(
        _ scenario: SampleScenario, _ pool: ContentPool, from state: SampleState, bug: SeededBug?, fault: SampleFault?
    ) {
        self.scenario = scenario
        self.pool = pool
        self.bug = bug
        self.fault = fault
        facts = state.facts
        cells = state.cells.map { pool[$0] }
        durable = cells
        attempts = scenario.stages.indices.map { "attempt-\($0)" }
        if fault != nil { facts.faults -= 1 }
    }

    var layout: SampleLayout { scenario.layout }

    // MARK: media

    func content(_ cell: Int) -> [UInt8] { monitor.locked { cells[cell].bytes } }
    func isTorn(_ cell: Int) -> Bool { monitor.locked { cells[cell].number == ContentPool.torn } }

    /// What stands on the medium behind every cache.
    func durableContent(_ cell: Int) -> [UInt8] { monitor.locked { durable[cell].bytes } }

    /// One write. `through` makes it durable by itself.
    func write(_ cell: Int, _ bytes: [UInt8], through: Bool = false, _ subject: String) throws(SystemError) {
        try write(cell, Content(bytes), through: through, subject)
    }

    func write(_ cell: Int, _ content: Content, through: Bool = false, _ subject: String) throws(SystemError) {
        var failed: Int32 = 0
        monitor.locked {
            writes += 1
            if hung { return }
            switch fault {
            case .diskFull(let first) where writes >= first && layout.isFile(cell): failed = SystemError.noSpace
            case .writeFails(writes, let number): failed = number
            case .writeLost(writes):
                // Whoever reads from a cache sees it all the same.
                if bug == .readBackFromCache { cells[cell] = content }
            case .writeMisdirected(writes):
                let other = layout.medium(cell + 1) == layout.medium(cell) ? cell + 1 : cell - 1
                // One that hits exactly the last whole copy of the record is beyond what two copies can bear.
                if cell == layout.record(0) || cell == layout.record(1) { break }
                if bug == .readBackFromCache { cells[cell] = content }
                if layout.medium(other) == layout.medium(cell) { put(other, content, through) }
            default: put(cell, content, through)
            }
        }
        if failed != 0 { throw SystemError(number: failed, operation: "write", subject: subject) }
    }

    /// A window's content; that of the pool, so that no state has it twice.
    func window(_ bytes: [UInt8]) -> Content {
        let digest = SHA256.digest(of: bytes)
        return pool.known(digest) ?? Content(bytes, digest: digest)
    }

    private func put(_ cell: Int, _ content: Content, _ through: Bool) {
        cells[cell] = content
        if through {
            durable[cell] = content
            log.append(.writeThrough(cell: cell, content))
        } else {
            cached.insert(cell)
            log.append(.write(cell: cell, content))
        }
    }

    func flush(_ medium: Int, _ subject: String) throws(SystemError) {
        var failed = false
        monitor.locked {
            flushes += 1
            if hung || scenario.fakesFlushes { return }
            if case .flushFails(flushes) = fault {
                failed = bug != .flushErrorIgnored
                // The kernel marks the pages clean after a failed fsync: what was pending is lost.
                log.append(.facts(facts))
                drop(medium)
                return
            }
            for cell in cached where layout.medium(cell) == medium { durable[cell] = cells[cell] }
            cached = cached.filter { layout.medium($0) != medium }
            log.append(.flush(medium: medium))
        }
        if failed { throw SystemError(number: SystemError.inputOutput, operation: "fdatasync", subject: subject) }
    }

    private func drop(_ medium: Int) {
        for cell in cached where layout.medium(cell) == medium {
            log.append(.write(cell: cell, durable[cell]))
            if bug != .flushErrorIgnored { cells[cell] = durable[cell] }
        }
        cached = cached.filter { layout.medium($0) != medium }
    }

    func shutGate() { monitor.locked { isGateShut = true } }
    func openGate() {
        monitor.locked {
            isGateShut = false
            monitor.signal()
        }
    }
    func passGate() { monitor.locked { while isGateShut { monitor.wait() } } }

    /// What becomes of the next piece of the network.
    enum Piece { case whole, broken, corrupted, swapped }

    func piece() -> Piece {
        monitor.locked {
            pieces += 1
            switch fault {
            case .networkBreaks(let limit) where pieces > limit: return .broken
            case .networkCorrupts(let number) where pieces == number + 1: return .corrupted
            case .networkSwaps(let first) where pieces > first: return .swapped
            default: return .whole
            }
        }
    }

    func note(_ change: (inout SampleFacts) -> Void) {
        monitor.locked {
            if hung { return }
            var next = facts
            change(&next)
            if next != facts {
                facts = next
                log.append(.facts(next))
            }
        }
    }

    func violate(_ text: String) {
        monitor.locked {
            if !violations.contains(where: { $0.prefix(2) == text.prefix(2) }) { violations.append(text) }
        }
    }

    func hang() { monitor.locked { hung = true } }

    // MARK: what seeded bugs need

    func postpone(_ medium: Int) { monitor.locked { _ = postponed.insert(medium) } }
    func flushPostponed() throws(SystemError) {
        let media = monitor.locked {
            defer { postponed = [] }
            return postponed.sorted()
        }
        for medium in media { try flush(medium, "a slot") }
    }
    /// The engine stored a record.
    func stored(_ record: BootRecord) throws(SystemError) {
        if bug == .recordBeforeData, record.phase == .trial { try flushPostponed() }
    }

    /// A window that the journal claims, without a look at the medium.
    func claimedWindow(_ set: SlotSet, _ component: Int, _ index: Int) -> [UInt8]? {
        guard bug == .blindResume, set != running, let claimed else { return nil }
        guard let hex = claimed.claims[layout.components[component].text],
            let windows = WindowBitmap(
                component: layout.components[component], count: layout.counts[component], hex: hex),
            windows.contains(index)
        else { return nil }
        return claimed.windows[component][index].bytes
    }

    private func loadClaims() {
        let slots = [0, 1].compactMap { JournalView.parse(content(layout.journal($0))) }
        guard let newest = slots.max(by: { $0.sequence < $1.sequence })?.value["attempt"],
            let digest = newest["manifest"]?.text.flatMap({ Digest(hex: $0) }),
            let release = scenario.release(digest)
        else { return }
        var claims: [String: String] = [:]
        for entry in newest["progress"]?.elements ?? [] {
            if let component = entry["component"]?.text { claims[component] = entry["flushed"]?.text ?? "" }
        }
        claimed = (claims, release.windows)
    }

    // MARK: rules that are checked while it happens

    /// S5: what reaches a slot is a window of the release that the record says is being written.
    func checkWindow(_ content: Content, _ component: Int, _ index: Int, _ set: SlotSet) {
        guard bug == nil, let record = try? SampleRecordHome(self).load(), record[set].state == .writing,
            let release = record[set].manifest.flatMap({ scenario.release($0) })
        else {
            if bug == nil { violate("S3: a window is written to \(set.letter), which the record does not say") }
            return
        }
        let windows = release.windows[component]
        if index >= windows.count || windows[index].digest != content.digest {
            violate("S5: window \(index) of \(set.letter) is not what release \(release.name) has there")
        }
    }

    /// S1 and S8: what the boot loader started is what it made durable.
    private func checkStart() {
        if facts.resident != nil { return }
        let cells = monitor.locked { durable.map { pool.number(of: $0) } }
        guard let record = SampleInvariants.newest(cells, layout, pool), record.active != running else { return }
        violate("S8: slot set \(running.letter) is started, the record on the medium selects \(record.active.letter)")
    }

    // MARK: a start

    /// From power-on, or from the process's start, to the end of what is to do.
    func run() -> End {
        do throws(Failure) {
            if let resident = facts.resident {
                running = resident
            } else if try !boot() {
                return .reset
            }
            bootOperations = log.count
            checkStart()
            if bug == .blindResume { loadClaims() }
            if bug == .reportStored, facts.resident == nil {
                let text = String(decoding: content(layout.extra), as: UTF8.self)
                if !text.isEmpty { tell([(text, .confirmed)]) }
            }
            return try work()
        } catch {
            failure = error
            return hung ? .reset : rebooting ? .rebooted : .failed(error.code)
        }
    }

    /// The boot loader; false when the kernel panicked.
    private func boot() throws(Failure) -> Bool {
        let home = SampleRecordHome(self)
        let record: BootRecord
        do throws(BootError) { record = try home.load() } catch { throw Failure(error) }
        let choice = BootLoaderModel.choose(record)
        note { facts in
            facts.boot = 1 - facts.boot
            if choice.write?.phase == .trial { facts.trialBoots = min(facts.trialBoots + 1, scenario.tries) }
        }
        if let next = choice.write { try count(next, from: record, home) }
        running = choice.slot
        let release = record[running].manifest.flatMap { scenario.release($0) }
        let onTrial = record.phase == .trial && running == record.active
        return !(onTrial && release?.behaviour == .panics)
    }

    private func count(_ next: BootRecord, from record: BootRecord, _ home: SampleRecordHome) throws(Failure) {
        if bug == .triesNotCounted, next.phase == .trial { return }
        if bug == .fallbackNotRecorded, next.phase == .fellBack { return }
        home.lazy = bug == .triesInMemory
        do throws(BootError) { _ = try home.store(next) } catch {
            // A count that cannot be stored starts nothing; the watchdog tries again.
            throw Failure(error)
        }
    }

    private func work() throws(Failure) -> End {
        let record = SampleRecordHome(self, byEngine: true)
        var slot = running
        if bug == .wrongSlotConfirms, let found = try? record.load() { slot = found.active }
        let epoch = scenario.epochBytes
        let engine = try Engine(
            EngineSurroundings(
                identity: scenario.identity, trust: scenario.trust, boot: record,
                running: RunningSlot(slot: slot, bootID: "boot-\(facts.boot)"),
                slots: SampleSlots(self), sources: SampleSources(self), state: SampleStateStore(self),
                power: SamplePower(self), health: SampleHealth(self), time: SampleTime(now: scenario.now),
                random: SampleRandom(), tries: scenario.tries,
                floor: scenario.hasFloorCounter ? SampleFloor(self) : nil,
                pace: WritePace(flushBytes: epoch, holdBytes: epoch, workers: 1), peakResidentKiB: { 0 }))
        do throws(Failure) {
            try engine.recover()
            tell(engine)
            if !rebooting && !hung {
                if engine.canResume { try engine.resume() }
            }
            if !rebooting && !hung { try install(engine) }
        } catch { failure = error }
        tell(engine)
        if hung { return .reset }
        if rebooting { return .rebooted }
        return failure.map { .failed($0.code) } ?? .quiet
    }

    /// The twin's document, delivered again at every start; and once more what was wanted before.
    private func install(_ engine: Engine) throws(Failure) {
        if scenario.redelivers, facts.stage > 0, facts.told[facts.stage - 1] != .nothing {
            do throws(Failure) { try engine.install("sample:\(facts.stage - 1)", id: attempts[facts.stage - 1]) } catch
            {
                // Its end was told already, and is told again.
            }
            if rebooting || hung { return }
        }
        try engine.install("sample:\(facts.stage)", id: attempts[facts.stage])
    }

    /// Reports what the engine says now.
    func tell(_ engine: Engine) {
        if hung { return }
        tell(engine.status.results.map { ($0.attempt, $0.phase) })
    }

    func tell(_ results: [(attempt: String, phase: Phase)]) {
        for result in results {
            guard let stage = attempts.firstIndex(of: result.attempt) else { continue }
            let told: SampleFacts.Told
            switch result.phase {
            case .confirmed: told = .confirmed
            case .rolledBack: told = .rolledBack
            case .canceled: told = .canceled
            default: told = .failed
            }
            let before = facts.told[stage]
            if before != .nothing, before != told {
                violate("S6: attempt \(stage) was told \(before) and is now told \(told)")
            }
            if told == .confirmed, before == .nothing { checkClaim(stage) }
            note { $0.told[stage] = told }
        }
    }

    /// What is told to be confirmed must be durably so at this instant.
    private func checkClaim(_ stage: Int) {
        let cells = monitor.locked { durable.map { pool.number(of: $0) } }
        guard let record = SampleInvariants.newest(cells, layout, pool) else { return }
        if record.attempt == attempts[stage] && record.phase != .confirmed {
            violate("S6: attempt \(stage) is told confirmed, the record on the medium says \(record.phase)")
        }
        if scenario.stages[stage].behaviour != .good {
            violate("S6: attempt \(stage) is told confirmed, and its release does not work")
        }
    }
}
