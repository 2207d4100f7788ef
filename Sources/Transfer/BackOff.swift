public import Platform

/// Full-jitter exponential back-off (AWS Architecture Blog, "Exponential Backoff and Jitter"): a random wait between
/// nothing and a bound that doubles, so that a fleet that lost its server together does not return together.
public struct BackOff: Sendable {
    public let baseMilliseconds: UInt32
    public let capMilliseconds: UInt32
    let random: any RandomSource

    /// The first bound and the largest one.
    public init(baseMilliseconds: UInt32, capMilliseconds: UInt32, random: any RandomSource) {
        self.baseMilliseconds = baseMilliseconds
        self.capMilliseconds = capMilliseconds
        self.random = random
    }

    /// Nanoseconds to wait after `failures` failures in a row (1 or more).
    public func nanoseconds(failures: UInt32) throws(SystemError) -> UInt64 {
        let doublings = UInt64(min(failures, 32)) - 1
        let bound = min(UInt64(capMilliseconds), UInt64(baseMilliseconds) << doublings) * 1_000_000
        return try randomNumber(from: random) % (bound + 1)
    }
}
