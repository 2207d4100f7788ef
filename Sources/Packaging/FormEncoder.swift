internal import BundleFormat
internal import DeltaEncoding
internal import Platform

/// The other forms of one image.
struct EncodedForms {
    var deltas: [DeltaForm] = []
    var solid: SolidForm?
    var blocks: BlocksForm?
}

/// Makes the forms of one image behind its windows in the payload.
struct FormEncoder {
    let image: ByteBlock
    let chunks: ChunkTable
    let level: Int
    let jobs: Int
    let writer: PayloadWriter

    /// A delta from one base. `progress` gets image bytes done.
    func delta(from base: BaseImage, _ progress: (UInt64) throws -> Void) throws -> DeltaForm {
        let (table, payload) = try groups(base, progress)
        return DeltaForm(base: base.name, table: table, payload: payload)
    }

    /// The solid form.
    func solid(_ progress: (UInt64) throws -> Void) throws -> SolidForm {
        let (table, payload) = try groups(nil, progress)
        return SolidForm(table: table, payload: payload)
    }

    /// The blocks form.
    func blocks(_ progress: (UInt64) throws -> Void) throws -> BlocksForm {
        let start = writer.length
        let windows = chunks.windows.indices.filter { chunks.windows[$0].codec != .zero }
        let encoder = BlockEncoder(image: image, windowSize: chunks.windowSize, level: level, jobs: jobs)
        let coded = try encoder.encode(windows: windows, progress: progress) { try writer.append($0) }
        let index = try BlockIndex(of: chunks, payloadOffset: start, windows: coded)
        return BlocksForm(index: try piece(index.encode()), payload: index.payloadLength)
    }

    private func groups(
        _ base: BaseImage?, _ progress: (UInt64) throws -> Void
    ) throws -> (table: PayloadPiece, payload: UInt64) {
        let start = writer.length
        let encoder = DeltaEncoder(
            image: image, base: base?.bytes, windowSize: chunks.windowSize, level: level, jobs: jobs)
        let plans = try encoder.encode(progress: progress) { try writer.append($0) }
        let table = try DeltaTable(
            imageSize: chunks.imageSize, base: base?.name, windowSize: chunks.windowSize, payloadOffset: start,
            groups: plans)
        return (table: try piece(table.encode()), payload: table.payloadLength)
    }

    private func piece(_ table: [UInt8]) throws -> PayloadPiece {
        if table.count > BundleLimits.plainPiece {
            throw PackagingError.releaseTooLarge(
                what: "the table of a form", size: UInt64(table.count), limit: UInt64(BundleLimits.plainPiece))
        }
        guard let frame = TablePiece.pack(table, level: level) else {
            throw PackagingError.compression("no memory for a context")
        }
        let offset = writer.length
        try writer.append(frame)
        return PayloadPiece(
            offset: offset, length: frame.count, digest: SHA256.digest(of: frame), plainLength: table.count)
    }
}
