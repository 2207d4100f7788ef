internal import Platform

/// Hands the capsule in one slot to the machine's firmware, and judges afterwards whether it was installed.
///
/// The firmware installs what it finds as files in `\EFI\UpdateCapsule` of the EFI system partition when the bit
/// "file capsule delivery" of the variable OsIndications asks for it, once, before it starts anything (UEFI
/// specification, section 8.5.5). It is one firmware: **nothing takes it back** when the release then falls back, so a
/// release must also run with the firmware of the next one.
///
/// Beside the capsule's file are `.new` (brought by this attempt, written by the slot) and `.handed` (what the
/// firmware had before, for judging). The order is that no power cut can install firmware for a release that is not
/// on trial: file, boot record, bit.
public struct CapsuleHandOver: Sendable {
    /// The slot's name for people, and the name of the file for the firmware.
    public let target: String
    private let path: String
    private let system: String
    private let table: String
    private let variables: EFIVariables

    /// EFI_OS_INDICATIONS_FILE_CAPSULE_DELIVERY_SUPPORTED.
    private static let delivery: UInt8 = 0x04

    /// The capsule at `path`, for a machine whose EFI system partition is mounted at `system`.
    public init(target: String, path: String, system: String, table: String, variables: EFIVariables) {
        self.target = target
        self.path = path
        self.system = system
        self.table = table
        self.variables = variables
    }

    private var folder: String { system + "/EFI/UpdateCapsule" }
    private var name: String { "kedge-" + target + ".cap" }
    private var news: String { path + ".new" }
    private var handed: String { path + ".handed" }

    /// What was noted at the hand-over.
    private struct Note: Equatable {
        let firmwareClass: String
        /// Nil when nobody says which version the capsule has.
        let wanted: UInt32?
        let before: UInt32
    }

    /// Whether this slot has a capsule that an attempt brought and nobody handed over.
    func isNew() throws(SystemError) -> Bool { try FileSystem.kind(of: news) != nil }

    /// Forgets what an earlier attempt left: a new one writes this slot.
    func forget() throws(SystemError) {
        try FileSystem.remove(news)
        try FileSystem.remove(handed)
        try FileSystem.flushDirectory(FileSystem.parent(of: path))
    }

    /// Puts the file where the firmware looks, and notes what it had before. False when there is nothing to do, for
    /// the firmware has this version already. The firmware does not look before `request`.
    func stage() throws(BootError) -> Bool {
        let capsule = try capsule()
        // The capsule's own word counts for more than the recipe's.
        let told = try wrapped { () throws(SystemError) in try text(news) }
        let wanted = capsule.version ?? Self.number(told)
        let resource = try resource(of: capsule.firmwareClass)
        if let wanted, wanted < resource.lowestVersion {
            throw problem(
                "it brings version \(Hex.number(wanted)), and the firmware takes none below "
                    + Hex.number(resource.lowestVersion))
        }
        let note = Note(firmwareClass: capsule.firmwareClass, wanted: wanted, before: resource.version)
        let isThere = wanted == resource.version
        if !isThere { try checkDelivery() }
        try wrapped { () throws(SystemError) in
            if !isThere { try copy(size: capsule.size) }
            try FileSystem.replace(handed, with: Array(Self.line(note).utf8))
        }
        return !isThere
    }

    /// Asks the firmware to look, at the next start.
    func request() throws(BootError) {
        try wrapped { () throws(SystemError) in
            try setDelivery(true)
            try FileSystem.remove(news)
        }
        let bits = try wrapped { () throws(SystemError) in try variables.read("OsIndications") }
        if (bits?.first ?? 0) & Self.delivery == 0 { throw problem("the firmware does not keep OsIndications") }
    }

    /// Takes back what the firmware did not take: the file, and the request when no other file is there.
    func withdraw() throws(SystemError) {
        if try FileSystem.kind(of: folder + "/" + name) == nil { return }
        try FileSystem.remove(folder + "/" + name)
        try FileSystem.flushDirectory(folder)
        let others = try FileSystem.list(folder).filter { $0 != "." && $0 != ".." }
        if others.isEmpty { try setDelivery(false) }
    }

    /// After the start of a trial: nil when the firmware is what the release brought, or it brought none; else what
    /// happened. The version counts first: firmware that has it is the right one whatever a status says, which may be
    /// of another attempt, and some firmware never fills in.
    public func judge() throws(BootError) -> String? {
        let (present, isNew) = try wrapped { () throws(SystemError) in (try text(handed), try self.isNew()) }
        guard let note = Self.note(present) else {
            return isNew ? "the capsule for \(target) was never handed to the firmware" : nil
        }
        let resource = try resource(of: note.firmwareClass)
        if let wanted = note.wanted, resource.version == wanted { return nil }
        if note.wanted == nil, resource.version != note.before { return nil }
        let status = "its status is \(resource.lastStatus), \(FirmwareResource.meaning(of: resource.lastStatus))"
        let versions = "the firmware of \(target) is still \(Hex.number(resource.version))"
        let waits = try wrapped { () throws(SystemError) in try FileSystem.kind(of: folder + "/" + name) != nil }
        if waits || isNew { return versions + ": it did not look at the capsule; " + status }
        if resource.lastStatus != 0 {
            return versions + ": it refused version \(Hex.number(resource.lastVersion)); " + status
        }
        // The file is gone, the status is good, and nobody says which version there should be.
        guard let wanted = note.wanted else { return nil }
        return versions + " and not \(Hex.number(wanted)), although " + status
    }

