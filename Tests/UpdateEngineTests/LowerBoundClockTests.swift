import BootControl
import BundleFormat
import Platform
import Testing

@testable import UpdateEngine

/// The time as a lower bound, and the engine at clocks that are wrong in every way.
@Suite struct LowerBoundClockTests {
    /// 1970, the end of signed and of unsigned 32 bits, the year 10000, and beyond.
    static let clocks: [Int64] = [
        .min, -1, 0, 1, 1_700_000_000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 253_402_300_800, .max,
    ]

    @Test("The bound is the highest of what was signed and kept, and never goes back", arguments: clocks)
    func bound(reading: Int64) {
        var clock = LowerBoundClock(anchor: 1_600_000_000, kept: 1_650_000_000)
        #expect(clock.now(reading) >= 1_650_000_000)
        for time in Self.clocks {
            let before = clock.bound
            clock.learn(time)
            clock.vouch(time)
            #expect(clock.bound >= before)
            #expect(clock.now(reading) >= clock.bound)
        }
    }

    @Test("What lies ten years behind all that is vouched for is not believed, from whomever it comes")
    func horizon() {
        var clock = LowerBoundClock(anchor: 1_600_000_000, kept: 0)
        let end = 1_600_000_000 + LowerBoundClock.horizon
        #expect(clock.now(end) == end)
        #expect(clock.now(end + 1) == 1_600_000_000)
        clock.learn(end + 1)
        #expect(clock.bound == 1_600_000_000)
        #expect(LowerBoundClock(anchor: 1_600_000_000, kept: .max).bound == 1_600_000_000)
        clock.vouch(1_900_000_000)
        #expect(clock.now(end + 1) == end + 1)
    }

    @Test("A clock that was set right by an hour still counts as good; one of last week and one of 2106 do not")
    func judging() {
        let clock = LowerBoundClock(anchor: 1_600_000_000, kept: 1_700_000_000)
        #expect(clock.judge(1_700_000_000 - 3600) == .good)
        #expect(clock.judge(1_700_000_000 - 7 * 86400) == .behind)
        #expect(clock.judge(0) == .behind)
        #expect(clock.judge(1 << 32) == .ahead)
    }

    @Test("At any clock a release is installed, tried, confirmed, rolled back and installed again", arguments: clocks)
    func wholeStory(reading: Int64) throws {
        let device = try TestDevice()
        device.clock = reading
        let image = TestDevice.image(seed: 3, megabytes: 1)
        let first = try device.bundle("r1", sequence: 1, images: [("rootfs", image)])
        try device.engine().install(first)
        try device.powerOn()
        try device.engine().recover()
        #expect(try device.boot.load().phase == .confirmed)
        let second = try device.bundle("r2", sequence: 2, images: [("rootfs", image), ("bios", image)])
        try device.engine().install(second)
        try device.powerOn()
        let engine = try device.engine()
        #expect(engine.status.phase == .trial)
        try engine.confirm()
        try device.engine().rollBack()
        try device.powerOn()
        try device.engine().recover()
        #expect(device.running == .b)
        try device.engine().install(second, id: "again")
        #expect(try device.boot.load().phase == .trial)
        // Whatever the clock said, what is kept is a time that can be.
        let kept = try device.engine().status.time.lowerBound
        #expect(kept >= 1_650_000_000 && kept <= 1_600_000_000 + LowerBoundClock.horizon)
    }

