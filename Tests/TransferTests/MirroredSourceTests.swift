import Platform
import Testing

@testable import Transfer

@Suite("One bundle at several places")
struct MirroredSourceTests {
    private let time = VirtualTime()
    private static let bytes: [UInt8] = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 9) }
    private static let length = UInt64(bytes.count)
    private static let large = [UInt8](repeating: 3, count: 40 << 20)

    private func places(_ names: String..., bytes: [UInt8] = bytes) -> [FakePlace] {
        names.map { FakePlace($0, bytes, time) }
    }

    private func source(_ places: [FakePlace], headPlace: Int? = nil, options: HTTPOptions = .quick) -> MirroredSource {
        MirroredSource(places.map(\.place), headPlace: headPlace, options: options, time: time)
    }

    private func broken(_ fault: NetworkFault, after bytes: Int = 0) -> (after: Int, error: TransferError) {
        (bytes, .network(fault, source: "place", detail: "made by the test"))
    }

    @Test("The first place is the only one that is asked while it works")
    func first() {
        let all = places("near", "far")
        let reading = Reading.of(source(all), 5..<900_000)
        #expect(reading.error == nil && reading.bytes == Array(Self.bytes[5..<900_000]))
        #expect(all[1].ranges.isEmpty)
    }

    @Test(
        "A place that fails is left, and the next one goes on behind the last delivered byte",
        arguments: [
            NetworkFault.unreachable, .interrupted, .stalled, .notFound, .denied, .changed, .notABundle, .encoded,
        ])
    func failOver(fault: NetworkFault) {
        let all = places("near", "far")
        all[0].faults = [broken(fault, after: 300_000)]
        let reading = Reading.of(source(all), 0..<Self.length)
        #expect(reading.error == nil && reading.bytes == Self.bytes)
        #expect(all[1].ranges.first == 300_000..<Self.length)
        #expect(time.seconds == 0, "failing over waits for nothing")
    }

    @Test("A place that rested is used again, for what is still missing")
    func returns() {
        let all = places("near", "far", bytes: Self.large)
        for place in all { place.rate = 1_000_000 }
        all[0].faults = [broken(.interrupted, after: 1 << 20)]
        var options = HTTPOptions.quick
        options.backOffBaseMilliseconds = 2000
        options.backOffCapMilliseconds = 2000
        let reading = Reading.of(source(all, options: options), 0..<UInt64(Self.large.count))
        #expect(reading.error == nil && reading.bytes.count == Self.large.count)
        // What the far place gives until the first look, 8 MiB, takes longer than the rest of the near one.
        #expect(all[1].ranges == [1 << 20..<UInt64(Self.large.count)])
        #expect(all[0].ranges.last?.lowerBound == 9 << 20)
        #expect(all[0].ranges.last?.upperBound == UInt64(Self.large.count))
    }

    @Test("A read that crawls is moved to a place that nobody measured yet, and to one that is known to be faster")
    func slow() {
        let all = places("near", "far", bytes: Self.large)
        all[0].rate = 10_000
        all[1].rate = 5_000_000
        let reading = Reading.of(source(all), 0..<UInt64(Self.large.count))
        #expect(reading.error == nil && reading.bytes.count == Self.large.count)
        #expect(all[0].ranges.count == 1)
        #expect(time.seconds < 60, "\(time.seconds) s")
    }

    @Test("A place that is fast enough is kept although another one is a little faster")
    func fastEnough() {
        var board = SourceBoard(count: 2)
        board.scores[0].delivered(bytes: 1 << 20, nanoseconds: 1_000_000_000, at: 1)
        board.scores[1].delivered(bytes: 19 << 16, nanoseconds: 1_000_000_000, at: 1)
        #expect(board.choose(at: 2) == 0)
        board.scores[1].delivered(bytes: 64 << 20, nanoseconds: 1_000_000_000, at: 3)
        #expect(board.choose(at: 4) == 1)
        // An old measure counts no more: the place in front is tried again.
        #expect(board.choose(at: 5 + SourceScore.memoryNanoseconds) == 0)
    }

    @Test("A failure pulls the average down by its weight")
    func average() throws {
        var score = SourceScore()
        score.delivered(bytes: 1_000_000, nanoseconds: 1_000_000_000, at: 1)
        score.failed(.canceled, at: 2, rest: 10)
        #expect(try #require(score.knownRate(at: 3)).rounded() == 700_000)
        #expect(!score.isReady(at: 11) && score.isReady(at: 12))
    }

    @Test("Places whose bytes are not the bundle's are asked once more when none is left; the last one stays")
    func reject() {
        let all = places("false", "true")
        let source = source(all)
        _ = Reading.of(source, 0..<1000)
        #expect(source.reject(0..<1000) == .elsewhere)
        #expect(Reading.of(source, 0..<1000).bytes == Array(Self.bytes[..<1000]))
        #expect(all[0].ranges.count == 1 && all[1].ranges.count == 1)
        #expect(source.reject(0..<1000) == .elsewhere)
        _ = Reading.of(source, 0..<1000)
        #expect(all[0].ranges.count == 2 && all[1].ranges.count == 1)
        #expect(source.reject(0..<1000) == .nowhereElse)
    }

    @Test("A place with an object of another length is left at once")
    func otherLength() {
        let all = places("near", "far")
        let source = source(all)
        _ = Reading.of(source, 0..<10, available: true)
        all[0].faults = [broken(.interrupted)]
        all[1].bytes += [0]
        let reading = Reading.of(source, 0..<500_000)
        #expect(reading.error == nil && reading.bytes == Array(Self.bytes[..<500_000]))
        #expect(all[1].ranges.count == 1)
    }

    @Test("The place that was asked for says what the bundle is, and a cache gives the rest")
    func headPlace() {
        let all = places("cache", "origin")
        let source = source(all, headPlace: 1)
        _ = Reading.of(source, 0..<1000, available: true)
        _ = Reading.of(source, 1000..<2000)
        #expect(all[1].ranges.count == 1 && all[0].ranges == [1000..<2000])
    }

    @Test("When the place that was asked for is down a cache may say what the bundle is")
    func headFromCache() {
        let all = places("cache", "origin")
        all[1].isDown = .unreachable
        #expect(Reading.of(source(all, headPlace: 1), 0..<1000, available: true).bytes.count == 1000)
    }

    @Test("When every place is down the read fails after its rounds, with waits between them")
    func allDown() {
        let all = places("near", "far")
        for place in all { place.isDown = .unreachable }
        let reading = Reading.of(source(all), 0..<1000)
        #expect(reading.error?.code == "transfer.unreachable")
        #expect((2...4).contains(all[0].ranges.count), "\(all[0].ranges.count)")
    }

    @Test("Places that only refuse are not asked again and again")
    func allRefuse() {
        let all = places("near", "far")
        all[0].isDown = .notFound
        all[1].isDown = .denied
        #expect(Reading.of(source(all), 0..<1000).error?.code == "transfer.denied")
        #expect(all[0].ranges.count == 1 && all[1].ranges.count == 1)
        #expect(time.seconds == 0)
    }

    @Test("An expired address is told before everything else, because only a new one helps")
    func expired() {
        let all = places("near", "far")
        all[0].isDown = .addressExpired
        all[1].isDown = .notFound
        #expect(Reading.of(source(all), 0..<1000).error?.code == "transfer.address-expired")
    }

    @Test("An error of the reader ends the read and blames no place")
    func readerError() {
        let all = places("near", "far")
        let source = source(all)
        let wanted = TransferError.network(.stalled, source: "reader", detail: "its own")
        #expect(throws: wanted) { try source.read(0..<1000) { (_) throws(TransferError) in throw wanted } }
        #expect(Reading.of(source, 0..<1000).bytes.count == 1000)
        #expect(all[1].ranges.isEmpty)
    }

    @Test("A cancel ends the read, and every later one")
    func cancel() {
        let source = source(places("near", "far"))
        #expect(throws: TransferError.canceled) {
            try source.read(0..<Self.length) { (_) throws(TransferError) in source.cancel() }
        }
        #expect(Reading.of(source, 0..<1).error == .canceled)
    }

    @Test("The deadline counts over all places and rests")
    func deadline() {
        let all = places("near", "far", bytes: Self.large)
        for place in all { place.rate = 100_000 }
        var options = HTTPOptions.quick
        options.deadlineMilliseconds = 30_000
        let reading = Reading.of(source(all, options: options), 0..<UInt64(Self.large.count))
        #expect(reading.error?.code == "transfer.deadline")
        #expect(time.seconds < 32)
    }

    @Test("Bytes of places that were left still count")
    func received() {
        let all = places("near", "far")
        all[0].faults = [broken(.interrupted, after: 100_000)]
        let source = source(all)
        _ = Reading.of(source, 0..<Self.length)
        #expect(source.bytesReceived == Self.length)
    }
}
