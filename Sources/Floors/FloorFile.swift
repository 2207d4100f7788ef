internal import BundleFormat
internal import Platform

/// The floor in two files, `floor.0` and `floor.1` of the data directory, 0600. It protects from accidents and from
/// a boot record that was restored alone; who can write the data directory can turn it back.
///
/// Each copy, all integers little endian:
///
///     0   magic "KEDGEFL1"
///     8   revision u64: rises with every write
///     16  floor u32
///     20  zero u32
///     24  SHA-256 of bytes 0 to 23
///     56  end
///
/// The copy with the higher revision counts. A write replaces the older copy, flushes and reads back before it
/// touches the other one, so that power may go at any byte and one copy is whole.
public final class FloorFile: FloorStore {
    public let kind = FloorKind.file
    public let displayName: String
    private let directory: String

    private static let magic: [UInt8] = Array("KEDGEFL1".utf8)
    private static let byteCount = 24 + Digest.byteCount

    /// Nothing is opened yet; the directory must exist before the first write.
    public init(directory: String) {
        self.directory = directory
        displayName = "floor file \(directory)/floor.0"
    }

    private struct Copy {
        let index: Int
        let revision: UInt64
        let floor: UInt32
    }

    private enum Found {
        case whole(Copy)
        case damaged, missing
    }

    public func read() throws(FloorError) -> UInt32 { try newest()?.floor ?? 0 }

    public func raise(to floor: UInt32) throws(FloorError) -> UInt32 {
        let former: Copy?
        do throws(FloorError) { former = try newest() } catch {
            guard case .damaged = error else { throw error }
            try write(floor, after: Copy(index: 1, revision: 0, floor: 0))
            return floor
        }
        if let former, former.floor >= floor { return former.floor }
        if former == nil, floor == 0 { return 0 }
        try write(floor, after: former ?? Copy(index: 1, revision: 0, floor: 0))
        return floor
    }

    public func lower(to floor: UInt32) throws(FloorError) {
        guard let former = try newest(), former.floor > floor else { return }
        try write(floor, after: former)
    }

    /// The newest whole copy; nil when the floor was never raised.
    private func newest() throws(FloorError) -> Copy? {
        let found = [try copy(0), try copy(1)]
        var newest: Copy?
        var damaged = 0
        var missing = 0
        for entry in found {
            switch entry {
            case .whole(let copy): if copy.revision > newest?.revision ?? 0 { newest = copy }
            case .damaged: damaged += 1
            case .missing: missing += 1
            }
        }
        if let newest { return newest }
        // The second copy is written only once the first one is whole: with one copy damaged and the other one never
        // made, the first raise was interrupted.
        if missing == 2 || damaged == 1 && missing == 1 { return nil }
        throw .damaged(store: displayName)
    }

    private func path(_ index: Int) -> String { "\(directory)/floor.\(index)" }

    private func copy(_ index: Int) throws(FloorError) -> Found {
        let bytes: [UInt8]
        do throws(SystemError) {
            if try FileSystem.kind(of: path(index)) == nil { return .missing }
            bytes = try FileSystem.read(path(index), limit: 4096)
        } catch { throw .system(store: displayName, error) }
        guard bytes.count == Self.byteCount, Array(bytes[0..<8]) == Self.magic,
            Digest(bytes: bytes.rawBytes, at: 24) == SHA256.digest(of: Array(bytes[0..<24]))
        else { return .damaged }
        do throws(FormatError) {
            var reader = ByteReader(bytes.rawBytes, what: "the floor")
            _ = try reader.array(8)
            return .whole(Copy(index: index, revision: try reader.u64(), floor: try reader.u32()))
        } catch { return .damaged }
    }

    private func write(_ floor: UInt32, after former: Copy) throws(FloorError) {
        var writer = ByteWriter()
        writer.array(Self.magic)
        writer.u64(former.revision + 1)
        writer.u32(floor)
        writer.u32(0)
        writer.digest(SHA256.digest(of: writer.bytes))
        for index in [1 - former.index, former.index] {
            do throws(SystemError) {
                if try store(writer.bytes, at: path(index)) != writer.bytes {
                    throw SystemError(number: SystemError.inputOutput, operation: "read back", subject: path(index))
                }
            } catch {
                throw error.number == SystemError.inputOutput
                    ? .readBackMismatch(store: displayName) : .system(store: displayName, error)
            }
        }
    }

    private func store(_ bytes: [UInt8], at path: String) throws(SystemError) -> [UInt8] {
        let isNew = try FileSystem.kind(of: path) == nil
        let file = try Descriptor(open: path, [.read, .write, .create, .noFollow], mode: 0o600)
        let back = try file.writeThrough(bytes, at: 0)
        if isNew {
            try file.flushAll()
            try FileSystem.flushDirectory(directory)
        }
        return back
    }
}