    @Test(
        "One reading of 2106 does not let everything expire for ever",
        arguments: [Int64(1) << 32, 253_402_300_800, .max])
    func glitch(reading: Int64) throws {
        let device = try TestDevice()
        let image = TestDevice.image(seed: 3, megabytes: 1)
        device.clock = reading
        try device.engine().recover()
        #expect(try device.engine().status.time.clock == .ahead)
        device.clock = 1_700_000_000
        try device.engine().install(
            device.bundle("r", images: [("rootfs", image)], extra: "expires = 2024-01-01T00:00:00Z"))
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("When the program was made counts, where clock and journal know nothing")
    func built() throws {
        let device = try TestDevice()
        device.clock = 0
        device.built = 1_700_000_000
        let bundle = try device.bundle(
            "r", images: [("rootfs", TestDevice.image(seed: 3, megabytes: 1))], extra: "expires = 2023-01-01T00:00:00Z")
        #expect { try device.engine().install(bundle) } throws: { ($0 as? Failure)?.code == "policy.expired" }
    }

    @Test("A refused release still tells the time, and losing the journal does not turn it back past the running one")
    func learning() throws {
        let device = try TestDevice()
        device.clock = 0
        let image = TestDevice.image(seed: 3, megabytes: 1)
        let stranger = try device.bundle("r", images: [("rootfs", image)], vendor: "other")
        #expect { try device.engine().install(stranger) } throws: { ($0 as? Failure)?.code == "policy.wrong-product" }
        #expect(try device.engine().status.time.lowerBound == 1_650_000_000)
        try device.engine().install(device.bundle("r1", images: [("rootfs", image)]))
        device.state.journal = [nil, nil]
        #expect(try device.engine().status.time.lowerBound == 1_650_000_000)
    }

    @Test("Expiry blocks no repair: what runs, what waits in the spare set, what was begun, a rollback, a confirmation")
    func repairs() throws {
        let device = try TestDevice()
        let image = TestDevice.image(seed: 3, megabytes: 2)
        let expiring = "expires = 2023-12-01T00:00:00Z"
        let first = try device.bundle("r1", sequence: 1, images: [("rootfs", image)], extra: expiring)
        try device.engine().install(first)
        try device.powerOn()
        device.clock = 1_710_000_000
        try device.engine().recover()
        #expect(try device.boot.load().phase == .confirmed)
        // What runs, asked for again.
        let engine = try device.engine()
        try engine.install(first, id: "same")
        #expect(engine.status.result?.reason == "already-running")
        // What waits in the spare set, after a rollback from it.
        device.boot.records[device.boot.records.count - 1].slotA = SlotRecord(
            state: .good, manifest: SHA256.digest(of: [1]), sequence: 1, securityVersion: 1)
        try device.engine().rollBack()
        try device.powerOn()
        #expect(device.running == .a)
        try device.engine().install(first, id: "back")
        #expect(try device.boot.load().phase == .trial)
        // A release that the device does not have is refused.
        try device.powerOn()
        try device.engine().recover()
        let other = try device.bundle("r2", sequence: 2, images: [("rootfs", image)], extra: expiring)
        #expect { try device.engine().install(other) } throws: { ($0 as? Failure)?.code == "policy.expired" }
    }

    @Test("An attempt that was begun in time goes on after its release expired")
    func resumes() throws {
        let device = try TestDevice()
        let bundle = try device.bundle(
            "r", images: [("rootfs", TestDevice.image(seed: 3, megabytes: 4))], extra: "expires = 2023-12-01T00:00:00Z")
        device.breakAfter = 700_000
        #expect(throws: Failure.self) { try device.engine().install(bundle) }
        #expect(try device.boot.load().phase == .writing)
        device.breakAfter = nil
        device.clock = 1_710_000_000
        try device.engine().resume()
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("A release whose time has not come waits for a clock that works, and not for one that is wrong")
    func notBefore() throws {
        let device = try TestDevice()
        let bundle = try device.bundle(
            "r", images: [("rootfs", TestDevice.image(seed: 3, megabytes: 1))],
            extra: "not-before = 2024-01-01T00:00:00Z")
        for _ in 0..<2 {
            #expect { try device.engine().install(bundle) } throws: { ($0 as? Failure)?.code == "policy.not-yet" }
        }
        device.clock = 0
        try device.engine().install(bundle)
        #expect(try device.boot.load().phase == .trial)
    }
}
