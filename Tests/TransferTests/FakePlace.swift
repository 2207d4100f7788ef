import Platform
import Synchronization

@testable import Transfer

/// A clock that only moves when somebody sleeps or a test says so.
final class VirtualTime: TimeSource {
    private let nanoseconds = Atomic<UInt64>(1_000_000_000)
    /// Seconds since 1970 at the start.
    private let epoch: Int64

    init(epoch: Int64 = 1_700_000_000) { self.epoch = epoch }

    var seconds: Double { Double(monotonicNanoseconds() - 1_000_000_000) / 1e9 }
    func monotonicNanoseconds() -> UInt64 { nanoseconds.load(ordering: .relaxed) }
    func realSeconds() -> Int64 { epoch + Int64((monotonicNanoseconds() - 1_000_000_000) / 1_000_000_000) }
    func sleep(nanoseconds: UInt64) { self.nanoseconds.add(nanoseconds, ordering: .relaxed) }
    func pass(seconds: Double) { sleep(nanoseconds: UInt64(seconds * 1e9)) }
}

/// A place of a bundle in memory that does as a test tells it: how fast it is, and what it fails with.
final class FakePlace: @unchecked Sendable {
    let name: String
    var bytes: [UInt8]
    /// Bytes per second of the virtual clock; nil: they cost no time.
    var rate: Double?
    /// What the next reads end with, each after so many bytes.
    var faults: [(after: Int, error: TransferError)] = []
    /// What every read ends with, as long as it stands.
    var isDown: NetworkFault?
    private(set) var ranges: [Range<UInt64>] = []
    private let time: VirtualTime

    init(_ name: String, _ bytes: [UInt8], _ time: VirtualTime, rate: Double? = nil) {
        self.name = name
        self.bytes = bytes
        self.time = time
        self.rate = rate
    }

    var place: BundlePlace {
        BundlePlace(displayName: name) { () throws(TransferError) -> any BundleSource in Source(self) }
    }

    /// One opened source of the place.
    private final class Source: BundleSource, @unchecked Sendable {
        let owner: FakePlace
        private let state = SourceState()
        var displayName: String { owner.name }
        var totalLength: UInt64? { state.total }
        var bytesReceived: UInt64 { state.received }
        init(_ owner: FakePlace) { self.owner = owner }
        func cancel() { state.cancel() }

        func read(_ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void) throws(TransferError) {
            try state.check()
            owner.ranges.append(range)
            if let fault = owner.isDown { throw .network(fault, source: owner.name, detail: "down") }
            let fault = owner.faults.isEmpty ? nil : owner.faults.removeFirst()
            state.learn(total: UInt64(owner.bytes.count))
            let bytes = owner.bytes
            var next = Int(range.lowerBound)
            let end = min(Int(range.upperBound), next + (fault?.after ?? .max - next))
            while next < end {
                try state.check()
                let count = min(16_384, end - next)
                if let rate = owner.rate { owner.time.pass(seconds: Double(count) / rate) }
                state.count(count)
                let all = bytes.rawBytes
                try deliver(all.extracting(next..<(next + count)))
                next += count
            }
            if let fault { throw fault.error }
        }

        func readAvailable(
            _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
        ) throws(TransferError) {
            try read(range.lowerBound..<min(range.upperBound, UInt64(owner.bytes.count)), deliver: deliver)
        }
    }
}
