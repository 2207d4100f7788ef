internal import BundleFormat
internal import Platform

/// A boot record in the variables of a redundant U-Boot environment, which the boot script and Linux both write.
///
/// A boot script (bootloader/uboot/boot.cmd) reads `kedge_phase`, `kedge_active`, `kedge_tries` and
/// `kedge_user_boots`. It writes, and saves before it starts a kernel:
/// - for a try: `kedge_tries`, one less;
/// - for a fallback: `kedge_active` (the other letter), `kedge_phase=fell-back`, `kedge_reason` (`boot-failed`, or
///   `not-confirmed` when `kedge_user_boots` is not 0) and `kedge_X_state=bad` of the slot set that it left.
///
/// It changes nothing else, and in any phase but `trial` it saves nothing. All variables:
///
///     kedge_record      1, the version of this layout   kedge_attempt     absent when there was none
///     kedge_revision    rises with every Linux write    kedge_floor       lowest security version
///     kedge_active      a | b                           kedge_accepted    highest confirmed sequence
///     kedge_phase       idle | writing | trial |        kedge_X_state     empty | writing | trial | good | bad
///                       confirmed | fell-back           kedge_X_manifest  64 hex digits, absent when unknown
///     kedge_tries       0 to 9                          kedge_X_sequence  decimal
///     kedge_user_boots  0 to 255                        kedge_X_security  decimal
///     kedge_reason      none | boot-failed | ...        (X is a and b)
///
/// The newer copy is chosen as U-Boot does it, by flags byte and CRC alone: what Linux believes must be what the
/// boot loader believes, even where the revision would know better. For media that count the flags up (MMC, files,
/// UBI, FAT); NOR flash marks copies active and obsolete instead and is not taken.
///
/// fw_setenv holds no lock against this home: give it to people for looking, not while `kedged` writes.
public final class UBootEnvironmentHome: BootHome {
    /// Where one copy is.
    public struct Location: Equatable, Sendable {
        /// File or block device.
        public let path: String
        /// Bytes from its start.
        public let offset: UInt64
        /// Bytes of the copy, header included (CONFIG_ENV_SIZE).
        public let size: Int

        public init(path: String, offset: UInt64, size: Int) {
            self.path = path
            self.offset = offset
            self.size = size
        }

        /// From `PATH OFFSET SIZE`, as in fw_env.config: numbers are decimal, or hexadecimal with `0x`. Nil for
        /// anything else.
        public init?(text: String) {
            let words = text.utf8.split { $0 == 0x20 || $0 == 0x09 }.map { String(decoding: $0, as: UTF8.self) }
            guard words.count == 3, let offset = Self.number(words[1]), let size = Self.number(words[2]),
                let size = Int(exactly: size)
            else { return nil }
            self.init(path: words[0], offset: offset, size: size)
        }

        private static func number(_ text: String) -> UInt64? {
            text.utf8.starts(with: "0x".utf8) ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
        }

        func overlaps(_ other: Location) -> Bool {
            path == other.path && offset < other.offset + UInt64(other.size) && other.offset < offset + UInt64(size)
        }
    }

    /// Who counts the tries.
    public enum Counting: Sendable {
        /// A boot script, in `kedge_tries`.
        case script
        /// U-Boot itself, in `bootcount` (see `UBootBootcount`).
        case bootcount
    }

    /// Smallest and largest copy that is taken, bytes.
    public static let sizes: ClosedRange<Int> = 1024...1_048_576

    public let displayName: String
    private let pair: CopyPair
    private let counting: Counting

    /// A copy that was found whole.
    private struct Found {
        let index: Int
        let flags: UInt8
        let environment: UBootEnvironment
    }

    /// The record at two places; nothing is opened yet. Places of different or odd sizes, or that overlap, are
    /// `BootError.invalid`.
    public init(_ first: Location, _ second: Location, counting: Counting = .script) throws(BootError) {
        self.counting = counting
        displayName = "U-Boot environment \(first.path)"
        pair = try CopyPair(displayName, first, second, sizes: Self.sizes)
    }

    public func load() throws(BootError) -> BootRecord {
        try record(in: newest(of: wholeCopies()).environment)
    }

    /// All variables of the newest copy, for looking at.
    public func environment() throws(BootError) -> UBootEnvironment { try newest(of: wholeCopies()).environment }

