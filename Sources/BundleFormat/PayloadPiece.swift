/// A part of the payload that is fetched only by those who want it: the tables of a component's other forms live
/// there, so that the head of the bundle stays small. It is one zstd frame that tells its content size.
public struct PayloadPiece: Equatable, Sendable {
    /// From the start of the payload.
    public let offset: UInt64
    /// Bytes stored, 1 to `BundleLimits.piece`.
    public let length: Int
    /// SHA-256 of the stored bytes: checked before zstd sees them.
    public let digest: Digest
    /// Bytes after decompression, 1 to `BundleLimits.plainPiece`.
    public let plainLength: Int

    public init(offset: UInt64, length: Int, digest: Digest, plainLength: Int) {
        self.offset = offset
        self.length = length
        self.digest = digest
        self.plainLength = plainLength
    }
}

/// An image that a device may hold already, named by the SHA-256 of all its bytes: the same name whether it came
/// from a bundle, at any compression level, or was put there by a factory.
public struct DeltaBase: Hashable, Sendable {
    public let digest: Digest
    /// Bytes, 1 to `BundleLimits.image`.
    public let size: UInt64

    public init(digest: Digest, size: UInt64) {
        self.digest = digest
        self.size = size
    }
}

/// How a device that holds a certain other image gets this one.
public struct DeltaForm: Equatable, Sendable {
    public let base: DeltaBase
    public let table: PayloadPiece
    /// Bytes of all its groups: what a device fetches beside the table.
    public let payload: UInt64

    public init(base: DeltaBase, table: PayloadPiece, payload: UInt64) {
        self.base = base
        self.table = table
        self.payload = payload
    }
}

/// The smallest whole form: a delta whose only base is the image itself, as far as it is written already.
public struct SolidForm: Equatable, Sendable {
    public let table: PayloadPiece
    /// Bytes of all its groups: what a device fetches beside the table.
    public let payload: UInt64

    public init(table: PayloadPiece, payload: UInt64) {
        self.table = table
        self.payload = payload
    }
}

/// The image in single blocks of 4096 bytes, for a device that holds many of them somewhere.
public struct BlocksForm: Equatable, Sendable {
    public let index: PayloadPiece
    /// Bytes of all pages and blocks.
    public let payload: UInt64

    public init(index: PayloadPiece, payload: UInt64) {
        self.index = index
        self.payload = payload
    }
}
