import Platform
import Testing

@testable import Transfer

@Suite("Back-off and stall limit")
struct PacingTests {
    @Test("The bound of the back-off doubles up to its cap", arguments: [(1, 2), (2, 4), (3, 8), (4, 10), (40, 10)])
    func bound(failures: UInt32, seconds: UInt64) throws {
        let backOff = BackOff(baseMilliseconds: 2000, capMilliseconds: 10_000, random: SystemRandom())
        var longest: UInt64 = 0
        for _ in 0..<300 { longest = max(longest, try backOff.nanoseconds(failures: failures)) }
        #expect(longest <= seconds * 1_000_000_000)
        // The chance that 300 uniform draws all stay below half of the bound is 2^-300.
        #expect(longest > seconds * 500_000_000)
    }

    @Test("A wait may be nothing at all")
    func fullJitter() throws {
        let backOff = BackOff(baseMilliseconds: 2000, capMilliseconds: 10_000, random: FixedRandom(0))
        #expect(try backOff.nanoseconds(failures: 5) == 0)
    }

    @Test("A window with too few bytes is a stall, one with enough is not", arguments: [(1023, true), (1024, false)])
    func window(bytes: Int, stalled: Bool) {
        var watch = StallWatch(bytesPerSecond: 512, windowMilliseconds: 2000)
        watch.begin(at: 1000)
        watch.received(bytes)
        let results = [watch.isStalled(at: 2_000_000_999), watch.isStalled(at: 2_000_001_000)]
        #expect(results == [false, stalled])
    }

    @Test("A good window does not help the next one")
    func nextWindow() {
        var watch = StallWatch(bytesPerSecond: 512, windowMilliseconds: 1000)
        watch.begin(at: 0)
        watch.received(1_000_000)
        let results = [watch.isStalled(at: 1_000_000_000), watch.isStalled(at: 2_000_000_000)]
        #expect(results == [false, true])
    }

    @Test("Time of a blocked reader and time without a connection do not count")
    func excluded() {
        var watch = StallWatch(bytesPerSecond: 512, windowMilliseconds: 1000)
        var results = [watch.isStalled(at: 9_000_000_000)]
        watch.begin(at: 0)
        watch.exclude(nanoseconds: 5_000_000_000)
        results += [watch.isStalled(at: 5_999_999_999), watch.isStalled(at: 6_000_000_000)]
        watch.suspend()
        results.append(watch.isStalled(at: 90_000_000_000))
        #expect(results == [false, false, true, false])
    }
}
