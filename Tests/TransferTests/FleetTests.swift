import Platform
import TestSupport
import Testing

@testable import Transfer

/// Numbers that only look random, the same in every run (xorshift64*).
private final class SeededRandom: RandomSource, @unchecked Sendable {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }
    func bytes(_ count: Int) throws(SystemError) -> [UInt8] {
        var out: [UInt8] = []
        while out.count < count {
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            let word = state &* 0x2545_f491_4f6c_dd1d
            for shift in 0..<8 { out.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
        }
        return Array(out[..<count])
    }
}

/// 100,000 devices on a virtual clock, with the waits that the code makes.
private struct Fleet {
    static let devices = 100_000
    /// Requests of one download, and seconds from one to the next.
    static let requests: UInt8 = 4
    static let interval = 15

    struct Device {
        var left = Fleet.requests
        var failures: UInt32 = 0
        var pauses: UInt32 = 0
    }

    private let options = HTTPOptions()
    private let inner: BackOff
    private let outer: PauseRule
    /// Seconds of the outage.
    let outage: Range<Int>
    /// Requests in each second.
    private(set) var load: [UInt32]
    /// When everything was downloaded.
    private(set) var end = 0

    /// `start` gives a device's first second; `spread` is the window that the devices know of.
    init(outage: Range<Int>, horizon: Int, spread: Int, jitter: Bool = true, start: (Int) -> Int) throws {
        self.outage = outage
        let random: any RandomSource = SeededRandom(20_261_124)
        inner = BackOff(
            baseMilliseconds: options.backOffBaseMilliseconds, capMilliseconds: options.backOffCapMilliseconds,
            random: random)
        outer = PauseRule(options, spreadSeconds: UInt64(spread), random: random)
        load = [UInt32](repeating: 0, count: horizon)
        var queue = [[Int32]](repeating: [], count: horizon)
        var fleet = [Device](repeating: Device(), count: Self.devices)
        for device in 0..<Self.devices { queue[start(device)].append(Int32(device)) }
        for second in 0..<horizon {
            for number in queue[second] {
                let wait = try step(&fleet[Int(number)], at: second, jitter)
                guard let wait else {
                    end = second
                    continue
                }
                let next = min(second + max(wait, 1), horizon - 1)
                if next > second { queue[next].append(number) }
            }
            queue[second] = []
        }
    }

    /// One request; the seconds to the next one, nil when the download is done.
    private mutating func step(_ device: inout Device, at second: Int, _ jitter: Bool) throws -> Int? {
        load[second] += 1
        if !outage.contains(second) {
            device.failures = 0
            device.pauses = 0
            device.left -= 1
            return device.left == 0 ? nil : Self.interval
        }
        device.failures += 1
        // Without jitter: what many updaters do, one minute after the other.
        if !jitter { return 60 }
        if device.failures < PauseRule.triesWithoutProgress {
            return Int(try inner.nanoseconds(failures: device.failures) / 1_000_000_000)
        }
        device.failures = 0
        device.pauses += 1
        return Int(try outer.nanoseconds(runs: device.pauses) / 1_000_000_000)
    }

    /// Requests per second in the busiest minute behind the outage.
    var peak: Double {
        var most: UInt32 = 0
        for minute in stride(from: outage.upperBound, to: load.count - 60, by: 60) {
            most = max(most, load[minute..<(minute + 60)].reduce(0, +))
        }
        return Double(most) / 60
    }
}

@Suite("A fleet of 100,000 devices after an outage")
struct FleetTests {
    private static let day = 86_400
    /// Requests per second without an outage.
    private static let mean = Double(Fleet.devices) * Double(Fleet.requests) / Double(day)

    private func rollout(_ minutes: Int, jitter: Bool = true) throws -> Fleet {
        try Fleet(outage: 20_000..<(20_000 + minutes * 60), horizon: 3 * Self.day, spread: Self.day, jitter: jitter) {
            device in
            Int(
                StartSpread.nanoseconds(
                    device: "gateway-\(device)", rollout: "acme-edge-2.1.0", windowSeconds: UInt64(Self.day))
                    / 1_000_000_000)
        }
    }

    @Test(
        "A rollout over a day that meets an outage never asks for more than three times its mean rate afterwards",
        arguments: [1, 10, 60, 240])
    func rollout(minutes: Int) throws {
        let fleet = try rollout(minutes)
        let ratio = fleet.peak / Self.mean
        #expect(ratio <= 3, "\(ratio)")
        #expect(ratio >= 1)
        #expect(fleet.end < 3 * Self.day - 60, "some devices never came to their end")
        try OutcomeTable.transfers.add([
            "fleet of 100,000, rollout over a day, outage of \(minutes) min", "peak \(rounded(ratio))x the mean", "-",
            "-",
            "3x",
        ])
    }

    @Test("Without jitter the same outage breaks that bound: the measure can fail")
    func withoutJitter() throws { #expect(try rollout(60, jitter: false).peak / Self.mean > 3) }

    @Test("A fleet that is hit all at once comes back spread out too")
    func allAtOnce() throws {
        let outage = 60..<3660
        let fleet = try Fleet(outage: outage, horizon: 3 * Self.day, spread: 0) { $0 % 60 }
        // The mean of the recovery: all requests behind the outage, until the last device is done or an hour has passed.
        let recovery = fleet.load[outage.upperBound..<(outage.upperBound + 3600)].reduce(0, +)
        let ratio = fleet.peak / (Double(recovery) / 3600)
        #expect(ratio <= 3, "\(ratio)")
        try OutcomeTable.transfers.add([
            "fleet of 100,000, all at once, outage of 60 min", "peak \(rounded(ratio))x the mean of the next hour", "-",
            "-",
            "3x",
        ])
    }

    @Test("A device's place in the window is its own, stays the same, and is another one in the next rollout")
    func places() {
        func place(_ device: String, _ rollout: String) -> UInt64 {
            StartSpread.nanoseconds(device: device, rollout: rollout, windowSeconds: 3600)
        }
        #expect(place("gw-1", "r1") == place("gw-1", "r1"))
        #expect(place("gw-1", "r1") != place("gw-1", "r2"))
        #expect(place("gw-1", "r1") != place("gw-2", "r1"))
        // No two pairs are the same text: "a" + "bc" is not "ab" + "c".
        #expect(place("a", "bc") != place("ab", "c"))
        #expect(StartSpread.nanoseconds(device: "a", rollout: "b", windowSeconds: 0) == 0)
        for device in 0..<1000 { #expect(place("gw-\(device)", "r1") < 3_600_000_000_000) }
    }

    private func rounded(_ ratio: Double) -> String { "\((ratio * 100).rounded() / 100)" }
}
