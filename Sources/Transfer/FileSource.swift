internal import Platform

/// A bundle in a local file or on a raw block device (a USB stick).
public final class FileSource: BundleSource {
    /// Bytes of one read(2).
    static let pieceBytes = 262_144
    /// Bytes that the medium reads ahead while a piece is worked on.
    private static let aheadBytes: UInt64 = 2 * 1024 * 1024

    public let displayName: String
    private let file: Descriptor
    private let buffer: AlignedBuffer
    private let dropsBehind: Bool
    private let length: UInt64
    private let state = SourceState()

    /// Opens the file; its length is taken now and must not shrink while it is read.
    ///
    /// `dropsBehind` asks the kernel to forget each piece once it is delivered (posix_fadvise(2)), so that a large
    /// bundle does not push the gateway's working set out of memory. It is a hint: where it fails nothing is lost.
    /// On a block device it does not count: there only the whole device's pages can be dropped.
    public init(path: String, dropsBehind: Bool = true) throws(TransferError) {
        do throws(SystemError) {
            file = try Descriptor(open: path, [.read])
            switch try file.kind() {
            case .file: self.dropsBehind = dropsBehind
            case .blockDevice: self.dropsBehind = false
            case .directory:
                throw SystemError(number: SystemError.isDirectory, operation: "read", subject: path)
            case .characterDevice, .other:
                throw SystemError(number: SystemError.invalid, operation: "read at an offset", subject: path)
            }
            length = try file.size()
            buffer = try AlignedBuffer(capacity: Self.pieceBytes)
        } catch {
            throw TransferError.system(error)
        }
        displayName = path
        state.learn(total: length)
    }

    public var totalLength: UInt64? { length }
    public var bytesReceived: UInt64 { state.received }
    public var isLocal: Bool { true }

    public func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try state.check()
        if range.isEmpty { return }
        if range.upperBound > length {
            throw TransferError.outOfRange(source: displayName, end: range.upperBound, length: length)
        }
        let piece = buffer
        var offset = range.lowerBound
        var announced = offset
        while offset < range.upperBound {
            try state.check()
            let count = Int(min(UInt64(Self.pieceBytes), range.upperBound - offset))
            announce(from: &announced, readingAt: offset, upTo: range.upperBound)
            try fill(count, at: offset)
            state.count(count)
            try deliver(piece.bytes.extracting(0..<count))
            dropBehind(count, at: offset)
            offset += UInt64(count)
        }
    }

    public func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        if !range.isEmpty && range.lowerBound >= length {
            throw TransferError.outOfRange(source: displayName, end: range.lowerBound + 1, length: length)
        }
        try read(range.lowerBound..<max(range.lowerBound, min(range.upperBound, length)), deliver: deliver)
    }

    public func cancel() { state.cancel() }

    /// Asks for the next bytes in halves of the read-ahead, so that there is always one on its way.
    private func announce(from announced: inout UInt64, readingAt offset: UInt64, upTo end: UInt64) {
        if announced >= end || announced > offset + Self.aheadBytes / 2 { return }
        let next = min(offset + Self.aheadBytes, end)
        file.willNeed(at: announced, size: next - announced)
        announced = next
    }

    private func fill(_ count: Int, at offset: UInt64) throws(TransferError) {
        let got: Int
        do {
            got = try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
                var piece = bytes._mutatingExtracting(0..<count)
                return try file.read(into: &piece, at: offset)
            }
        } catch {
            throw TransferError.system(error)
        }
        if got < count { throw TransferError.fileChanged(path: displayName) }
    }

    /// Failing to forget pages costs memory, not correctness: the error is of no use to anyone.
    private func dropBehind(_ count: Int, at offset: UInt64) {
        guard dropsBehind else { return }
        do { try file.dropCache(at: offset, size: UInt64(count)) } catch {}
    }
}
