internal import BundleFormat
internal import Platform

/// A boot record in a file or block device of its own, for loopback images and for every board whose boot loader
/// reads this record.
///
/// Two copies, at byte 0 and at byte 65536: far enough apart that an eMMC or NOR erase group which a power cut ruins
/// takes only one of them. The rest of the 128 KiB is zero and never written again.
///
/// One process uses it at a time; a writer reads before it writes.
public final class SimulatedBootHome: BootHome {
    public let displayName: String
    private let path: String

    /// Where the copies start, bytes.
    public static let copyOffsets: [UInt64] = [0, 65536]
    /// Bytes that the record needs in all.
    public static let areaSize = 128 * 1024

    /// A copy that was found whole.
    private struct Found {
        let index: Int
        let sector: BootRecord.Sector
        let bytes: [UInt8]
    }

    /// The record at a path; nothing is opened yet.
    public init(path: String) {
        self.path = path
        displayName = "boot record \(path)"
    }

    public func load() throws(BootError) -> BootRecord {
        try newest(of: wholeCopies(in: open([.read]))).sector.record
    }

    public func store(_ record: BootRecord) throws(BootError) -> BootRecord {
        let file = try open([.read, .write])
        let former = try newest(of: wholeCopies(in: file))
        var next = record
        next.revision = former.sector.record.revision
        if next.revision == .max { throw .invalid(home: displayName, why: "there is no revision after the last one") }
        next.revision += 1
        let sector = BootRecord.Sector(
            record: next, copy: UInt8(1 - former.index), parent: SHA256.digest(of: former.bytes))
        let bytes: [UInt8]
        do { bytes = try sector.encoded() } catch { throw .invalid(home: displayName, why: error.context) }
        let back: [UInt8]
        do { back = try file.writeThrough(bytes, at: Self.copyOffsets[1 - former.index]) } catch { throw failed(error) }
        if back != bytes { throw .readBackMismatch(home: displayName) }
        return next
    }

    public func examine() -> [BootFinding] {
        do throws(BootError) {
            let file = try open([.read])
            var findings: [BootFinding] = []
            for (index, offset) in Self.copyOffsets.enumerated() {
                do throws(SystemError) {
                    let bytes = try file.readBytes(at: offset, count: BootRecord.Sector.byteCount)
                    if Self.sector(in: bytes, at: index) == nil {
                        findings.append(.copyDamaged(copy: index + 1, path))
                    }
                } catch { findings.append(.copyUnreadable(copy: index + 1, path, error)) }
            }
            return findings
        } catch { return [BootFinding(error)] }
    }

    /// The bytes of a fresh area: both copies hold `record`, the second one is the newer.
    public static func area(for record: BootRecord) throws(BootError) -> [UInt8] {
        var area = [UInt8](repeating: 0, count: areaSize)
        var next = record
        next.revision = 0
        var parent: Digest?
        for (index, offset) in copyOffsets.enumerated() {
            next.revision += 1
            let bytes: [UInt8]
            do {
                bytes = try BootRecord.Sector(record: next, copy: UInt8(index), parent: parent).encoded()
            } catch { throw .invalid(home: "the first boot record", why: error.context) }
            area.replaceSubrange(Int(offset)..<(Int(offset) + bytes.count), with: bytes)
            parent = SHA256.digest(of: bytes)
        }
        return area
    }

    /// Writes a first record, as a factory does: makes the file, or fills the block device's first 128 KiB. What
    /// stood there is gone.
    public static func create(path: String, record: BootRecord) throws(BootError) {
        let bytes = try area(for: record)
        do {
            let file = try Descriptor(open: path, [.read, .write, .create], mode: 0o644)
            try file.write(bytes.rawBytes, at: 0)
            try file.flushAll()
            try FileSystem.flushDirectory(FileSystem.parent(of: path))
        } catch { throw .system(home: "boot record \(path)", error) }
    }

    private func open(_ options: Descriptor.Options) throws(BootError) -> Descriptor {
        do { return try Descriptor(open: path, options) } catch { throw failed(error) }
    }

    private func newest(of found: [Found]) throws(BootError) -> Found {
        guard let first = found.first else { throw .noRecord(home: displayName) }
        guard let second = found.dropFirst().first else { return first }
        return second.sector.record.revision > first.sector.record.revision ? second : first
    }

    /// The whole copies. A place that cannot be read counts as damaged while the other one is whole.
    private func wholeCopies(in file: borrowing Descriptor) throws(BootError) -> [Found] {
        var found: [Found] = []
        var failure: SystemError?
        for (index, offset) in Self.copyOffsets.enumerated() {
            do {
                let bytes = try file.readBytes(at: offset, count: BootRecord.Sector.byteCount)
                if let sector = Self.sector(in: bytes, at: index) {
                    found.append(Found(index: index, sector: sector, bytes: bytes))
                }
            } catch { failure = error }
        }
        if let failure, found.isEmpty { throw failed(failure) }
        return found
    }

    private static func sector(in bytes: [UInt8], at index: Int) -> BootRecord.Sector? {
        guard let sector = try? BootRecord.Sector(decoding: bytes), Int(sector.copy) == index else { return nil }
        return sector
    }

    private func failed(_ error: SystemError) -> BootError { .system(home: displayName, error) }
}
