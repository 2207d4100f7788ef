internal import BootControl
internal import BundleFormat
internal import Floors
internal import Payload
internal import Platform
internal import Slots
internal import StrictJSON
internal import Transfer
internal import UpdateEngine

/// The boot record in two sectors, written as `SimulatedBootHome` does: over the older copy, flushed, read back.
final class SampleRecordHome: BootHome, @unchecked Sendable {
    private let device: SampleDevice
    let displayName = "the sample's boot record"
    /// Leaves the flush to somebody else (a seeded bug).
    var lazy = false
    private let byEngine: Bool

    init(_ device: SampleDevice, byEngine: Bool = false) {
        self.device = device
        self.byEngine = byEngine
    }

    private var places: [Int] { device.bug == .singleCopy ? [0] : [0, 1] }

    private func newest() throws(BootError) -> BootRecord.Sector {
        var found: BootRecord.Sector?
        for place in places {
            guard let sector = try? BootRecord.Sector(decoding: device.content(device.layout.record(place))),
                Int(sector.copy) == place
            else { continue }
            guard let other = found else {
                found = sector
                continue
            }
            let isNewer = sector.record.revision > other.record.revision
            if isNewer != (device.bug == .olderCopyRead) { found = sector }
        }
        guard let found else { throw .noRecord(home: displayName) }
        return found
    }

    func load() throws(BootError) -> BootRecord {
        var record = try newest().record
        let second = device.content(device.layout.extra)
        if device.bug == .twoTruths, let set = second.first.flatMap({ SlotSet(rawValue: $0) }) { record.active = set }
        return record
    }

    func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let former = try newest()
        var next = record
        next.revision = former.record.revision + 1
        let stored = byEngine ? try seeded(next, former.record) : next
        let older = device.bug == .newestCopyOverwritten ? former.copy : 1 - former.copy
        let place = device.bug == .singleCopy ? 0 : Int(older)
        let sector = BootRecord.Sector(record: stored, copy: UInt8(place), parent: nil)
        let bytes: [UInt8]
        do { bytes = try sector.encoded() } catch { throw .invalid(home: displayName, why: error.context) }
        let cell = device.layout.record(place)
        do throws(SystemError) {
            if device.bug == .twoTruths {
                try device.write(device.layout.extra, [record.active.rawValue], through: true, displayName)
            }
            try device.write(cell, bytes, displayName)
            if !lazy && device.bug != .recordNotFlushed { try device.flush(device.layout.medium(cell), displayName) }
            if byEngine { try device.stored(stored) }
        } catch { throw .system(home: displayName, error) }
        if device.content(cell) != bytes && !device.hung { throw .readBackMismatch(home: displayName) }
        return next
    }

    /// What a bug makes of a record that the engine stores.
    private func seeded(_ record: BootRecord, _ former: BootRecord) throws(BootError) -> BootRecord {
        var next = record
        let arms = record.phase == .trial && former.phase == .writing
        if record.phase == .confirmed, former.phase == .trial, device.running != record.active {
            device.violate("S8: slot set \(record.active.letter) is confirmed from slot set \(device.running.letter)")
        }
        // Its starts are counted anew; until the record is there nothing looks at the count.
        if arms { device.note { $0.trialBoots = 0 } }
        switch device.bug {
        case .armedFirst where record.phase == .writing: next = record.arming(tries: device.scenario.tries)
        case .goodAtOnce where arms:
            next.phase = .confirmed
            next[next.active].state = .good
        case .recordFloorAtArm where arms: next.floor = max(next.floor, next[next.active].securityVersion)
        case .counterRaisedAtArm where arms: try raise(next[next.active].securityVersion)
        case .counterRaisedFirst where record.phase == .writing: try raise(next[next.active.other].securityVersion)
        case .triesRefilled where record.phase == .trial && !arms: next.triesLeft = device.scenario.tries
        case .failedStaysGood where record.phase == .fellBack: next[next.active.other].state = .good
        case .reportStored where arms:
            do throws(SystemError) {
                try device.write(device.layout.extra, Array(record.attempt.utf8), through: true, displayName)
            } catch { throw .system(home: displayName, error) }
        default: break
        }
        return next
    }

    private func raise(_ version: UInt32) throws(BootError) {
        do throws(FloorError) { _ = try SampleFloor(device).raise(to: version) } catch {
            throw .invalid(home: displayName, why: error.context)
        }
    }
}

