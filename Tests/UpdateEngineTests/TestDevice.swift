import BootControl
import BundleFormat
import Floors
import Foundation
import Packaging
import Platform
import Signing
import Slots
import Transfer
import Trust

@testable import UpdateEngine

/// State in memory; it can be told to fail.
final class MemoryState: StateStore, @unchecked Sendable {
    var journal: [[UInt8]?] = [nil, nil]
    var heads: [SlotSet: [UInt8]] = [:]
    var cancel = false
    var held: String?
    var failWrites = false
    /// What is kept of slots, by `rootfs.a`.
    var hints: [String: [UInt8]] = [:]
    var failHints = false

    func readJournal(slot: Int) throws(SystemError) -> [UInt8]? { journal[slot] }
    func writeJournal(slot: Int, _ bytes: [UInt8]) throws(SystemError) {
        if failWrites { throw SystemError(number: 5, operation: "write", subject: "journal") }
        journal[slot] = bytes
    }
    func readHead(_ set: SlotSet) throws(SystemError) -> [UInt8]? { heads[set] }
    func writeHead(_ set: SlotSet, _ bytes: [UInt8]) throws(SystemError) { heads[set] = bytes }
    func readHints(
        _ target: Identifier, _ set: SlotSet, at offset: UInt64, count: Int
    ) throws(SystemError) -> [UInt8] {
        Array((hints["\(target.text).\(set.letter)"] ?? []).dropFirst(Int(offset)).prefix(count))
    }
    func writeHints(
        _ target: Identifier, _ set: SlotSet, _ bytes: [UInt8], at offset: UInt64
    ) throws(SystemError) {
        if failHints { throw SystemError(number: SystemError.noSpace, operation: "write", subject: "hints") }
        var file = hints["\(target.text).\(set.letter)"] ?? []
        while file.count < Int(offset) + bytes.count { file.append(0) }
        file.replaceSubrange(Int(offset)..<(Int(offset) + bytes.count), with: bytes)
        hints["\(target.text).\(set.letter)"] = file
    }
    func cancelRequested() -> Bool { cancel }
    func setCancelRequest(_ present: Bool) throws(SystemError) { cancel = present }
    func heldAttempt() -> String? { held }
    func setHeldAttempt(_ attempt: String?) throws(SystemError) { held = attempt }
}

/// The boot record of a simulated machine, with every record it ever held.
final class RecordedBoot: BootHome, @unchecked Sendable {
    var records: [BootRecord] = [BootRecord()]
    /// Fails the store of that number (from 1), once; `lands` tells whether the bytes reached the medium.
    var failStore = 0
    var lands = false
    /// Loads that fail after that store failed.
    var failLoads = 0
    private var stores = 0
    /// The next store, or one behind it, fails as for `failStore`; or none does.
    func crashNext(_ crashes: Bool, lands: Bool, behind: Int = 0) {
        failStore = crashes ? stores + 1 + behind : 0
        self.lands = lands
    }

    var displayName: String { "memory" }
    func load() throws(BootError) -> BootRecord {
        if failStore > 0, stores >= failStore, failLoads > 0 {
            failLoads -= 1
            throw .system(home: "memory", SystemError(number: 5, operation: "read", subject: "memory"))
        }
        return records[records.count - 1]
    }
    func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        stores += 1
        var next = record
        next.revision = records[records.count - 1].revision + 1
        if stores == failStore {
            if lands { records.append(next) }
            throw .system(home: "memory", SystemError(number: 5, operation: "fsync", subject: "memory"))
        }
        records.append(next)
        return next
    }
}

/// A floor's store in memory; it can be told to fail, and to forget that it was raised as a power cut would.
final class MemoryFloor: FloorStore, @unchecked Sendable {
    let kind: FloorKind
    var value: UInt32 = 0
    var fails = false
    /// Everything it was raised or lowered to.
    var writes: [UInt32] = []

    init(_ kind: FloorKind) { self.kind = kind }
    var displayName: String { "memory floor" }
    private func check() throws(FloorError) {
        if fails { throw .unreachable(store: displayName, why: "switched off by the test") }
    }
    func read() throws(FloorError) -> UInt32 {
        try check()
        return value
    }
    func raise(to floor: UInt32) throws(FloorError) -> UInt32 {
        try check()
        if floor > value {
            value = floor
            writes.append(floor)
        }
        return value
    }
    func lower(to floor: UInt32) throws(FloorError) {
        if !kind.canBeLowered { throw .irreversible(store: displayName) }
        try check()
        value = min(value, floor)
        writes.append(value)
    }
}

/// File systems whose room a test sets.
final class MemorySpace: SpaceProbe, @unchecked Sendable {
    let reserve: UInt64
    let data = "data"
    var free: UInt64
    init(free: UInt64, reserve: UInt64) {
        self.free = free
        self.reserve = reserve
    }
    func free(at path: String) -> UInt64? { free }
}

