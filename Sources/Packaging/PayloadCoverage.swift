internal import BundleFormat

/// Checks that the windows use every byte of the payload, and none of them in two different ways: what no digest
/// covers has no place in a bundle.
struct PayloadCoverage {
    private var lengths: [UInt64: Int] = [:]

    /// Adds the windows of one image.
    mutating func add(_ table: ChunkTable) throws(FormatError) {
        for entry in table.windows where entry.codec != .zero {
            if let other = lengths[entry.storedOffset], other != entry.storedLength { throw Self.overlap }
            lengths[entry.storedOffset] = entry.storedLength
        }
    }

    /// Refuses gaps, overlaps and what is behind the last window.
    func check(payloadLength: UInt64) throws(FormatError) {
        var next: UInt64 = 0
        for (offset, length) in lengths.sorted(by: { $0.key < $1.key }) {
            if offset < next { throw Self.overlap }
            if offset > next { throw Self.unused }
            next = offset + UInt64(length)
        }
        if next != payloadLength { throw Self.unused }
    }

    private static let overlap = FormatError.malformed(what: "the payload", "has windows that overlap")
    private static let unused = FormatError.malformed(what: "the payload", "has bytes that no window uses")
}
