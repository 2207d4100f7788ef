internal import BundleFormat
internal import Payload
internal import Platform
internal import Trust

/// An image in a file, as the decoder of a delta reads it.
final class FileImage: ImageReader {
    private let file: Descriptor

    /// Takes the file over.
    init(_ file: consuming Descriptor) { self.file = file }

    /// A file without a name for `size` bytes.
    convenience init(scratchOf size: UInt64) throws(SystemError) {
        let file = try Descriptor(unnamedIn: KnownBases.directory)
        try file.truncate(to: size)
        self.init(file)
    }

    func read(at offset: UInt64, count: Int, into buffer: AlignedBuffer, at place: Int) throws(SystemError) -> Int {
        try buffer.withMutableBytes { bytes throws(SystemError) in
            var part = bytes._mutatingExtracting(place..<(place + count))
            return try file.read(into: &part, at: offset)
        }
    }

    /// Writes bytes of the image.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(SystemError) { try file.write(bytes, at: offset) }
}

/// What a form cost to decode.
struct FormUse: Equatable {
    /// Windows that came of the form, and those that had to be taken from the windows of the bundle.
    var windows = 0
    var fallbacks = 0
    /// Bytes of the bundle that were read.
    var bytes: UInt64 = 0
}

/// Decodes the forms of a bundle in a file the way a device does.
final class FormReader {
    private let reader: BundleReader
    private let table: VerifiedChunkTable
    private let stored: AlignedBuffer
    private let plain: AlignedBuffer

    init(_ reader: BundleReader, _ table: VerifiedChunkTable) throws {
        self.reader = reader
        self.table = table
        stored = try AlignedBuffer(capacity: BundleLimits.window)
        plain = try AlignedBuffer(capacity: BundleLimits.window)
    }

    func deltaTable(_ form: DeltaForm) throws -> VerifiedDeltaTable {
        try VerifiedDeltaTable(
            stored: try reader.payload(at: form.table.offset, count: form.table.length), delta: form, of: table)
    }

    func solidTable(_ form: SolidForm) throws -> VerifiedDeltaTable {
        try VerifiedDeltaTable(
            stored: try reader.payload(at: form.table.offset, count: form.table.length), solid: form, of: table)
    }

    func blockIndex(_ form: BlocksForm) throws -> VerifiedBlockIndex {
        try VerifiedBlockIndex(
            stored: try reader.payload(at: form.index.offset, count: form.index.length), form: form, of: table)
    }

    /// Checks the stored bytes of every group, without decoding them.
    func checkGroups(_ delta: VerifiedDeltaTable) throws {
        for index in delta.table.groups.indices { _ = try group(index, delta) }
    }

    /// Decodes every window in order and hands it to `body`. A window that does not come out right is taken from the
    /// bundle's windows and counted. `target` must hold every window as soon as `body` returned.
    func decode(
        _ delta: VerifiedDeltaTable, base: FileImage?, target: FileImage,
        _ body: (borrowing VerifiedWindow) throws -> Void
    ) throws -> FormUse {
        var use = FormUse()
        let decoder = try DeltaDecoder(table: delta, base: base, target: target)
        for index in delta.table.groups.indices {
            try decoder.begin(try group(index, delta))
            use.bytes += UInt64(delta.table.groups[index].storedLength)
            var isDone = false
            while !isDone {
                switch try decoder.next(into: plain) {
                case .end: isDone = true
                case .verified(let window):
                    use.windows += 1
                    try body(window)
                case .mismatch(let number):
                    use.fallbacks += 1
                    use.bytes += UInt64(table.table.windows[number].storedLength)
                    try body(try reader.decode(table, number))
                }
            }
        }
        return use
    }

    private func group(_ index: Int, _ delta: VerifiedDeltaTable) throws -> StoredGroup {
        let group = delta.table.groups[index]
        let length = try reader.payload(at: group.storedOffset, count: group.storedLength, into: stored)
        return try StoredGroup(checking: stored, length: length, of: delta, group: index)
    }

    /// Builds every window of blocks alone; the error of the first thing that is not right.
    func checkBlocks(_ form: BlocksForm) throws {
        let index = try blockIndex(form)
        let assembler = try BlockAssembler(index: index)
        for window in table.table.windows.indices where index.index.hasBlocks(window) {
            let bytes = try reader.payload(
                at: index.index.pageOffset(of: window), count: index.index.pageLength(of: window))
            let page = try BlockPage(checking: bytes.rawBytes, of: index, window: window)
            assembler.begin(window: window, page: page, into: plain)
            while let entry = assembler.needed {
                let stored = try reader.payload(at: entry.storedOffset, count: entry.storedLength)
                try assembler.take(stored: stored.rawBytes)
            }
            guard case .verified = assembler.finish() else {
                throw PayloadError.defective(
                    component: table.component.id, what: "the blocks form", why: "window \(window) comes out wrong")
            }
        }
    }
}
