public import Platform

/// One of the places where a bundle may be.
public struct BundlePlace: Sendable {
    /// For messages: no credentials and no query string.
    public let displayName: String
    /// Makes the source; called again after the place was left.
    let open: @Sendable () throws(TransferError) -> any BundleSource

    public init(displayName: String, open: @escaping @Sendable () throws(TransferError) -> any BundleSource) {
        self.displayName = displayName
        self.open = open
    }
}

/// One bundle at several places. What the bundle is, the manifest says and no place does: a place whose bytes do not
/// fit the manifest is dropped, one that fails rests, and the read goes on behind the last delivered byte elsewhere.
///
/// Every few megabytes of a long read it looks which place is best, so that one that comes back, a LAN cache above all, is
/// used again before the whole bundle has gone over the far one. As long as the same one is, it is one request: on a link
/// with latency, each new one costs a round trip. One place is open at a time: memory does not grow with their number.
public final class MirroredSource: BundleSource, @unchecked Sendable {
    /// Bytes after which it looks whether another place is better.
    static let segmentBytes: UInt64 = 8 * 1024 * 1024
    /// Shortest rest of a place that answered wrongly: it will hardly do better in a few seconds.
    private static let refusalRestMilliseconds: UInt32 = 30_000

    private let places: [BundlePlace]
    private let headPlace: Int?
    private let options: HTTPOptions
    private let time: any TimeSource
    private let random: any RandomSource
    private let state: SourceState
    private let monitor = Monitor()
    private var board: SourceBoard
    /// The open place, and the bytes of those that were left; guarded by the monitor.
    private var current: (index: Int, source: any BundleSource)?
    private var earlier: UInt64 = 0

    /// At least one place, in the order in which they are wanted. `headPlace` is the one that says what the bundle is,
    /// as long as it answers: a cache may have an older bundle under the same name. Of `options` the back-off counts,
    /// the deadline, and the rounds without progress after which a read fails.
    public init(
        _ places: [BundlePlace], headPlace: Int? = nil, options: HTTPOptions, time: any TimeSource = SystemTime(),
        random: any RandomSource = SystemRandom()
    ) {
        precondition(!places.isEmpty)
        self.places = places
        self.headPlace = headPlace
        self.options = options
        self.time = time
        self.random = random
        board = SourceBoard(count: places.count)
        state = SourceState(
            deadline: Deadline(
                milliseconds: options.deadlineMilliseconds, source: places[0].displayName, time: time))
    }

    public var displayName: String { places[monitor.locked { current?.index } ?? 0].displayName }
    public var totalLength: UInt64? { state.total }
    public var bytesReceived: UInt64 { monitor.locked { earlier + (current?.source.bytesReceived ?? 0) } }

    public func cancel() {
        monitor.locked {
            state.cancel()
            current?.source.cancel()
        }
    }

    public func announce(_ range: Range<UInt64>) {
        monitor.locked { current }?.source.announce(range)
    }

    /// The next place first. When every place was rejected, all but the last get one more chance, past their caches:
    /// a bit that flipped on the way says nothing of what a place has.
    public func reject(_ range: Range<UInt64>) -> SecondChance {
        guard let index = monitor.locked({ current?.index }) else { return .nowhereElse }
        // Before the head was taken as good, nothing that the place said about the object counts.
        if range.lowerBound == 0 { state.forgetTotal() }
        func isLeft(_ other: Int) -> Bool { other != index && !board.scores[other].isRejected }
        if !board.scores.indices.contains(where: isLeft), !asksAfresh {
            asksAfresh = true
            for other in board.scores.indices where other != index { board.scores[other].pardon() }
        }
        guard board.scores.indices.contains(where: isLeft) else {
            return monitor.locked { current?.source.reject(range) } ?? .nowhereElse
        }
        board.scores[index].reject(
            .network(.changed, source: places[index].displayName, detail: "its bytes are not the bundle's"))
        leave()
        return .elsewhere
    }

