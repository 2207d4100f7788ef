internal import BundleFormat

/// How a device talks to bundle servers. Times are in milliseconds.
public struct HTTPOptions: Equatable, Sendable {
    /// A PEM file with the certificate authorities to trust instead of the system's; nil: the system's.
    public var certificateAuthorities: String?

    /// A proxy URL; empty: no proxy; nil: what the environment says (`http_proxy`, `https_proxy`, `no_proxy`).
    public var proxy: String?

    /// Limit for name resolution, TCP and TLS together, for each try.
    public var connectTimeoutMilliseconds: UInt32 = 20_000

    /// With less than this many bytes per second, over `stallMilliseconds`, a connection is given up and made again.
    /// Time in which the receiver did not take bytes does not count. 0 bytes per second: no limit.
    public var stallBytesPerSecond: UInt64 = 1_024
    public var stallMilliseconds: UInt32 = 30_000

    /// Full-jitter back-off: failure n in a row waits a random time of 0 up to
    /// min(`backOffCapMilliseconds`, `backOffBaseMilliseconds` * 2^(n-1)).
    public var backOffBaseMilliseconds: UInt32 = 2_000
    public var backOffCapMilliseconds: UInt32 = 900_000

    /// Longest wait that a server's Retry-After is granted; the back-off is added to it, so that devices that were
    /// told the same number do not come back together.
    public var retryAfterCapMilliseconds: UInt32 = 3_600_000

    /// Tries in a row that bring no byte before the read fails; at least 1. A delivered byte starts the count again.
    public var attemptsWithoutProgress: UInt32 = 8

    /// Sent as User-Agent.
    public var userAgent: String = "kedged/" + KedgeVersion.text

    public init() {}

    /// Redirects followed for one request; RFC 9110 section 15.4 asks for a limit.
    static let redirectLimit = 5
}
