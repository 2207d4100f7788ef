internal import BootControl
internal import BundleFormat
internal import Payload
internal import Platform
internal import Transfer
internal import UpdateEngine

/// The engine's few bytes in the data directory: `journal` (two slots of 256 KiB, reserved when it is made, so that
/// a full disk cannot stop it), `head.a`, `head.b` (kept bundle heads, verified anew whenever they are used),
/// `hints.SLOT.a`, `hints.SLOT.b` (what each slot was last seen to hold: 2 KiB for each MiB of it, never flushed, never
/// believed), `traffic` (bytes counted against budgets), `cancel` (somebody wants the running attempt to stop), `pause` (the id of
/// the attempt that waits for word) and `lock`. All 0600: locations may carry signed queries.
final class DirectoryState: StateStore, TrafficStore {
    private let directory: String

    init(_ directory: String) { self.directory = directory }

    private var journalPath: String { directory + "/journal" }
    private func headPath(_ set: SlotSet) -> String { directory + "/head." + set.letter }
    private func hintPath(_ target: Identifier, _ set: SlotSet) -> String {
        directory + "/" + WindowHints.fileName(target, set.letter)
    }
    private var trafficPath: String { directory + "/traffic" }
    private var cancelPath: String { directory + "/cancel" }
    private var pausePath: String { directory + "/pause" }

    /// Longest kept head, bytes: header, signatures, manifest and chunk tables at their caps.
    private static let headLimit = 18 * 1024 * 1024

    func readJournal(slot: Int) throws(SystemError) -> [UInt8]? {
        if try FileSystem.kind(of: journalPath) == nil { return nil }
        let file = try Descriptor(open: journalPath, [.read])
        let buffer = try AlignedBuffer(capacity: Journal.slotSize)
        let count = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
            try file.read(into: &bytes, at: UInt64(slot * Journal.slotSize))
        }
        return count == 0 ? nil : [UInt8](copying: buffer.bytes.extracting(0..<count))
    }

    func writeJournal(slot: Int, _ bytes: [UInt8]) throws(SystemError) {
        let file = try Descriptor(open: journalPath, [.read, .write, .create], mode: 0o600)
        // Also after a kill between making the file and reserving its room.
        let isNew = try file.size() < UInt64(2 * Journal.slotSize)
        if isNew { try file.reserve(UInt64(2 * Journal.slotSize)) }
        try file.write(bytes.rawBytes, at: UInt64(slot * Journal.slotSize))
        try file.flush()
        if isNew {
            try file.flushAll()
            try FileSystem.flushDirectory(directory)
        }
    }

    func readHead(_ set: SlotSet) throws(SystemError) -> [UInt8]? {
        if try FileSystem.kind(of: headPath(set)) == nil { return nil }
        return try FileSystem.read(headPath(set), limit: Self.headLimit)
    }

    func writeHead(_ set: SlotSet, _ bytes: [UInt8]) throws(SystemError) {
        try FileSystem.replace(headPath(set), with: bytes, mode: 0o600)
    }

    func readHints(
        _ target: Identifier, _ set: SlotSet, at offset: UInt64, count: Int
    ) throws(SystemError) -> [UInt8] {
        let path = hintPath(target, set)
        if try FileSystem.kind(of: path) == nil { return [] }
        let file = try Descriptor(open: path, [.read])
        return try file.readBytes(at: offset, count: count)
    }

    func writeHints(
        _ target: Identifier, _ set: SlotSet, _ bytes: [UInt8], at offset: UInt64
    ) throws(SystemError) {
        let file = try Descriptor(open: hintPath(target, set), [.write, .create], mode: 0o600)
        try file.write(bytes.rawBytes, at: offset)
    }

    func readTraffic() throws(SystemError) -> [UInt8]? {
        if try FileSystem.kind(of: trafficPath) == nil { return nil }
        return try FileSystem.read(trafficPath, limit: 4096)
    }

    func writeTraffic(_ bytes: [UInt8]) throws(SystemError) {
        try FileSystem.replace(trafficPath, with: bytes, mode: 0o600)
    }

    func cancelRequested() -> Bool {
        do throws(SystemError) {
            return try FileSystem.kind(of: cancelPath) != nil
        } catch {
            return false
        }
    }

    func setCancelRequest(_ present: Bool) throws(SystemError) {
        if !present { return try FileSystem.remove(cancelPath) }
        let file = try Descriptor(open: cancelPath, [.write, .create], mode: 0o600)
        try file.flushAll()
    }

    func heldAttempt() -> String? {
        do throws(SystemError) {
            if try FileSystem.kind(of: pausePath) == nil { return nil }
            let bytes = try FileSystem.read(pausePath, limit: 256)
            let id = String(decoding: bytes.prefix { $0 != 0x0a }, as: UTF8.self)
            return Attempt.isValid(id: id) ? id : nil
        } catch {
            return nil
        }
    }

    func setHeldAttempt(_ attempt: String?) throws(SystemError) {
        guard let attempt else {
            if try FileSystem.kind(of: pausePath) == nil { return }
            try FileSystem.remove(pausePath)
            // Or a power cut could bring the pause back.
            return try FileSystem.flushDirectory(directory)
        }
        try FileSystem.replace(pausePath, with: Array((attempt + "\n").utf8), mode: 0o600)
    }

    /// The lock that only one working engine holds; nil when another process has it. It goes with the process.
    func lock() throws(SystemError) -> DeviceLock? {
        let file = try Descriptor(open: directory + "/lock", [.read, .write, .create], mode: 0o600)
        if try !file.tryLock() { return nil }
        return DeviceLock(file)
    }

    /// Makes the directory, for root only.
    func prepare() throws(SystemError) { try FileSystem.makeDirectories(directory, mode: 0o700) }
}

/// Holds the device's lock as long as it lives.
final class DeviceLock: Sendable {
    private let file: Descriptor
    init(_ file: consuming Descriptor) { self.file = file }
}
