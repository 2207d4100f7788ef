internal import CDevice

/// Where time comes from. Simulation brings its own.
public protocol TimeSource: AnyObject, Sendable {
    /// Nanoseconds since some fixed point; never goes back while the machine runs.
    func monotonicNanoseconds() -> UInt64
    /// Seconds since 1970 as the machine believes; may be wrong in both directions.
    func realSeconds() -> Int64
    /// Waits.
    func sleep(nanoseconds: UInt64)
}

/// The machine's clocks.
public final class SystemTime: TimeSource {
    public init() {}
    public func monotonicNanoseconds() -> UInt64 { kedge_monotonic_ns() }
    public func realSeconds() -> Int64 { kedge_real_seconds() }
    public func sleep(nanoseconds: UInt64) { kedge_sleep_ns(nanoseconds) }
}

/// Where randomness comes from. Simulation brings a seeded one.
public protocol RandomSource: AnyObject, Sendable {
    /// `count` random bytes, at most 256.
    func bytes(_ count: Int) throws(SystemError) -> [UInt8]
}

/// getrandom(2).
public final class SystemRandom: RandomSource {
    public init() {}
    public func bytes(_ count: Int) throws(SystemError) -> [UInt8] {
        precondition(count > 0 && count <= 256)
        var out = [UInt8](repeating: 0, count: count)
        let result = unsafe out.withUnsafeMutableBytes { unsafe kedge_random($0.baseAddress, $0.count) }
        try checked(result, "getrandom", "kernel")
        return out
    }
}

/// A random version 4 UUID in lower case (RFC 9562 section 5.4).
///
/// No method of an extension of `RandomSource`: for one that is called through `any RandomSource`, Embedded Swift leaves
/// a body that only traps. `tools/build-embedded` looks for such calls.
public func randomUUID(from source: any RandomSource) throws(SystemError) -> String {
    var b = try source.bytes(16)
    b[6] = b[6] & 0x0f | 0x40
    b[8] = b[8] & 0x3f | 0x80
    var text = ""
    for (index, byte) in b.enumerated() {
        if index == 4 || index == 6 || index == 8 || index == 10 { text += "-" }
        text += Hex.digits(of: byte)
    }
    return text
}

/// Minutes since midnight at a time in seconds since 1970, in the machine's time zone (localtime(3)).
public func localMinuteOfDay(_ seconds: Int64) -> UInt32 { kedge_minute_of_day(seconds) }

/// A number of 64 random bits. No method, for the same reason.
public func randomNumber(from source: any RandomSource) throws(SystemError) -> UInt64 {
    try source.bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
}
