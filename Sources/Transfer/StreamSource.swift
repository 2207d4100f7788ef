internal import Platform

/// A bundle that comes by a pipe, standard input above all: read once, in order, without seeking. Nothing is spooled; the
/// one buffer of a piece is all the memory it takes. What is not wanted is read and thrown away.
public final class StreamSource: BundleSource, @unchecked Sendable {
    /// Bytes of one read(2) at most.
    static let pieceBytes = 262_144
    /// How long a wait for the writer lasts before a cancel is looked at again, milliseconds.
    private static let tick: Int32 = 100

    public let displayName: String
    private let file: Descriptor
    private let buffer: AlignedBuffer
    private let state = SourceState()
    private var position: UInt64 = 0

    public var isSequential: Bool { true }
    /// A pipe says how long the bundle is only by its end.
    public var totalLength: UInt64? { state.total }
    public var bytesReceived: UInt64 { state.received }

    /// Standard input.
    public static func standardInput() throws(TransferError) -> StreamSource {
        do throws(SystemError) {
            return try StreamSource(Descriptor(duplicating: 0, path: "standard input"), name: "standard input")
        } catch {
            throw .system(error)
        }
    }

    init(_ file: consuming Descriptor, name: String) throws(SystemError) {
        self.file = file
        displayName = name
        buffer = try AlignedBuffer(capacity: Self.pieceBytes)
    }

    public func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try state.check()
        if range.isEmpty { return }
        try skip(to: range.lowerBound)
        if try !pass(range, deliver) { throw ended(before: range.upperBound) }
    }

    public func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try state.check()
        if range.isEmpty { return }
        try skip(to: range.lowerBound)
        let before = position
        if try !pass(range, deliver), position == before { throw ended(before: range.lowerBound + 1) }
    }

    public func cancel() { state.cancel() }

    private func skip(to offset: UInt64) throws(TransferError) {
        if offset < position {
            throw .network(
                .streamOrder, source: displayName, detail: "byte \(offset) went by, the next one is \(position)")
        }
        if try !pass(position..<offset, { (_) throws(TransferError) in }) {
            throw ended(before: offset)
        }
    }

    /// A pipe that ends early may be a broken one as well as a short bundle: the attempt waits for another pipe.
    private func ended(before end: UInt64) -> TransferError {
        .network(.streamGone, source: displayName, detail: "it ended after \(position) bytes, \(end) are needed")
    }

    /// Delivers up to the end of the range; false when the pipe ended first.
    private func pass(
        _ range: Range<UInt64>, _ deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) -> Bool {
        let piece = buffer
        while position < range.upperBound {
            let wanted = Int(min(UInt64(Self.pieceBytes), range.upperBound - position))
            let count = try fill(wanted)
            if count == 0 {
                state.learn(total: position)
                return false
            }
            position += UInt64(count)
            state.count(count)
            try deliver(piece.bytes.extracting(0..<count))
        }
        return true
    }

    private func fill(_ wanted: Int) throws(TransferError) -> Int {
        while true {
            try state.check()
            do throws(SystemError) {
                if try !file.waitUntilReadable(milliseconds: Self.tick) { continue }
                return try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
                    var piece = bytes._mutatingExtracting(0..<wanted)
                    return try file.readNext(into: &piece)
                }
            } catch {
                throw .system(error)
            }
        }
    }
}
