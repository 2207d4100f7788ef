internal import BundleFormat
public import Platform
internal import Trust

/// Stored bytes of one delta group whose digest was found right: the only thing that a `DeltaDecoder` takes (nothing
/// unauthenticated reaches zstd or the difference decoder).
public struct StoredGroup: ~Copyable {
    /// Which group of the table.
    public let index: Int
    /// The memory that holds the stored bytes; free again after `DeltaDecoder.begin`.
    public let buffer: AlignedBuffer
    /// Where they start in it.
    let start: Int
    let length: Int

    /// Checks `length` bytes of `buffer`, from `start` on, against the table. A group without residual has no bytes.
    public init(
        checking buffer: AlignedBuffer, at start: Int = 0, length: Int, of table: VerifiedDeltaTable, group index: Int
    ) throws(PayloadError) {
        let group = table.table.groups[index]
        if let digest = group.storedDigest {
            guard length == group.storedLength, start >= 0, length <= buffer.capacity - start,
                SHA256.digest(of: buffer.bytes.extracting(start..<(start + length))) == digest
            else { throw .damaged(component: table.chunks.component.id, what: "group \(index)") }
        }
        self.index = index
        self.buffer = buffer
        self.start = start
        self.length = group.storedLength
    }
}