    public func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try state.check()
        var next = range.lowerBound
        while next < range.upperBound {
            next += try segment(next..<range.upperBound, .exact, deliver).bytes
        }
    }

    public func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try state.check()
        var next = range.lowerBound
        var isDone = range.isEmpty
        while !isDone, next < min(range.upperBound, state.total ?? .max) {
            let (bytes, isWhole) = try segment(next..<range.upperBound, .available, deliver)
            next += bytes
            isDone = isWhole
        }
    }

    private enum Demand { case exact, available }
    /// Whether places that were rejected are asked once more.
    private var asksAfresh = false
    /// Rounds in a row in which no place could be asked.
    private var fruitless: UInt32 = 0

    /// Asks one place once; the bytes it delivered, and whether it gave all it was asked for. Throws the reader's own
    /// error, or what the places say when none is left to ask.
    private func segment(
        _ range: Range<UInt64>, _ demand: Demand, _ deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) -> (bytes: UInt64, isWhole: Bool) {
        let index = try choose(demand)
        let watch = SegmentWatch(time)
        do throws(TransferError) {
            let source = try enter(index)
            let pass = { (piece: RawSpan) throws(TransferError) in
                try self.state.check()
                try self.checkLength(source)
                try watch.pass(piece, deliver)
                if watch.isDue, self.board.shouldLeave(index, rate: watch.rate, at: self.time.monotonicNanoseconds()) {
                    watch.isSlow = true
                    throw .stopped
                }
                if watch.bytes >= Self.segmentBytes, try self.isMoving(from: index, watch) {
                    watch.isMoving = true
                    throw .stopped
                }
            }
            switch demand {
            case .exact: try source.read(range, deliver: pass)
            case .available: try source.readAvailable(range, deliver: pass)
            }
            board.scores[index].delivered(
                bytes: watch.bytes, nanoseconds: watch.nanoseconds, at: time.monotonicNanoseconds())
            fruitless = 0
            return (watch.passed, true)
        } catch {
            if watch.passed > 0 { fruitless = 0 }
            if let own = watch.readerError { throw own }
            try state.check()
            if watch.isMoving {
                leave()
            } else if watch.isSlow {
                board.scores[index].crawled(
                    bytes: watch.bytes, nanoseconds: watch.nanoseconds, at: time.monotonicNanoseconds())
                leave()
            } else {
                try note(error, at: index)
            }
            return (watch.passed, false)
        }
    }

    /// Scores what came since the last look, and says whether the rest is better read elsewhere.
    private func isMoving(from index: Int, _ watch: SegmentWatch) throws(TransferError) -> Bool {
        let now = time.monotonicNanoseconds()
        board.scores[index].delivered(bytes: watch.bytes, nanoseconds: watch.nanoseconds, at: now)
        watch.beginAgain()
        guard let best = board.choose(at: now) else { return false }
        return best != index
    }

    /// Every place must have the object that the first good answer told of.
    private func checkLength(_ source: any BundleSource) throws(TransferError) {
        guard let found = source.totalLength else { return }
        if let total = state.total, total != found {
            throw .network(
                .changed, source: source.displayName, detail: "it has \(found) bytes, the bundle has \(total)")
        }
        state.learn(total: found)
    }

    /// The place to ask next; waits while all of them rest, and throws when that is of no use any more.
    private func choose(_ demand: Demand) throws(TransferError) -> Int {
        while true {
            try state.check()
            let now = time.monotonicNanoseconds()
            if case .available = demand, let headPlace, board.scores[headPlace].isReady(at: now) { return headPlace }
            if let index = board.choose(at: now) { return index }
            fruitless += 1
            let passing = board.scores.filter { !$0.isRejected && $0.lastError?.isPassing == true }
            guard let end = passing.map({ $0.restsUntil }).min(), fruitless < max(options.attemptsWithoutProgress, 1)
            else { throw complaint() }
            try state.wait(nanoseconds: end > now ? end - now : 0, time)
        }
    }

    /// An expired address above all, because only a new one helps; otherwise what the last place said.
    private func complaint() -> TransferError {
        let errors = board.scores.compactMap { $0.lastError }
        for error in errors {
            if case .network(.addressExpired, _, _) = error { return error }
        }
        return errors.last ?? .network(.unreachable, source: displayName, detail: "no place is left")
    }

    /// The place's source, opened if another one was.
    private func enter(_ index: Int) throws(TransferError) -> any BundleSource {
        if let current, current.index == index { return current.source }
        leave()
        let source = try places[index].open()
        if asksAfresh { _ = source.reject(0..<0) }
        monitor.locked {
            current = (index, source)
            if state.isCanceled { source.cancel() }
        }
        return source
    }

    private func leave() {
        monitor.locked {
            earlier += current?.source.bytesReceived ?? 0
            current = nil
        }
    }

    /// The place failed: it rests.
    private func note(_ error: TransferError, at index: Int) throws(TransferError) {
        let base = error.isPassing ? options.backOffBaseMilliseconds : Self.refusalRestMilliseconds
        let backOff = BackOff(
            baseMilliseconds: base, capMilliseconds: max(base, options.backOffCapMilliseconds), random: random)
        var rest: UInt64
        do { rest = try backOff.nanoseconds(failures: board.scores[index].failures + 1) } catch { throw .system(error) }
        if !error.isPassing { rest = max(rest, UInt64(base) * 500_000) }
        if let current, current.index == index { rest += current.source.askedRestNanoseconds }
        board.scores[index].failed(error, at: time.monotonicNanoseconds(), rest: rest)
        leave()
    }
}

/// Measures one segment and keeps the reader's errors apart from the place's.
private final class SegmentWatch {
    private let time: any TimeSource
    private var start: UInt64
    private var lookAt: UInt64
    private(set) var bytes: UInt64 = 0
    private(set) var readerError: TransferError?
    /// The same since the first request of the read, whatever was scored already.
    private(set) var passed: UInt64 = 0
    var isSlow = false
    var isMoving = false

    /// How often the rate of a running read is looked at.
    private static let interval: UInt64 = 5_000_000_000

    init(_ time: any TimeSource) {
        self.time = time
        start = time.monotonicNanoseconds()
        lookAt = start + Self.interval
    }

    /// Passes a piece on; the time that the reader takes for it does not count.
    func pass(_ piece: RawSpan, _ deliver: (RawSpan) throws(TransferError) -> Void) throws(TransferError) {
        let before = time.monotonicNanoseconds()
        do throws(TransferError) {
            try deliver(piece)
        } catch {
            readerError = error
            throw error
        }
        bytes += UInt64(piece.byteCount)
        passed += UInt64(piece.byteCount)
        let taken = time.monotonicNanoseconds() - before
        start += taken
        lookAt += taken
    }

    /// What comes from here on is measured by itself.
    func beginAgain() {
        bytes = 0
        start = time.monotonicNanoseconds()
        lookAt = start + Self.interval
    }

    /// Since the first request of the segment went out.
    var nanoseconds: UInt64 { max(1, time.monotonicNanoseconds() - start) }
    /// Bytes per second.
    var rate: Double { Double(bytes) * 1e9 / Double(nanoseconds) }
    /// Whether it is time to look at the rate.
    var isDue: Bool {
        let now = time.monotonicNanoseconds()
        if now < lookAt { return false }
        lookAt = now + Self.interval
        return true
    }
}
