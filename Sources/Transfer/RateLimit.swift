/// A token bucket: how long to wait after so many bytes. A value; times are monotonic nanoseconds.
struct RateLimit: Equatable {
    /// Bytes per second; 0: no limit.
    let bytesPerSecond: UInt64
    /// When everything that was taken so far may have come.
    private var paidUntil: UInt64 = 0

    /// What may come at once after a pause: a quarter of a second.
    private static let burstNanoseconds: UInt64 = 250_000_000

    init(_ bytesPerSecond: UInt64) { self.bytesPerSecond = bytesPerSecond }

    /// Takes bytes that came at `now`; the nanoseconds to wait before more are taken.
    mutating func take(_ bytes: UInt64, at now: UInt64) -> UInt64 {
        if bytesPerSecond == 0 { return 0 }
        let earliest = now > Self.burstNanoseconds ? now - Self.burstNanoseconds : 0
        paidUntil = max(paidUntil, earliest) + UInt64(Double(bytes) * 1e9 / Double(bytesPerSecond))
        return paidUntil > now ? paidUntil - now : 0
    }
}