    /// What would keep the firmware from taking a capsule.
    public func examine() -> [BootFinding] {
        var findings: [BootFinding] = []
        func add(_ severity: BootFinding.Severity, _ code: String, _ context: String, _ remedy: String) {
            findings.append(BootFinding(severity, code: code, context: context, remedy: remedy))
        }
        do throws(SystemError) {
            if try FileSystem.kind(of: system + "/EFI") == nil {
                add(
                    .error, "doctor.no-system-partition", "no EFI system partition is mounted at \(system)",
                    "Mount it there, or correct esp of the slot \(target)")
            }
            if try FirmwareResource.read(table).isEmpty {
                add(
                    .error, "doctor.no-firmware-table",
                    "the firmware lists nothing that can be updated (\(table)/entries)",
                    "Boot with UEFI, and load efivarfs; firmware without an ESRT takes no capsules from Kedge")
            }
            if try variables.read("OsIndicationsSupported").map({ ($0.first ?? 0) & Self.delivery == 0 }) ?? true {
                add(
                    .error, "doctor.no-capsule-delivery",
                    "the firmware does not say that it takes capsules as files (OsIndicationsSupported)",
                    "Mount efivarfs; if it stays so, update this firmware in another way")
            }
            let waiting = try FileSystem.kind(of: folder) == nil ? [] : FileSystem.list(folder)
            if waiting.contains(where: { $0 != "." && $0 != ".." }) {
                add(
                    .warning, "doctor.capsule-waits", "\(folder) holds capsules that the firmware did not take",
                    "Remove them when no update is under way")
            }
        } catch { findings.append(BootFinding(error)) }
        return findings
    }

    // MARK: pieces

    private func problem(_ why: String) -> BootError { .capsule(target: target, why: why) }

    private func capsule() throws(BootError) -> FirmwareCapsule {
        let read: Result<FirmwareCapsule, FirmwareCapsule.Problem> = try wrapped { () throws(SystemError) in
            let file = try Descriptor(open: self.path, [.read])
            do throws(FirmwareCapsule.Problem) { return .success(try FirmwareCapsule(file)) } catch {
                return .failure(error)
            }
        }
        do throws(FirmwareCapsule.Problem) { return try read.get() } catch {
            throw problem("\(path) is no capsule: \(error.why)")
        }
    }

    private func resource(of firmwareClass: String) throws(BootError) -> FirmwareResource {
        let all = try wrapped { () throws(SystemError) in try FirmwareResource.read(table) }
        guard let found = all.first(where: { $0.firmwareClass == firmwareClass }) else {
            throw problem("the firmware lists nothing of class \(firmwareClass), which the capsule is for")
        }
        return found
    }

    private func checkDelivery() throws(BootError) {
        let bits = try wrapped { () throws(SystemError) in try variables.read("OsIndicationsSupported") }
        if (bits?.first ?? 0) & Self.delivery != 0 { return }
        throw problem("the firmware does not say that it takes capsules as files (OsIndicationsSupported)")
    }

    /// One variable of 64 bits, of which only this bit changes.
    private func setDelivery(_ on: Bool) throws(SystemError) {
        var bits = try variables.read("OsIndications") ?? []
        while bits.count < 8 { bits.append(0) }
        if (bits[0] & Self.delivery != 0) == on { return }
        if on { bits[0] |= Self.delivery } else { bits[0] &= ~Self.delivery }
        try variables.write("OsIndications", bits)
    }

    /// Under another name first: the firmware takes every file of the folder.
    private func copy(size: UInt64) throws(SystemError) {
        let file = try Descriptor(open: path, [.read])
        let partial = system + "/EFI/kedge-" + target + ".partial"
        try FileSystem.makeDirectories(folder)
        do throws(SystemError) {
            let staged = try Descriptor(open: partial, [.read, .write, .create, .truncate])
            try staged.copy(from: file, count: size, to: 0)
            try staged.flushAll()
            try staged.dropCache()
            try Self.compare(file, staged, size)
        } catch {
            try FileSystem.remove(partial)
            throw error
        }
        try FileSystem.rename(partial, to: folder + "/" + name)
        try FileSystem.flushDirectory(folder)
        try FileSystem.flushDirectory(system + "/EFI")
    }

    private static func compare(
        _ a: borrowing Descriptor, _ b: borrowing Descriptor, _ size: UInt64
    ) throws(SystemError) {
        var place: UInt64 = 0
        while place < size {
            let count = Int(min(256 << 10, size - place))
            let first = try a.readBytes(at: place, count: count)
            let second = try b.readBytes(at: place, count: count)
            if first != second {
                throw SystemError(number: SystemError.inputOutput, operation: "read back", subject: b.path)
            }
            place += UInt64(count)
        }
    }

    private func text(_ path: String) throws(SystemError) -> String {
        if try FileSystem.kind(of: path) == nil { return "" }
        return String(decoding: try FileSystem.read(path, limit: 4096), as: UTF8.self)
    }

    /// `CLASS WANTED BEFORE`, a dash for a version that is not known.
    private static func line(_ note: Note) -> String {
        let wanted = note.wanted.map { "\($0)" } ?? "-"
        return "\(note.firmwareClass) \(wanted) \(note.before)\n"
    }

    private static func note(_ text: String) -> Note? {
        let words = text.utf8.split { $0 == 0x20 || $0 == 0x0a }.map { String(decoding: $0, as: UTF8.self) }
        guard words.count == 3, let before = UInt32(words[2]) else { return nil }
        return Note(firmwareClass: words[0], wanted: UInt32(words[1]), before: before)
    }

    /// The version that a release gives its component: decimal, or hexadecimal with `0x`.
    private static func number(_ text: String) -> UInt32? {
        text.utf8.starts(with: "0x".utf8) ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
    }

    private func wrapped<Value>(_ body: () throws(SystemError) -> Value) throws(BootError) -> Value {
        do { return try body() } catch { throw .system(home: "the capsule for \(target)", error) }
    }
}