/// Slots of one window a cell.
final class SampleSlots: SlotProvider, @unchecked Sendable {
    private let device: SampleDevice
    init(_ device: SampleDevice) { self.device = device }

    func slot(_ target: Identifier, _ set: SlotSet) throws(SlotError) -> any Slot {
        guard let component = device.layout.targets.firstIndex(of: target) else { throw .missing(slot: target.text) }
        return SampleSlot(device, set, component)
    }
}

final class SampleSlot: Slot, @unchecked Sendable {
    let displayName: String
    private(set) var bytesWritten: UInt64 = 0
    private let device: SampleDevice
    private var set: SlotSet
    private let component: Int
    private var image: Component?

    init(_ device: SampleDevice, _ set: SlotSet, _ component: Int) {
        self.device = device
        self.set = set
        self.component = component
        displayName = "\(device.layout.targets[component]) \(set.letter)"
    }

    private var medium: Int { device.layout.medium(device.layout.window(set, component, 0)) }

    func check(_ component: Component) throws(SlotError) {
        let capacity = device.layout.capacities[self.component]
        if component.size > capacity {
            throw .tooSmall(slot: displayName, capacity: capacity, needed: component.size)
        }
    }
    func open(_ component: Component) throws(SlotError) {
        image = component
        if device.bug == .runningSlotWritten { set = device.running }
    }
    func openForReading(_ component: Component) throws(SlotError) { image = component }
    func holds(_ component: Component) throws(SlotError) -> Bool { false }
    func publish(_ component: Component, release: String) throws(SlotError) {}
    func close() { image = nil }

    private var windowSize: Int { device.layout.windowSizes[component] }

    func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer) throws(SlotError) -> Int {
        var done = 0
        while done < count {
            let position = Int(offset) + done
            let (index, start) = (position / windowSize, position % windowSize)
            guard index < device.layout.counts[component] else { break }
            var bytes = device.content(device.layout.window(set, component, index))
            if let claimed = device.claimedWindow(set, component, index) { bytes = claimed }
            let wanted = min(count - done, windowSize - start)
            let there = max(0, min(wanted, bytes.count - start))
            if there > 0 {
                let piece = bytes.rawBytes
                buffer.copy(piece.extracting(start..<(start + there)), at: done)
            }
            // What a torn write or an older image leaves is shorter here than a window.
            if there < wanted { buffer.zero(from: done + there, to: done + wanted) }
            done += wanted
        }
        return done
    }

    func write(_ window: borrowing VerifiedWindow) throws(SlotError) {
        device.passGate()
        var bytes = [UInt8](copying: window.buffer.bytes.extracting(0..<window.length))
        if bytes.count < windowSize { bytes += [UInt8](repeating: 0, count: windowSize - bytes.count) }
        if set == device.running {
            device.violate("S2: window \(window.index) is written to the running \(displayName)")
        }
        let content = device.window(bytes)
        device.checkWindow(content, component, window.index, set)
        try system { () throws(SystemError) in
            try device.write(device.layout.window(set, component, window.index), content, displayName)
        }
        bytesWritten += UInt64(bytes.count)
    }

    func flush() throws(SlotError) {
        device.shutGate()
        do throws(SlotError) { try settle() } catch {
            device.openGate()
            throw error
        }
    }

    private func settle() throws(SlotError) {
        switch device.bug {
        case .dataNotFlushed: return
        case .recordBeforeData, .blindResume: device.postpone(medium)
        default: try system { () throws(SystemError) in try device.flush(medium, displayName) }
        }
    }

    func seal(_ component: Component) throws(SlotError) {
        let zeros = [UInt8](repeating: 0, count: SampleRelease.windowSize)
        let tail = device.layout.tail(set, self.component)
        if device.bug != .tailLeft && device.content(tail) != zeros {
            try system { () throws(SystemError) in try device.write(tail, zeros, displayName) }
        }
        try settle()
        if device.bug != .tailLeft && device.content(tail) != zeros { throw .readBackMismatch(slot: displayName) }
    }

    private func system(_ body: () throws(SystemError) -> Void) throws(SlotError) {
        do throws(SystemError) { try body() } catch { throw .system(slot: displayName, error) }
    }
}

