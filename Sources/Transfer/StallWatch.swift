/// Decides whether a connection is too slow to be worth keeping.
///
/// libcurl's CURLOPT_LOW_SPEED_LIMIT counts the time in which the receiver was blocked as the server's slowness; a
/// gateway with slow flash would lose good connections. This one leaves that time out.
struct StallWatch {
    let bytesPerSecond: UInt64
    let windowNanoseconds: UInt64
    /// Start of the window, moved forward by what does not count; nil while no connection stands (the connect
    /// time-out covers that).
    private var start: UInt64?
    private var bytes: UInt64 = 0

    init(bytesPerSecond: UInt64, windowMilliseconds: UInt32) {
        self.bytesPerSecond = bytesPerSecond
        windowNanoseconds = UInt64(windowMilliseconds) * 1_000_000
    }

    /// A connection stands and a request goes out.
    mutating func begin(at now: UInt64) {
        start = now
        bytes = 0
    }

    /// The request moves on to another host: connecting again.
    mutating func suspend() { start = nil }

    mutating func received(_ count: Int) { bytes += UInt64(count) }

    /// The receiver held the bytes back for this long.
    mutating func exclude(nanoseconds: UInt64) {
        if let begun = start { start = begun + nanoseconds }
    }

    /// True when the window that ends now brought too little. A good window is followed by a fresh one.
    mutating func isStalled(at now: UInt64) -> Bool {
        guard let begun = start, now > begun, now - begun >= windowNanoseconds else { return false }
        let seconds = Double(now - begun) / 1e9
        if Double(bytes) < Double(bytesPerSecond) * seconds { return true }
        begin(at: now)
        return false
    }
}