/// Runs something whenever the engine says how things stand.
final class Watcher: EngineObserver, @unchecked Sendable {
    private let body: (EngineStatus) -> Void
    init(_ body: @escaping (EngineStatus) -> Void) { self.body = body }
    func engineChanged(_ status: EngineStatus) { body(status) }
}

/// A source that breaks like a network: after `limit` bytes every read ends with an error of that category.
final class BreakingSource: BundleSource, @unchecked Sendable {
    let inner: any BundleSource
    var left: Int
    init(_ inner: any BundleSource, after limit: Int) {
        self.inner = inner
        left = limit
    }
    var displayName: String { inner.displayName }
    var totalLength: UInt64? { inner.totalLength }
    var bytesReceived: UInt64 { inner.bytesReceived }
    func cancel() { inner.cancel() }
    func read(_ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void) throws(TransferError) {
        try inner.read(range) { (piece) throws(TransferError) in try self.pass(piece, deliver) }
    }
    func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try inner.readAvailable(range) { (piece) throws(TransferError) in try self.pass(piece, deliver) }
    }
    private func pass(_ piece: RawSpan, _ deliver: (RawSpan) throws(TransferError) -> Void) throws(TransferError) {
        if left <= 0 { throw TransferError.network(.interrupted, source: "test", detail: "broken by the test") }
        let count = min(left, piece.byteCount)
        left -= count
        try deliver(piece.extracting(0..<count))
        if count < piece.byteCount {
            throw TransferError.network(.interrupted, source: "test", detail: "broken by the test")
        }
    }
}

/// A source that never answers, and can be canceled.
final class StalledSource: BundleSource, @unchecked Sendable {
    let inner: any BundleSource
    private let monitor = Monitor()
    private var canceled = false
    init(_ inner: any BundleSource) { self.inner = inner }
    var displayName: String { inner.displayName }
    var totalLength: UInt64? { nil }
    var bytesReceived: UInt64 { 0 }
    func cancel() {
        monitor.locked {
            canceled = true
            monitor.signal()
        }
    }
    func read(_ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void) throws(TransferError) {
        monitor.locked { while !canceled { monitor.wait() } }
        throw .canceled
    }
    func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) { try read(range, deliver: deliver) }
}

/// A gateway of files, a record in memory and bundles on disk: the shipped engine, slots and formats.
final class TestDevice: @unchecked Sendable {
    let directory: String
    let boot = RecordedBoot()
    let state = MemoryState()
    var key: SigningKey
    var trust: TrustStore
    var rotation: (any TrustRotation)?
    var running = SlotSet.a
    var bootID = "boot-1"
    var healthy: String?
    var reboots = 0
    var breakAfter: Int?
    /// Reads wait for ever, as for a server that never answers, until somebody cancels.
    var stalls = false
    /// Opens bundles instead of the file system.
    var opener: ((String, [String]) throws(TransferError) -> any BundleSource)?
    var hardware: UInt32 = 2
    var rootfsCapacity = 6 << 20
    /// Puts something between the engine and a slot.
    var wrap: ((any Slot) -> any Slot)?
    /// Seconds since 1970.
    var clock: Int64 = 1_700_000_000
    /// When the program was made.
    var built: Int64 = 0
    /// The floor's store, if it has one.
    var floor: MemoryFloor?
    var overrides: MemoryDocument?
    var channel: ChannelFollowing?
    var space: MemorySpace?
    var download = DownloadPolicy()

