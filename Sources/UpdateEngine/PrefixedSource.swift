internal import Platform
internal import Transfer

/// A source of which some bytes are already here: they are served from memory and the rest from the source, so that
/// nothing which the head's request brought is fetched again.
final class PrefixedSource: BundleSource, @unchecked Sendable {
    private let source: any BundleSource
    private let start: UInt64
    private var bytes: [UInt8]

    init(_ source: any BundleSource, at start: UInt64, bytes: [UInt8]) {
        self.source = source
        self.start = start
        self.bytes = bytes
    }

    var displayName: String { source.displayName }
    var totalLength: UInt64? { source.totalLength }
    var bytesReceived: UInt64 { source.bytesReceived }
    var askedRestNanoseconds: UInt64 { source.askedRestNanoseconds }
    var isSequential: Bool { source.isSequential }
    var isLocal: Bool { source.isLocal }
    func cancel() { source.cancel() }

    /// What is in memory needs no request.
    func announce(_ range: Range<UInt64>) {
        let end = start + UInt64(bytes.count)
        if range.lowerBound >= end || range.lowerBound < start { source.announce(range) }
    }

    /// What is rejected is not served from memory again.
    func reject(_ range: Range<UInt64>) -> SecondChance {
        if range.lowerBound < start + UInt64(bytes.count) { bytes = [] }
        return source.reject(range)
    }

    func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        let end = start + UInt64(bytes.count)
        guard range.lowerBound >= start, range.lowerBound < end, !range.isEmpty else {
            return try source.read(range, deliver: deliver)
        }
        let stop = min(range.upperBound, end)
        let part = Int(range.lowerBound - start)..<Int(stop - start)
        let held = bytes
        let piece = held.rawBytes.extracting(part)
        try deliver(piece)
        if stop < range.upperBound { try source.read(stop..<range.upperBound, deliver: deliver) }
    }

    func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try source.readAvailable(range, deliver: deliver)
    }
}
