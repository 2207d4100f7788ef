internal import BundleFormat
internal import CZstd
internal import Platform
internal import Trust

/// A bundle as a source of bytes on the host, without a trust root: its digests are checked, its signatures are not.
/// What is taken from it is named by its SHA-256 afterwards, and a device decides by that.
final class UnverifiedBundle {
    let components: [Component]
    private let reader: BundleReader
    private let tables: [UInt8]

    /// Whether the file begins as a bundle does.
    static func isBundle(_ path: String) throws -> Bool {
        let file = try Descriptor(open: path, [.read])
        return try file.readBytes(at: 0, count: 8) == BundleHeader.magicBytes
    }

    init(_ path: String) throws {
        reader = try BundleReader.open(path)
        components = try UnverifiedHead(inspecting: reader.head).manifest.components
        tables = try reader.tables()
    }

    private func table(of component: Component) throws -> ChunkTable {
        let place = component.table.offset..<(component.table.offset + component.table.length)
        let bytes = Array(tables[place])
        if SHA256.digest(of: bytes) != component.table.digest {
            throw FormatError.digestMismatch(what: "the chunk table of \(component.id)")
        }
        return try ChunkTable.decode(bytes.rawBytes)
    }

    /// Writes the image of a component; zeros become holes.
    func unpack(_ component: Component, to file: borrowing Descriptor) throws {
        let table = try table(of: component)
        try file.truncate(to: component.size)
        var hash = SHA256()
        let zeros = [UInt8](repeating: 0, count: table.windowSize)
        for index in table.windows.indices {
            if table.windows[index].codec == .zero {
                hash.update(zeros.rawBytes.extracting(0..<table.plainLength(of: index)))
                continue
            }
            let plain = try window(index, of: table, component.id)
            hash.update(plain.rawBytes)
            try file.write(plain.rawBytes, at: table.plainOffset(of: index))
        }
        if hash.finish() != component.digest {
            throw FormatError.digestMismatch(what: "the image of \(component.id)")
        }
    }

    /// The first bytes of an image, at most a window.
    func start(of component: Component) throws -> [UInt8] {
        let table = try table(of: component)
        if table.windows[0].codec == .zero { return [] }
        return try window(0, of: table, component.id)
    }

    private func window(_ index: Int, of table: ChunkTable, _ id: Identifier) throws -> [UInt8] {
        let entry = table.windows[index]
        let stored = try reader.payload(at: entry.storedOffset, count: entry.storedLength)
        let damaged = FormatError.digestMismatch(what: "window \(index) of \(id)")
        if SHA256.digest(of: stored) != entry.storedDigest { throw damaged }
        if entry.codec == .stored { return stored }
        let plain = unsafe [UInt8](unsafeUninitializedCapacity: table.plainLength(of: index)) { memory, count in
            let size = unsafe ZSTD_decompress(memory.baseAddress, memory.count, stored, stored.count)
            count = ZSTD_isError(size) != 0 ? 0 : size
        }
        if SHA256.digest(of: plain) != entry.plainDigest { throw damaged }
        return plain
    }
}
