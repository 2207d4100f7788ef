public import Platform

/// A bundle on an HTTP server: single byte ranges over one kept connection, each answer checked before its first byte
/// is passed on, and every break continued behind the last byte that was delivered.
///
/// The first answer fixes what the object is (length, strong entity tag); a later answer about another object is
/// `transfer.changed`, never spliced (RFC 9110 sections 13.1.5 and 14).
public final class HTTPSource: BundleSource, @unchecked Sendable {
    private let address: HTTPAddress
    private let options: HTTPOptions
    private let time: any TimeSource
    private let backOff: BackOff
    private let connection: HTTPConnection
    private let state: SourceState
    /// Only the reading thread uses these.
    private var identity = ObjectIdentity()
    private var budget: RetryBudget
    /// How often bytes that came were rejected, and whether the rest after the last time is still due.
    private var rejections: UInt32 = 0
    private var restIsDue = false
    /// What comes after the present read, what the present read still wants behind the present answer, and the request
    /// for the one or the other where that is out.
    private var announced: Range<UInt64>?
    private var rest: Range<UInt64>?
    private var ahead: (request: RangeRequest, exchange: HTTPExchange)?
    /// How often an answer that was asked for ahead did not come; a server that takes only one connection of a device is
    /// not asked for two again and again.
    private var failuresAhead = 0
    private static let mostFailuresAhead = 3
    /// Bytes of the present answer that are still to come when the next one is asked for: what 10 MiB/s bring in 100 ms.
    static let aheadDistance: UInt64 = 1 << 20
    /// What is asked for of an announced range before its turn: what comes of it is wasted if the turn never comes, and
    /// would be bounded by nothing but the kernel's memory for the socket. The rest is asked for when this is on its turn.
    static let aheadBytes: UInt64 = 1 << 20
    /// What the last answer asked for by Retry-After, within its cap.
    public private(set) var askedRestNanoseconds: UInt64 = 0

    /// Prepares libcurl; nothing is sent before the first read.
    public init(
        _ address: HTTPAddress, options: HTTPOptions = HTTPOptions(), time: any TimeSource = SystemTime(),
        random: any RandomSource = SystemRandom()
    ) throws(TransferError) {
        self.address = address
        self.options = options
        self.time = time
        backOff = BackOff(
            baseMilliseconds: options.backOffBaseMilliseconds, capMilliseconds: options.backOffCapMilliseconds,
            random: random)
        budget = RetryBudget(options.retryBudget)
        state = SourceState(
            deadline: Deadline(
                milliseconds: options.deadlineMilliseconds, source: address.displayName, time: time))
        connection = try HTTPConnection(address, options: options)
    }

    public var displayName: String { address.displayName }
    public var totalLength: UInt64? { state.total }
    public var bytesReceived: UInt64 { state.received }

