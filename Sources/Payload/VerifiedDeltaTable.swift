public import BundleFormat
internal import Platform
public import Trust

/// A delta table whose bytes matched the digest in a verified manifest and which fits the chunk table of the same
/// image: a delta from a base, or the solid form.
public struct VerifiedDeltaTable: Sendable {
    public let table: DeltaTable
    /// The windows that come of it: their plain digests decide.
    public let chunks: VerifiedChunkTable

    /// Checks the stored bytes of a delta's table.
    public init(
        stored: [UInt8], delta: DeltaForm, of chunks: VerifiedChunkTable
    ) throws(PayloadError) {
        try self.init(
            stored: stored, piece: delta.table, base: delta.base, payload: delta.payload, name: "a delta table",
            of: chunks)
    }

    /// Checks the stored bytes of the solid form's table.
    public init(
        stored: [UInt8], solid: SolidForm, of chunks: VerifiedChunkTable
    ) throws(PayloadError) {
        try self.init(
            stored: stored, piece: solid.table, base: nil, payload: solid.payload, name: "the solid table",
            of: chunks)
    }

    private init(
        stored: [UInt8], piece: PayloadPiece, base: DeltaBase?, payload: UInt64, name: String,
        of chunks: VerifiedChunkTable
    ) throws(PayloadError) {
        let id = chunks.component.id
        let bytes = try piece.open(stored, name: name, of: id)
        do throws(FormatError) {
            table = try DeltaTable.decode(bytes)
        } catch {
            throw .defective(component: id, what: name, why: error.context)
        }
        self.chunks = chunks
        let (plain, end) = (chunks.table, chunks.payloadLength)
        guard table.imageSize == plain.imageSize, table.windowSize == plain.windowSize, table.base == base,
            table.payloadLength == payload, table.payloadOffset <= end, payload <= end - table.payloadOffset
        else { throw .defective(component: id, what: name, why: "it does not fit the manifest") }
        for group in table.groups.indices {
            var cursor = table.cursor(of: group)
            _ = cursor.references()
            for window in table.groups[group].windows {
                if (cursor.nextWindow() == 0) != (plain.windows[window].codec == .zero) {
                    throw .defective(component: id, what: name, why: "window \(window) is not as in the chunk table")
                }
                while cursor.nextOperation() != nil {}
            }
        }
    }
}

/// A block index whose bytes matched the digest in a verified manifest and which fits the image's chunk table.
public struct VerifiedBlockIndex: Sendable {
    public let index: BlockIndex
    /// The windows that come of it: their plain digests decide.
    public let chunks: VerifiedChunkTable

    /// Checks the stored bytes of an index.
    public init(stored: [UInt8], form: BlocksForm, of chunks: VerifiedChunkTable) throws(PayloadError) {
        let id = chunks.component.id
        let name = "the block index"
        let bytes = try form.index.open(stored, name: name, of: id)
        do throws(FormatError) {
            index = try BlockIndex.decode(bytes, of: chunks.table)
        } catch {
            throw .defective(component: id, what: name, why: error.context)
        }
        self.chunks = chunks
        let end = chunks.payloadLength
        guard index.payloadLength == form.payload, index.payloadOffset <= end,
            form.payload <= end - index.payloadOffset
        else { throw .defective(component: id, what: name, why: "it does not fit the manifest") }
    }
}

extension PayloadPiece {
    /// The plain bytes of a piece: first its digest, then zstd.
    func open(_ stored: [UInt8], name: String, of id: Identifier) throws(PayloadError) -> [UInt8] {
        if stored.count != length || SHA256.digest(of: stored) != digest {
            throw .damaged(component: id, what: name)
        }
        let zstd = try ZstdDecoder()
        var plain = [UInt8](repeating: 0, count: plainLength)
        if let why = zstd.decode(stored.rawBytes, into: &plain) {
            throw .defective(component: id, what: name, why: why)
        }
        return plain
    }
}