    public func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let former = try newest(of: wholeCopies())
        var next = record
        let present = try self.record(in: former.environment)
        next.revision = present.revision
        if next.revision == .max { throw .invalid(home: displayName, why: "there is no revision after the last one") }
        next.revision += 1
        var environment = former.environment
        do { try write(next, after: present, to: &environment) } catch {
            throw .invalid(home: displayName, why: error.context)
        }
        let bytes = try encoded(environment, flags: former.flags &+ 1)
        try pair.replace(1 - former.index, with: bytes)
        return next
    }

    /// Writes both copies, as a factory does, with `record` and the given variables (the board's own: boot command,
    /// console, addresses). Makes the files that do not exist; what stood there is gone.
    public static func create(
        _ first: Location, _ second: Location, record: BootRecord, variables: [(name: String, value: String)] = [],
        counting: Counting = .script
    ) throws(BootError) {
        let home = try UBootEnvironmentHome(first, second, counting: counting)
        var next = record
        for index in 0..<2 {
            next.revision = UInt64(index + 1)
            var environment = UBootEnvironment()
            do {
                for variable in variables { try environment.set(variable.name, to: variable.value) }
                try home.write(next, after: nil, to: &environment)
            } catch { throw .invalid(home: home.displayName, why: error.context) }
            let bytes = try home.encoded(environment, flags: UInt8(index + 1))
            try home.pair.replace(index, with: bytes, create: true)
        }
    }

    private func record(in environment: UBootEnvironment) throws(BootError) -> BootRecord {
        let found: BootRecord?
        do { found = try BootRecord.read(from: environment) } catch {
            throw .invalid(home: displayName, why: error.context)
        }
        guard var found else { throw .noRecord(home: displayName) }
        if counting == .bootcount { UBootBootcount.read(environment, into: &found) }
        return found
    }

    private func write(
        _ record: BootRecord, after former: BootRecord?, to environment: inout UBootEnvironment
    ) throws(FormatError) {
        try record.write(to: &environment)
        if counting == .bootcount { try UBootBootcount.write(record, after: former, to: &environment) }
    }

    private func encoded(_ environment: UBootEnvironment, flags: UInt8) throws(BootError) -> [UInt8] {
        let size = pair.size
        do { return try environment.encoded(size: size, .redundant, flags: flags) } catch {
            guard case .tooLarge(_, let needed, _) = error else {
                throw .invalid(home: displayName, why: error.context)
            }
            throw .full(home: displayName, needed: needed, capacity: UInt64(size))
        }
    }

    private func newest(of found: [Found]) throws(BootError) -> Found {
        guard let first = found.first else { throw .noRecord(home: displayName) }
        guard let second = found.dropFirst().first else { return first }
        return UBootEnvironment.newer(flags: first.flags, second.flags) == 1 ? second : first
    }

    private func wholeCopies() throws(BootError) -> [Found] { try pair.copies(Self.copy) }

    private static func copy(_ index: Int, _ bytes: [UInt8]) -> Found? {
        guard let (environment, flags) = try? UBootEnvironment.decode(bytes, .redundant) else { return nil }
        return Found(index: index, flags: flags, environment: environment)
    }

    public func examine() -> [BootFinding] {
        var findings: [BootFinding] = []
        var flags: [UInt8] = []
        for index in 0..<2 {
            let path = pair.locations[index].path
            do throws(SystemError) {
                let bytes = try pair.read(index)
                if let bytes, let found = Self.copy(index, bytes) {
                    flags.append(found.flags)
                } else {
                    findings.append(Self.diagnosis(of: bytes, copy: index + 1, path))
                }
            } catch { findings.append(.copyUnreadable(copy: index + 1, path, error)) }
        }
        if flags.count == 2, flags[0] == flags[1] { findings.append(.copiesOfOneAge(home: displayName)) }
        if counting == .bootcount, let newest = try? newest(of: wholeCopies()) {
            let record = try? record(in: newest.environment)
            findings += UBootBootcount.examine(newest.environment, record, home: displayName)
        }
        return findings + pair.sharedEraseBlock()
    }

    /// Damaged, or written with another layout or size, which looks the same to the CRC of this one.
    private static func diagnosis(of bytes: [UInt8]?, copy: Int, _ path: String) -> BootFinding {
        if let bytes, (try? UBootEnvironment.decode(bytes, .single)) != nil {
            return BootFinding(
                .error, code: "doctor.single-copy",
                context: "\(path) holds an environment without a flags byte: U-Boot keeps one copy only",
                remedy: "Build U-Boot with CONFIG_SYS_REDUNDAND_ENVIRONMENT, or use [boot] backend = uboot-script")
        }
        if let bytes, let size = wrongSize(bytes) {
            return BootFinding(
                .error, code: "doctor.wrong-size",
                context: "\(path) holds an environment of \(size) bytes, [boot] says \(bytes.count)",
                remedy: "Write CONFIG_ENV_SIZE of the board's U-Boot into [boot]")
        }
        return .copyDamaged(copy: copy, path)
    }

    /// The size with which a copy is whole, of the powers of two below the one that was read.
    private static func wrongSize(_ bytes: [UInt8]) -> Int? {
        var size = bytes.count / 2
        while size >= sizes.lowerBound {
            if (try? UBootEnvironment.decode(Array(bytes[0..<size]), .redundant)) != nil { return size }
            size /= 2
        }
        return nil
    }
}
