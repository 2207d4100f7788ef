/// What a network or server did wrong. The raw value is the stable error code.
public enum NetworkFault: String, CaseIterable, Sendable {
    /// The host's name has no address (DNS).
    case unresolved = "transfer.unresolved"
    /// No connection: refused, no route, or no answer in time.
    case unreachable = "transfer.unreachable"
    /// The TLS handshake or the server's certificate failed.
    case insecure = "transfer.tls"
    /// The device's own certificate or key cannot be used.
    case clientKey = "transfer.client-key"
    /// The connection broke or the body ended early, again and again.
    case interrupted = "transfer.interrupted"
    /// Fewer bytes than the stall limit came for too long.
    case stalled = "transfer.stalled"
    /// The server kept answering "not now": 408, 425, 429 or 5xx.
    case serverFailed = "transfer.server-failed"
    /// 401, 403 or 407: credentials are missing or wrong.
    case denied = "transfer.denied"
    /// 401 or 403 for an address that carries a signature: it has run out, and only a new one helps.
    case addressExpired = "transfer.address-expired"
    /// 404 or 410.
    case notFound = "transfer.not-found"
    /// Too many redirects, or one that leaves HTTPS or HTTP.
    case redirected = "transfer.redirect"
    /// A request for a range was answered with the whole object.
    case rangesIgnored = "transfer.ranges-ignored"
    /// 206 with another Content-Range than was asked for.
    case wrongRange = "transfer.wrong-range"
    /// The body is longer than announced, or Content-Length contradicts Content-Range.
    case wrongLength = "transfer.wrong-length"
    /// The body came with a Content-Encoding although identity was asked for.
    case encoded = "transfer.encoded"
    /// Length or entity tag differ from those of the first answer.
    case changed = "transfer.changed"
    /// A web page came instead (captive portal, login page, error page with status 200).
    case notABundle = "transfer.not-a-bundle"
    /// Any other answer that HTTP allows but a bundle's server has no reason to give.
    case unexpectedResponse = "transfer.unexpected-response"
    /// The download took longer than its deadline.
    case outOfTime = "transfer.deadline"
    /// The byte budget of the network class is used up.
    case budgetSpent = "transfer.budget"
    /// The network class may not be used at this time of the day.
    case windowClosed = "transfer.window"
    /// The bundle came by a pipe that is gone.
    case streamGone = "transfer.stream-gone"
    /// A pipe cannot give bytes again that went by.
    case streamOrder = "transfer.stream-order"
    /// libcurl itself failed (out of memory, missing feature).
    case library = "transfer.library"

    /// What a person can do about it, one sentence.
    var remedy: String {
        switch self {
        case .unresolved: "Check the host name and the gateway's DNS servers"
        case .unreachable: "Check the address, the server, the firewall and the proxy"
        case .insecure: "Check the server's certificate, the CA file and the gateway's clock"
        case .clientKey: "Check [network] certificate, key and key-secret, and that the token is there"
        case .interrupted, .stalled: "Check the network link and start the update again: what came is kept"
        case .serverFailed: "Try again later: the server is overloaded or broken"
        case .denied: "Provide the right credentials"
        case .addressExpired: "Give a new signed address for the same attempt: what came is kept"
        case .notFound: "Check the address and that the bundle was published"
        case .redirected: "Give the final HTTPS address"
        case .rangesIgnored, .wrongRange, .wrongLength: "Use a server or proxy that supports single byte ranges"
        case .encoded: "Turn off compression for bundles on the server or proxy"
        case .changed: "Publish every release under its own name, then start the update again"
        case .notABundle: "Log in to the network or check that the address names a bundle"
        case .unexpectedResponse: "Check what the server answers at this address"
        case .outOfTime: "Start it again, or raise [network] deadline: what came is kept"
        case .budgetSpent: "Wait for the next period, use another network, or raise the budget: what came is kept"
        case .windowClosed: "Wait for the window, or use another network: what came is kept"
        case .streamGone: "Pipe the same bundle into kedged install - again: what came is kept"
        case .streamOrder: "Give the bundle as a file"
        case .library: "Check the installed libcurl and the free memory"
        }
    }

    /// Whether the same request may well succeed a little later, without anybody doing anything.
    var isPassing: Bool {
        switch self {
        case .unresolved, .unreachable, .insecure, .interrupted, .stalled, .serverFailed, .library: true
        default: false
        }
    }
}
