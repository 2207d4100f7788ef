public import Platform

/// How long a service waits before it takes a failed download up again, with full jitter.
///
/// The bound doubles, and may grow as long as an outage may last: the devices that an outage held up come back over as
/// much time as it took. In a fleet whose starts are spread over a window, the second fruitless run already means that
/// the server is gone and not the link: the device then draws a new place in a quarter of that window, because waits that
/// only double bring all devices that failed lately back in the first minutes (FleetTests has the figures).
public struct PauseRule: Sendable {
    /// Tries without progress of one run of a download. Fewer than a person's command makes: the next run follows by
    /// itself, and short waits are what brings a fleet back all at once.
    public static let triesWithoutProgress: UInt32 = 4

    private let base: UInt32
    private let cap: UInt32
    private let spreadSeconds: UInt64
    private let random: any RandomSource

    /// `spreadSeconds` is the window over which the fleet's starts are spread; 0: none.
    public init(_ options: HTTPOptions, spreadSeconds: UInt64, random: any RandomSource) {
        base = options.pauseBaseMilliseconds
        cap = max(options.pauseCapMilliseconds, options.pauseBaseMilliseconds)
        self.spreadSeconds = spreadSeconds
        self.random = random
    }

    /// Nanoseconds to wait after `runs` runs in a row that brought nothing (1 or more).
    public func nanoseconds(runs: UInt32) throws(SystemError) -> UInt64 {
        let window = UInt32(min(spreadSeconds * 250, UInt64(cap)))
        let first = runs > 1 ? max(base, window) : base
        return try BackOff(baseMilliseconds: first, capMilliseconds: cap, random: random).nanoseconds(failures: runs)
    }

    /// The wait where there is no randomness to be had.
    public var longest: UInt64 { UInt64(cap) * 1_000_000 }
}
