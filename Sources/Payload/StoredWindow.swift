internal import BundleFormat
public import Platform
public import Trust

/// Stored bytes of one window whose digest was found right: the only thing that a decoder takes
/// (nothing unauthenticated reaches zstd).
public struct StoredWindow: ~Copyable {
    /// Which window.
    public let index: Int
    let table: VerifiedChunkTable
    /// The memory that holds the stored bytes.
    public let buffer: AlignedBuffer
    let length: Int

    /// Checks `length` bytes at the start of `buffer` against the chunk table. A zero window has no bytes.
    public init(
        checking buffer: AlignedBuffer, length: Int, of table: VerifiedChunkTable, index: Int
    ) throws(PayloadError) {
        let entry = table.table.windows[index]
        if entry.codec != .zero {
            guard length == entry.storedLength, length <= buffer.capacity,
                SHA256.digest(of: buffer.bytes.extracting(0..<length)) == entry.storedDigest
            else { throw .storedDigest(component: table.component.id, window: index) }
        }
        self.index = index
        self.table = table
        self.buffer = buffer
        self.length = length
    }
}