/// The journal in place and flushed, heads renamed into place and flushed: as `kedged` keeps them.
final class SampleStateStore: StateStore, @unchecked Sendable {
    private let device: SampleDevice
    init(_ device: SampleDevice) { self.device = device }
    private var layout: SampleLayout { device.layout }

    func readJournal(slot: Int) throws(SystemError) -> [UInt8]? {
        let bytes = device.content(layout.journal(slot))
        return bytes.isEmpty ? nil : bytes
    }
    func writeJournal(slot: Int, _ bytes: [UInt8]) throws(SystemError) {
        defer { device.openGate() }
        try device.write(layout.journal(slot), bytes, "journal")
        try device.flush(layout.medium(layout.journal(slot)), "journal")
        if device.bug == .blindResume { try device.flushPostponed() }
        // The engine's observer hears of a result once the journal has it.
        let results = JournalView.parse(bytes)?.value["results"]?.elements ?? []
        device.tell(
            results.compactMap { result in
                guard let attempt = result["attempt"]?.text,
                    let phase = result["phase"]?.text.flatMap({ Phase(rawValue: $0) })
                else { return nil }
                return (attempt, phase)
            })
    }
    func readHead(_ set: SlotSet) throws(SystemError) -> [UInt8]? {
        let bytes = device.content(layout.head(set))
        return bytes.isEmpty ? nil : bytes
    }
    func writeHead(_ set: SlotSet, _ bytes: [UInt8]) throws(SystemError) {
        try device.write(layout.head(set), bytes, through: device.bug != .headNotFlushed, "head")
    }
    // Bundles of the sample have no form that would use them, and losing them is allowed.
    func readHints(
        _ target: Identifier, _ set: SlotSet, at offset: UInt64, count: Int
    ) throws(SystemError) -> [UInt8] { [] }
    func writeHints(
        _ target: Identifier, _ set: SlotSet, _ bytes: [UInt8], at offset: UInt64
    ) throws(SystemError) {}
    func cancelRequested() -> Bool { !device.content(layout.cancel).isEmpty }
    func setCancelRequest(_ present: Bool) throws(SystemError) {
        if present != cancelRequested() { try device.write(layout.cancel, present ? [1] : [], "cancel request") }
    }
    // Nobody asks these devices to pause.
    func heldAttempt() -> String? { nil }
    func setHeldAttempt(_ attempt: String?) throws(SystemError) {}
}

/// The bundle of a stage, in pieces.
final class SampleSources: SourceOpener, @unchecked Sendable {
    private let device: SampleDevice
    init(_ device: SampleDevice) { self.device = device }

    func open(_ location: String) throws(TransferError) -> any BundleSource {
        guard let stage = Int(location.dropFirst("sample:".count)), device.scenario.stages.indices.contains(stage)
        else { throw .location(reason: "there is no such stage") }
        return SampleSource(device, device.scenario.stages[stage])
    }
}

final class SampleSource: BundleSource, @unchecked Sendable {
    let displayName = "the sample network"
    private let device: SampleDevice
    private let release: SampleRelease
    /// Bytes that the server says it has.
    private let length: Int
    private let monitor = Monitor()
    private var received: UInt64 = 0
    private var canceled = false

    init(_ device: SampleDevice, _ release: SampleRelease) {
        self.device = device
        self.release = release
        if case .networkTruncates(let pieces) = device.fault {
            length = min(release.bundle.count, pieces * device.scenario.pieceSize)
        } else {
            length = release.bundle.count
        }
    }

