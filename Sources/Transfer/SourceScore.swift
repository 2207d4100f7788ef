/// What is known of one place of a bundle: how fast it was, and whether it may be asked now. A value, without a clock of
/// its own; times are monotonic nanoseconds.
struct SourceScore: Equatable {
    /// Bytes per second, as an exponentially weighted moving average in which a failure counts as nothing; nil when
    /// the place was not measured lately.
    private(set) var rate: Double?
    private var measuredAt: UInt64 = 0
    /// Failures in a row.
    private(set) var failures: UInt32 = 0
    /// The place is left alone until then.
    private(set) var restsUntil: UInt64 = 0
    /// It served other bytes than the manifest names: not asked again.
    private(set) var isRejected = false
    /// Why it failed last.
    private(set) var lastError: TransferError?

    /// Weight of the newest sample.
    static let weight = 0.3
    /// A rate that is older than this says nothing any more: the place is tried again.
    static let memoryNanoseconds: UInt64 = 600_000_000_000

    /// Whether it may be asked at `now`.
    func isReady(at now: UInt64) -> Bool { !isRejected && now >= restsUntil }

    /// The rate, as far as it still counts.
    func knownRate(at now: UInt64) -> Double? {
        now >= measuredAt && now - measuredAt > Self.memoryNanoseconds ? nil : rate
    }

    mutating func delivered(bytes: UInt64, nanoseconds: UInt64, at now: UInt64) {
        failures = 0
        restsUntil = 0
        lastError = nil
        // Shorter reads measure the latency of one request and not the place.
        if bytes < 65_536 { return }
        sample(Double(bytes) * 1e9 / Double(max(nanoseconds, 1)), at: now)
    }

    /// What a read that was given up for its slowness showed.
    mutating func crawled(bytes: UInt64, nanoseconds: UInt64, at now: UInt64) {
        sample(Double(bytes) * 1e9 / Double(max(nanoseconds, 1)), at: now)
    }

    mutating func failed(_ error: TransferError, at now: UInt64, rest: UInt64) {
        failures += 1
        lastError = error
        restsUntil = now + rest
        if rate != nil { sample(0, at: now) }
    }

    mutating func reject(_ error: TransferError) {
        isRejected = true
        lastError = error
    }

    /// One more chance after a rejection.
    mutating func pardon() {
        isRejected = false
        restsUntil = 0
    }

    private mutating func sample(_ value: Double, at now: UInt64) {
        rate = knownRate(at: now).map { $0 + Self.weight * (value - $0) } ?? value
        measuredAt = now
    }
}

/// Chooses among the places of a bundle. They stand in the order in which they are wanted: a LAN cache first.
struct SourceBoard: Equatable {
    var scores: [SourceScore]

    /// A place that is slower than the fastest by more than this factor is left for a faster one.
    static let tolerance = 2.0
    /// A running read is given up for another place that is known to be faster by this factor.
    static let patience = 4.0
    /// A running read below this many bytes per second is given up for a place that was not measured yet.
    static let slow = 32_768.0

    init(count: Int) { scores = [SourceScore](repeating: SourceScore(), count: count) }

    /// The first place in order that is nearly as fast as the best one; nil when none may be asked now. One that was
    /// not measured counts as fast enough: order decides, and so a place returns after its rest.
    func choose(at now: UInt64) -> Int? {
        var best = 0.0
        for score in scores where score.isReady(at: now) {
            best = max(best, score.knownRate(at: now) ?? Self.slow)
        }
        return scores.indices.first { index in
            guard scores[index].isReady(at: now) else { return false }
            guard let rate = scores[index].knownRate(at: now) else { return true }
            return rate * Self.tolerance >= best
        }
    }

    /// Whether a read at this place, which runs at `rate` bytes per second, is better given up for another place.
    func shouldLeave(_ index: Int, rate: Double, at now: UInt64) -> Bool {
        for other in scores.indices where other != index && scores[other].isReady(at: now) {
            if let known = scores[other].knownRate(at: now) {
                if known > rate * Self.patience { return true }
            } else if rate < Self.slow {
                return true
            }
        }
        return false
    }
}