    public func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        if let total = state.total, range.upperBound > total, !range.isEmpty {
            throw TransferError.outOfRange(source: displayName, end: range.upperBound, length: total)
        }
        try fetch(range, mayEndEarly: false, deliver: deliver)
    }

    public func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        if let total = state.total, range.lowerBound >= total, !range.isEmpty {
            throw TransferError.outOfRange(source: displayName, end: range.lowerBound + 1, length: total)
        }
        try fetch(range, mayEndEarly: true, deliver: deliver)
    }

    public func announce(_ range: Range<UInt64>) {
        let end = min(range.upperBound, range.lowerBound + Self.aheadBytes)
        announced = options.readsAhead && !range.isEmpty ? range.lowerBound..<end : nil
    }

    public func cancel() {
        state.cancel()
        connection.wake()
    }

    /// The same server after a rest. From now on caches on the way are asked to look at the server too (RFC 9111
    /// section 5.2.1.4): one of them may hold a damaged or an old copy.
    public func reject(_ range: Range<UInt64>) -> SecondChance {
        rejections += 1
        restIsDue = true
        dropAhead()
        connection.asksPastCaches = true
        // Before the head was taken as good, nothing that was said about the object counts.
        if range.lowerBound == 0 {
            identity = ObjectIdentity()
            state.forgetTotal()
        }
        return .afresh
    }

    /// Requests what is missing until it is there, or an error is final, or too many tries in a row brought nothing.
    private func fetch(
        _ range: Range<UInt64>, mayEndEarly: Bool, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        // What was announced is behind this read, whatever becomes of it.
        defer { announced = nil }
        do throws(TransferError) {
            try requestAll(range, mayEndEarly: mayEndEarly, deliver: deliver)
        } catch {
            dropAhead()
            throw error
        }
    }

    private func requestAll(
        _ range: Range<UInt64>, mayEndEarly: Bool, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) {
        try state.check()
        if restIsDue {
            restIsDue = false
            try pause(failures: rejections)
        }
        var next = range.lowerBound
        var failures: UInt32 = 0
        while next < min(range.upperBound, state.total ?? UInt64.max) {
            let request = RangeRequest(first: next, last: range.upperBound - 1, mayEndEarly: mayEndEarly)
            let (outcome, delivered) = try send(clamped(request), deliver: deliver)
            next += delivered
            budget.received(delivered)
            askedRestNanoseconds = 0
            switch outcome {
            // Not all of it where the first part was asked for ahead.
            case nil, .complete: continue
            case .failed(let error): throw error
            case .broken(let error, let seconds):
                dropAhead()
                failures = delivered > 0 ? 1 : failures + 1
                askedRestNanoseconds = granted(seconds)
                if failures >= max(options.attemptsWithoutProgress, 1) || !budget.spend() { throw error }
                try pause(failures: failures)
            }
        }
    }

    /// Asks for no byte behind a known end: some servers answer 416 to a range that only begins inside.
    private func clamped(_ request: RangeRequest) -> RangeRequest {
        guard let total = state.total, request.mayEndEarly, request.last >= total else { return request }
        return RangeRequest(first: request.first, last: total - 1, mayEndEarly: true)
    }

    /// One request: how it ended and how many bytes it delivered; nil where an answer that was asked for ahead did not
    /// come, which says nothing.
    private func send(
        _ request: RangeRequest, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError) -> (ExchangeOutcome?, UInt64) {
        // libcurl keeps the closure behind a raw pointer for the length of the request only.
        try withoutActuallyEscaping(deliver) {
            (deliver) throws(TransferError) -> (ExchangeOutcome?, UInt64) in
            let early = takeAhead(request)
            defer { rest = nil }
            let exchange = early ?? makeExchange(request, deliver: deliver)
            let meanwhile = { self.askAhead(behind: exchange) }
            let outcome: ExchangeOutcome
            if early != nil {
                exchange.start(deliver)
                outcome = try connection.runAhead(exchange, state: state, meanwhile: meanwhile)
                if exchange.delivered == 0, !exchange.isEndedHere, state.interruption == nil {
                    failuresAhead += 1
                    return (nil, 0)
                }
            } else {
                outcome = try connection.run(
                    exchange, request, ifRange: identity.tag?.strongText, state: state, meanwhile: meanwhile)
            }
            if let learned = exchange.learned {
                identity.total = learned.total
                if identity.tag == nil { identity.tag = learned.tag }
            }
            return (outcome, exchange.delivered)
        }
    }

    private func makeExchange(
        _ request: RangeRequest, deliver: ((RawSpan) throws(TransferError) -> Void)?
    ) -> HTTPExchange {
        HTTPExchange(
            rule: ResponseRule(request: request, known: identity, source: displayName, isSigned: address.isSigned),
            overTLS: address.isSecure,
            stall: StallWatch(
                bytesPerSecond: options.stallBytesPerSecond, windowMilliseconds: options.stallMilliseconds),
            state: state, time: time, deliver: deliver)
    }

    // MARK: reading ahead

    /// Asks for what was announced when the present answer comes to its end.
    private func askAhead(behind present: HTTPExchange) {
        guard let range = rest ?? announced, ahead == nil, present.remaining <= Self.aheadDistance,
            failuresAhead < Self.mostFailuresAhead, let total = state.total, range.upperBound <= total
        else { return }
        if rest == nil { announced = nil }
        rest = nil
        let request = RangeRequest(first: range.lowerBound, last: range.upperBound - 1, mayEndEarly: false)
        let exchange = makeExchange(request, deliver: nil)
        do throws(TransferError) {
            try connection.sendAhead(exchange, request, ifRange: identity.tag?.strongText)
            ahead = (request, exchange)
        } catch {
            // It is asked for in its turn, and then tells what is wrong.
            failuresAhead += 1
        }
    }

    /// The answer to this request, or to its first part, where that was asked for ahead; anything else that was is given
    /// up.
    private func takeAhead(_ request: RangeRequest) -> HTTPExchange? {
        guard let ahead, ahead.request.first == request.first, ahead.request.last <= request.last else {
            dropAhead()
            return nil
        }
        self.ahead = nil
        if ahead.request.last < request.last { rest = ahead.request.last + 1..<request.last + 1 }
        return ahead.exchange
    }

    private func dropAhead() {
        if ahead == nil { return }
        ahead = nil
        connection.dropAhead()
    }

    /// What the server asked for, within its cap.
    private func granted(_ seconds: UInt64?) -> UInt64 {
        let cap = UInt64(options.retryAfterCapMilliseconds)
        return min(min(seconds ?? 0, cap) * 1000, cap) * 1_000_000
    }

    /// Waits before the next try: what the server asked for, plus the back-off.
    private func pause(failures: UInt32) throws(TransferError) {
        let jitter: UInt64
        do { jitter = try backOff.nanoseconds(failures: failures) } catch { throw TransferError.system(error) }
        try state.wait(nanoseconds: askedRestNanoseconds + jitter, time)
    }
}
