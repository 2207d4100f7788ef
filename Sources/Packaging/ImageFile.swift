internal import BundleFormat
internal import DeltaEncoding
internal import Platform

/// An image that is read once, from start to end, and must not change meanwhile.
final class ImageFile {
    /// Its size when it was opened, bytes.
    let size: UInt64
    private let file: Descriptor
    private let isRegular: Bool
    private let modified: Int64

    init(_ path: String) throws {
        file = try Descriptor(open: path, [.read])
        switch try file.kind() {
        case .file: isRegular = true
        case .blockDevice: isRegular = false
        default: throw PackagingError.output(path: path, why: "is neither a file nor a block device")
        }
        size = try file.size()
        modified = try file.modified()
        if size == 0 { throw PackagingError.imageEmpty(file: path) }
        if size > BundleLimits.image {
            throw PackagingError.imageTooLarge(file: path, size: size, limit: BundleLimits.image)
        }
    }

    /// When a regular file last changed, seconds since 1970; nil for a device, whose node says nothing.
    var modifiedSeconds: Int64? { isRegular ? modified / 1_000_000_000 : nil }

    /// The whole image mapped into memory.
    func map() throws -> ByteBlock { try ByteBlock(mapping: file, size: size) }

    /// Fills the start of `buffer` with the `count` bytes at `offset`.
    func read(into buffer: AlignedBuffer, count: Int, at offset: UInt64) throws {
        if try file.read(into: buffer, count: count, at: offset) != count {
            throw PackagingError.imageChanged(file: file.path)
        }
    }

    /// Refuses a file whose size or modification time is not what it was when it was opened.
    func checkUnchanged() throws {
        if isRegular, try file.size() != size || file.modified() != modified {
            throw PackagingError.imageChanged(file: file.path)
        }
    }
}