    init() throws {
        directory =
            FileManager.default.temporaryDirectory.appendingPathComponent("kedge-engine-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        key = try SigningKey.generate()
        trust = try TrustStore(
            rootFile: RootDocument.make(
                environment: .dev, created: 1_600_000_000, rootKeys: [(key.publicKey, "root")], rootThreshold: 1,
                releaseKeys: [(key.publicKey, "release")], releaseThreshold: 1, signedBy: [key]))
        for set in SlotSet.allCases {
            for name in ["rootfs", "bios"] {
                _ = FileManager.default.createFile(
                    atPath: slotPath(name, set),
                    contents: Data(repeating: 0xa5, count: name == "bios" ? 1 << 20 : rootfsCapacity))
            }
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func slotPath(_ name: String, _ set: SlotSet) -> String { "\(directory)/\(name)-\(set.letter).img" }

    /// Deterministic content with a zero window and a compressible part.
    static func image(seed: UInt64, megabytes: Int, extra: Int = 0) -> [UInt8] {
        var out: [UInt8] = []
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        for window in 0..<megabytes {
            for block in 0..<256 {
                if window == 1 { out += [UInt8](repeating: 0, count: 4096); continue }
                for _ in 0..<512 {
                    state ^= state << 13
                    state ^= state >> 7
                    state ^= state << 17
                    let word = block % 2 == 0 ? state : UInt64(block)
                    for shift in 0..<8 { out.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
                }
            }
        }
        return out + [UInt8](repeating: 0x42, count: extra)
    }

    /// Builds and signs a bundle; components by name.
    func bundle(
        _ id: String, sequence: UInt64 = 1, security: UInt32 = 1, images: [(String, [UInt8])], vendor: String = "acme",
        extra: String = "", signed: Bool = true, reboot: String = "automatic", forms: FormRequest = FormRequest()
    ) throws -> String {
        var text = """
            [release]
            id = "\(id)"
            version = "1.0"
            sequence = \(sequence)
            security-version = \(security)
            update = "feature"
            reboot = "\(reboot)"
            \(extra)
            [product]
            vendor = "\(vendor)"
            class = "edge"
            hardware = [1, 3]
            [compression]
            level = 1

            """
        for (name, bytes) in images {
            _ = FileManager.default.createFile(atPath: "\(directory)/\(id)-\(name).bin", contents: Data(bytes))
            let kind = name == "bios" ? "bios" : "rootfs"
            text += "[[component]]\nid = \"\(name)\"\nkind = \"\(kind)\"\npath = \"\(id)-\(name).bin\"\n"
        }
        let recipe = "\(directory)/\(id).toml"
        try text.write(toFile: recipe, atomically: true, encoding: .utf8)
        let out = "\(directory)/\(id).kedge"
        _ = try BundleBuilder(recipe: Recipe(contentsOf: recipe), created: 1_650_000_000, forms: forms)
            .build(to: out, keys: signed ? [key] : [])
        return out
    }

    /// A new process on this device.
    func engine(_ observer: (any EngineObserver)? = nil) throws(Failure) -> Engine {
        try Engine(
            EngineSurroundings(
                identity: DeviceIdentity(id: "gw", vendor: "acme", deviceClass: "edge", hardware: hardware),
                trust: trust,
                boot: boot, running: RunningSlot(slot: running, bootID: bootID), slots: FileSlots(self),
                sources: Sources(self), state: state, power: Power(self), health: Health(self), time: FixedTime(self),
                random: SystemRandom(), tries: 3, rotation: rotation, floor: floor, built: built,
                overrides: overrides, channel: channel, space: space, download: download),
            observer: observer)
    }

    /// Power on: the boot loader's rule, and a new boot id.
    func powerOn() throws {
        let choice = BootLoaderModel.choose(try boot.load())
        if let write = choice.write { _ = try boot.store(write) }
        running = choice.slot
        bootID = "boot-\(boot.records.count)-\(UUID().uuidString)"
    }

    func contents(_ name: String, _ set: SlotSet) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(fileURLWithPath: slotPath(name, set))))
    }
}

private final class FileSlots: SlotProvider, @unchecked Sendable {
    let device: TestDevice
    init(_ device: TestDevice) { self.device = device }
    func slot(_ target: Identifier, _ set: SlotSet) throws(SlotError) -> any Slot {
        guard target.text == "rootfs" || target.text == "bios" else { throw .missing(slot: "\(target) \(set.letter)") }
        let slot = BlockSlot(name: "\(target) \(set.letter)", path: device.slotPath(target.text, set))
        return device.wrap?(slot) ?? slot
    }
}

private final class Sources: SourceOpener, @unchecked Sendable {
    let device: TestDevice
    init(_ device: TestDevice) { self.device = device }
    func openBundle(
        _ location: String, alternatives: [String], isPinned: Bool
    ) throws(TransferError) -> any BundleSource {
        if let opener = device.opener { return try opener(location, alternatives) }
        return try open(location)
    }
    func open(_ location: String) throws(TransferError) -> any BundleSource {
        let source = try FileSource(path: location)
        if device.stalls { return StalledSource(source) }
        if let limit = device.breakAfter { return BreakingSource(source, after: limit) }
        return source
    }
}

private final class Power: PowerControl, @unchecked Sendable {
    let device: TestDevice
    init(_ device: TestDevice) { self.device = device }
    func reboot() throws(Failure) -> RebootOutcome {
        device.reboots += 1
        return .started
    }
}

private final class Health: HealthCheck, @unchecked Sendable {
    let device: TestDevice
    init(_ device: TestDevice) { self.device = device }
    func run(slot: SlotSet, release: String, attempt: String, deadline: UInt32) throws(Failure) {
        if let why = device.healthy { throw Failure(EngineError.healthFailed(why)) }
    }
}

private final class FixedTime: TimeSource, @unchecked Sendable {
    let device: TestDevice
    init(_ device: TestDevice) { self.device = device }
    func monotonicNanoseconds() -> UInt64 { 0 }
    func realSeconds() -> Int64 { device.clock }
    func sleep(nanoseconds: UInt64) {}
}

/// The failure with which something ends; nil when it does not fail.
func failure(_ body: () throws -> Void) -> Failure? {
    do {
        try body()
        return nil
    } catch { return error as? Failure }
}
