internal import BundleFormat

/// How a device talks to bundle servers. Times are in milliseconds.
public struct HTTPOptions: Equatable, Sendable {
    /// A PEM file with the certificate authorities to trust instead of the system's; nil: the system's.
    public var certificateAuthorities: String?

    /// Who the device says it is: a PEM file with its certificate (and those between it and the authority), or a
    /// `pkcs11:` URI.
    public var clientCertificate: String?

    /// The certificate's key: a PEM file (also one that an OpenSSL provider such as tpm2 reads), or a `pkcs11:` URI
    /// of a key that stays in its token; nil: it is in the certificate's file.
    public var clientKey: String?

    /// Opens the key: its passphrase, or the token's PIN.
    public var clientKeySecret: String?

    /// Name and password or a token, by host.
    public var credentials: [HostCredential] = []

    /// Name and password for the proxy.
    public var proxyCredential: HostCredential.Secret?

    /// Hosts that need no proxy, with commas between; nil: what the environment's `no_proxy` says.
    public var noProxy: String?

    /// Whether HTTP/2 is used over TLS where the server offers it; otherwise HTTP/1.1.
    public var allowsHTTP2 = true

    /// Whether the next range is asked for, over a second connection, while the one before still flows.
    public var readsAhead = true

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

    /// Tries again that a read may cost over all: this many, and one more for each 64 KiB that came. It bounds what a
    /// server costs that gives one byte with each try.
    public var retryBudget: UInt32 = 32

    /// A download must be over in this time from its start in this process; 0: no limit.
    public var deadlineMilliseconds: UInt64 = 0

    /// First and longest bound of the pauses between two runs of a download that failed; see `PauseRule`.
    public var pauseBaseMilliseconds: UInt32 = 60_000
    public var pauseCapMilliseconds: UInt32 = 21_600_000

    /// Sent as User-Agent.
    public var userAgent: String = "kedged/" + KedgeVersion.text

    public init() {}

    /// Redirects followed for one request; RFC 9110 section 15.4 asks for a limit.
    static let redirectLimit = 5
}