    var totalLength: UInt64? { UInt64(length) }
    var bytesReceived: UInt64 { monitor.locked { received } }
    func cancel() { monitor.locked { canceled = true } }
    // As over HTTP: past the caches between.
    func reject(_ range: Range<UInt64>) -> SecondChance { .afresh }

    func read(_ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void) throws(TransferError) {
        if range.upperBound > UInt64(length) {
            throw .outOfRange(source: displayName, end: range.upperBound, length: UInt64(length))
        }
        var offset = Int(range.lowerBound)
        while offset < Int(range.upperBound) {
            if monitor.locked({ canceled }) { throw .canceled }
            let fate = device.piece()
            if fate == .broken { throw .network(.interrupted, source: displayName, detail: "the network broke") }
            let count = min(device.scenario.pieceSize, Int(range.upperBound) - offset)
            monitor.locked { received += UInt64(count) }
            var piece: [UInt8]
            do throws(SystemError) { piece = try release.bundle.read(offset..<(offset + count)) } catch {
                throw .system(error)
            }
            switch fate {
            case .corrupted: piece[count / 2] ^= 0x20
            case .swapped: piece = SampleRelease.noise(count, seed: 77)
            default: break
            }
            try deliver(piece.rawBytes)
            offset += count
        }
    }

    func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        // The head alone: the windows are then fetched one by one, and the network can break between them.
        let head = UInt64(min(length, release.head.count))
        try read(range.lowerBound..<min(range.upperBound, max(range.lowerBound, head)), deliver: deliver)
    }
}

final class SamplePower: PowerControl, @unchecked Sendable {
    private let device: SampleDevice
    init(_ device: SampleDevice) { self.device = device }
    func reboot() throws(Failure) -> RebootOutcome {
        device.rebooting = true
        return .started
    }
}

final class SampleHealth: HealthCheck, @unchecked Sendable {
    private let device: SampleDevice
    init(_ device: SampleDevice) { self.device = device }
    func run(slot: SlotSet, release: String, attempt: String, deadline: UInt32) throws(Failure) {
        switch device.scenario.all.first(where: { $0.name == release })?.behaviour {
        case .unhealthy where device.bug != .healthIgnored:
            throw Failure(
                code: "health.failed", category: .health, context: "the sample is not healthy", remedy: "Fix it")
        case .hangs:
            // The watchdog resets the machine: nothing that comes after this happens.
            device.hang()
            throw Failure(code: "health.failed", category: .health, context: "it hangs", remedy: "Fix it")
        default: return
        }
    }
}

/// A counter that is durable when the call comes back, as a TPM's.
final class SampleFloor: FloorStore, @unchecked Sendable {
    private let device: SampleDevice
    let kind = FloorKind.tpm
    let displayName = "the sample's counter"
    init(_ device: SampleDevice) { self.device = device }

    /// A floor as the counter's cell has it, most significant byte first.
    static func bytes(_ floor: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: floor >> (24 - 8 * $0)) } }
    static func value(_ bytes: [UInt8]) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }

    func read() throws(FloorError) -> UInt32 { Self.value(device.content(device.layout.floor)) }
    func raise(to floor: UInt32) throws(FloorError) -> UInt32 {
        let present = try read()
        if floor <= present { return present }
        do throws(SystemError) {
            try device.write(device.layout.floor, Self.bytes(floor), through: true, displayName)
        } catch { throw .system(store: displayName, error) }
        return try read()
    }
    func lower(to floor: UInt32) throws(FloorError) { throw .irreversible(store: displayName) }
}

final class SampleTime: TimeSource {
    private let now: Int64
    init(now: Int64) { self.now = now }
    func monotonicNanoseconds() -> UInt64 { 0 }
    func realSeconds() -> Int64 { now }
    func sleep(nanoseconds: UInt64) {}
}

/// Nothing that is explored is random.
final class SampleRandom: RandomSource {
    func bytes(_ count: Int) throws(SystemError) -> [UInt8] { [UInt8](repeating: 7, count: count) }
}
