import Platform
import Testing
import Transfer

@testable import UpdateEngine

/// A payload of extents at one place, of which requests get damaged pieces now and then.
private final class DamagingSource: BundleSource, @unchecked Sendable {
    let bytes: [UInt8]
    /// Bytes in one piece.
    let piece: Int
    /// Whether the byte at this place comes damaged in this request for it, counted from 1.
    let damages: (UInt64, Int) -> Bool
    private(set) var requests: [Range<UInt64>] = []
    private(set) var announced: [Range<UInt64>] = []
    private(set) var bytesReceived: UInt64 = 0
    private var times: [UInt64: Int] = [:]

    init(_ bytes: [UInt8], piece: Int, damages: @escaping (UInt64, Int) -> Bool) {
        self.bytes = bytes
        self.piece = piece
        self.damages = damages
    }

    var displayName: String { "damaging" }
    var totalLength: UInt64? { UInt64(bytes.count) }
    func announce(_ range: Range<UInt64>) { announced.append(range) }
    func reject(_ range: Range<UInt64>) -> SecondChance { .afresh }
    func cancel() {}

    func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        requests.append(range)
        var next = Int(range.lowerBound)
        while next < Int(range.upperBound) {
            var part = Array(bytes[next..<min(next + piece, Int(range.upperBound))])
            for index in part.indices {
                let place = UInt64(next + index)
                times[place, default: 0] += 1
                if damages(place, times[place, default: 0]) { part[index] ^= 1 }
            }
            next += part.count
            bytesReceived += UInt64(part.count)
            let span = part.rawBytes
            try deliver(span)
        }
    }

    func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try read(range, deliver: deliver)
    }
}

/// Knows what the extents must hold.
private final class Collector: ExtentSink {
    private let bytes: [UInt8]
    let extents: [Extent]
    /// The first extent of the present request.
    var start = 0
    private(set) var taken: [Int] = []
    private(set) var buffersOut = 0
    /// Gives no more buffers after so many extents.
    var interruptsAfter: Int?

    init(_ extents: [Extent], of bytes: [UInt8]) {
        self.extents = extents
        self.bytes = bytes
    }

    func buffer() throws(Failure) -> AlignedBuffer? {
        if taken.count == interruptsAfter {
            interruptsAfter = nil
            return nil
        }
        buffersOut += 1
        do throws(SystemError) { return try AlignedBuffer(capacity: 4096) } catch { throw Failure(error) }
    }

    func giveBack(_ buffer: AlignedBuffer) { buffersOut -= 1 }

    func damage(_ number: Int) -> Failure { Failure(EngineError.fullForbidden("\(start + number)")) }

    func take(_ number: Int, _ buffer: AlignedBuffer?) throws(Failure) -> Bool {
        let extent = extents[start + number]
        if let buffer {
            let wanted = Array(bytes[Int(extent.offset)..<Int(extent.end)])
            let came = buffer.bytes.extracting(0..<extent.length)
            if [UInt8](copying: came) != wanted { return false }
            buffersOut -= 1
        }
        taken.append(start + number)
        return true
    }

    /// Fetches all, as the fetchers do.
    func collect(with fetcher: ExtentFetcher) throws(Failure) {
        while start < extents.count { start += try fetcher.fetch(Array(extents[start...]), next: nil, into: self) }
    }
}

@Suite("Extents are fetched in runs")
struct ExtentFetcherTests {
    private static let size = 100
    private static let gap = 7
    private static let bytes: [UInt8] = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 * 31 + ($0 >> 8) * 17) }

    /// So many extents with gaps between them, the first and every tenth one without bytes.
    private static func extents(_ count: Int) -> [Extent] {
        (0..<count).map { number in
            Extent(offset: UInt64(number * (size + gap)), length: number.isMultiple(of: 10) ? 0 : size)
        }
    }

    @Test("Every extent comes once and in order by one request, whatever the pieces are", arguments: [1, 7, 64, 5000])
    func pieces(piece: Int) throws {
        let source = DamagingSource(Self.bytes, piece: piece) { _, _ in false }
        let sink = Collector(Self.extents(31), of: Self.bytes)
        try sink.collect(with: ExtentFetcher(source, payloadOffset: 0))
        #expect(sink.taken == Array(0..<31))
        #expect(source.requests == [UInt64(Self.size + Self.gap)..<UInt64(29 * (Self.size + Self.gap) + Self.size)])
        #expect(sink.buffersOut == 0)
    }

    @Test("What the next request wants is announced before the present one")
    func announcement() throws {
        let source = DamagingSource(Self.bytes, piece: 64) { _, _ in false }
        let sink = Collector([Extent(offset: 5, length: 10)], of: Self.bytes.dropFirst(1000) + [])
        #expect(try ExtentFetcher(source, payloadOffset: 1000).fetch(sink.extents, next: 50..<60, into: sink) == 1)
        #expect(source.announced == [1050..<1060] && source.requests == [1005..<1015])
    }

    @Test("A run that its sink interrupts goes on at the extent that got no buffer")
    func interruption() throws {
        let source = DamagingSource(Self.bytes, piece: 64) { _, _ in false }
        let sink = Collector(Self.extents(31), of: Self.bytes)
        sink.interruptsAfter = 13
        try sink.collect(with: ExtentFetcher(source, payloadOffset: 0))
        #expect(sink.taken == Array(0..<31))
        #expect(source.requests.map(\.lowerBound) == [107, 13 * 107])
        #expect(sink.buffersOut == 0)
    }

    @Test("A damaged extent ends its request, and is asked for three times more at most")
    func oneDamaged() throws {
        let place = UInt64(5 * 107)
        let healing = DamagingSource(Self.bytes, piece: 10) { $0 == place && $1 <= 3 }
        let sink = Collector(Self.extents(31), of: Self.bytes)
        try sink.collect(with: ExtentFetcher(healing, payloadOffset: 0))
        #expect(sink.taken == Array(0..<31) && healing.requests.count == 4)
        let useful = UInt64(29 * 107 + Self.size - 107)
        #expect(healing.bytesReceived - useful <= 3 * UInt64(Self.size + 10))

        let broken = DamagingSource(Self.bytes, piece: 10) { place, _ in place == 5 * 107 }
        let other = Collector(Self.extents(31), of: Self.bytes)
        let failure = #expect(throws: Failure.self) {
            try other.collect(with: ExtentFetcher(broken, payloadOffset: 0))
        }
        #expect(failure?.code == "policy.full-download" && other.taken == Array(0..<5))
        #expect(broken.requests.count == 4 && other.buffersOut == 0)
    }

    @Test("Damage in all costs at most eight extents and one for each sixteen good ones", arguments: [1, 2, 8, 16, 17])
    func bound(every: Int) throws {
        // Each so-manieth extent comes damaged the first time.
        let step = UInt64(Self.size)
        let extents = (0..<1000).map { Extent(offset: UInt64($0) * step, length: Self.size) }
        let source = DamagingSource(Self.bytes, piece: 100) { place, times in
            place % (step * UInt64(every)) == 0 && times == 1
        }
        let sink = Collector(extents, of: Self.bytes)
        let fetcher = ExtentFetcher(source, payloadOffset: 0)
        if every < 16 {
            #expect(throws: Failure.self) { try sink.collect(with: fetcher) }
            #expect(sink.taken.count < 1000)
        } else {
            try sink.collect(with: fetcher)
            #expect(sink.taken == Array(0..<1000))
        }
        let wasted = Int(source.bytesReceived) / Self.size - sink.taken.count
        #expect(wasted > 0 && wasted <= 8 + 1 + sink.taken.count / DamageRepeats.price)
    }
}
