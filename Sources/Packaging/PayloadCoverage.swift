internal import BundleFormat

/// Checks that windows and other forms use every byte of the payload, and none of them in two different ways: what no digest
/// covers has no place in a bundle.
struct PayloadCoverage {
    private var lengths: [UInt64: UInt64] = [:]

    /// Adds the windows of one image.
    mutating func add(_ table: ChunkTable) throws(FormatError) {
        for entry in table.windows where entry.codec != .zero {
            let length = UInt64(entry.storedLength)
            if let other = lengths[entry.storedOffset], other != length { throw Self.overlap }
            lengths[entry.storedOffset] = length
        }
    }

    /// Adds a form's table and the stored bytes that it names.
    mutating func add(_ piece: PayloadPiece, payload: UInt64, at offset: UInt64) throws(FormatError) {
        for (start, length) in [(piece.offset, UInt64(piece.length)), (offset, payload)] where length > 0 {
            if lengths[start] != nil { throw Self.overlap }
            lengths[start] = length
        }
    }

    /// Refuses gaps, overlaps and what is behind the last window.
    func check(payloadLength: UInt64) throws(FormatError) {
        var next: UInt64 = 0
        for (offset, length) in lengths.sorted(by: { $0.key < $1.key }) {
            if offset < next { throw Self.overlap }
            if offset > next { throw Self.unused }
            next = offset + length
        }
        if next != payloadLength { throw Self.unused }
    }

    private static let overlap = FormatError.malformed(what: "the payload", "has windows or forms that overlap")
    private static let unused = FormatError.malformed(what: "the payload", "has bytes that nothing uses")
}
