import BootControl
import Foundation
import Platform
import Testing
import Transfer

@testable import UpdateEngine

@Suite("Pause and resume, on request and for room", .timeLimit(.minutes(1)))
struct PauseTests {
    let device: TestDevice
    let image = TestDevice.image(seed: 3, megabytes: 5)
    let bundle: String

    init() throws {
        device = try TestDevice()
        bundle = try device.bundle("r1", images: [("rootfs", image)])
    }

    /// Another process asks for a pause as soon as the attempt is in this phase, with this much done.
    private func pauses(in phase: Phase, after bytes: UInt64 = 0) -> Watcher {
        Watcher { status in
            if status.phase == phase, status.handledBytes >= bytes { device.state.held = status.attempt?.id }
        }
    }

    private func expectArmed(_ image: [UInt8]) throws {
        #expect(try device.boot.load().active == .b)
        #expect(Array(try device.contents("rootfs", .b).prefix(image.count)) == image)
        #expect(device.state.held == nil || device.state.held != "x-1")
    }

    @Test(
        "An attempt pauses in any phase before it is armed, keeps what came, and goes on where it was",
        arguments: [Phase.planned, .fetching, .written])
    func everyPhase(phase: Phase) throws {
        let bytes: UInt64 = phase == .fetching ? 2 << 20 : 0
        let paused = failure { try device.engine(pauses(in: phase, after: bytes)).install(bundle, id: "x-1") }
        #expect(paused?.code == "engine.paused" && paused?.category == .state)
        #expect(try device.boot.load().active == .a)
        // A start of another process finds it as it was left, tells why, and leaves it alone.
        let next = try device.engine()
        #expect(next.status.phase == (phase == .planned ? .planned : .fetching))
        #expect(next.status.pause?.code == "engine.paused" && next.status.result == nil)
        #expect(next.isUnfinished && !next.canResume)
        try next.recover()
        try next.resume()
        #expect(next.status.pause?.code == "engine.paused")
        #expect(try device.boot.load().active == .a)
        let again = try device.engine()
        try again.resumeAttempt()
        if phase != .planned { #expect(again.status.attempt?.counters.reused ?? 0 > 1 << 20) }
        #expect(again.status.pause == nil && again.status.attempt?.pause == nil)
        try expectArmed(image)
        #expect(device.state.held == nil)
    }

    @Test("A paused attempt goes on by its own word only; another place for it is kept until then")
    func installWhilePaused() throws {
        _ = failure { try device.engine(pauses(in: .fetching)).install(bundle, id: "x-1") }
        let moved = device.directory + "/moved.kedge"
        try FileManager.default.moveItem(atPath: bundle, toPath: moved)
        #expect(failure { try device.engine().install(moved, id: "x-1") }?.code == "engine.paused")
        try device.engine().resumeAttempt("x-1")
        try expectArmed(image)
    }

    @Test("Cancel ends a paused attempt, and takes the pause with it")
    func cancel() throws {
        _ = failure { try device.engine(pauses(in: .fetching)).install(bundle, id: "x-1") }
        try device.engine().cancel("x-1")
        let engine = try device.engine()
        #expect(engine.status.phase == .canceled && engine.status.pause == nil)
        #expect(device.state.held == nil)
        #expect(failure { try engine.resumeAttempt() }?.code == "engine.nothing-to-resume")
    }

    @Test("A newer attempt takes the place of a paused one")
    func superseded() throws {
        _ = failure { try device.engine(pauses(in: .fetching)).install(bundle, id: "x-1") }
        let other = TestDevice.image(seed: 4, megabytes: 2)
        try device.engine().install(
            try device.bundle("r2", sequence: 2, images: [("rootfs", other)]), id: "x-2")
        try expectArmed(other)
        #expect(device.state.held == nil)
    }

    @Test("A pause reaches an attempt whose server never answers")
    func stalled() throws {
        device.stalls = true
        let engine = try device.engine()
        let asks = try WorkerThread(name: "asks") {
            while engine.status.phase != .planned { usleep(1000) }
            usleep(20_000)
            device.state.held = "x-1"
            while !engine.pollPauseRequest() { usleep(1000) }
        }
        #expect(failure { try engine.install(bundle, id: "x-1") }?.code == "engine.paused")
        asks.join()
        device.stalls = false
        try device.engine().resumeAttempt()
        try expectArmed(image)
    }

    @Test("A pause that was taken back before the work saw it does not end the attempt")
    func takenBack() throws {
        let engine = try device.engine()
        engine.observer = Watcher { status in
            guard status.phase == .fetching, status.pause == nil, status.handledBytes == 0 else { return }
            do {
                try engine.requestPause("x-1")
                try engine.requestResume("x-1")
            } catch { Issue.record(error) }
        }
        #expect(failure { try engine.install(bundle, id: "x-1") }?.code == "engine.paused")
        engine.observer = nil
        #expect(engine.canResume)
        try engine.resume()
        try expectArmed(image)
    }

    @Test("What is armed, ended or was never there cannot be paused")
    func nothing() throws {
        #expect(failure { try device.engine().pauseAttempt() }?.code == "engine.nothing-to-pause")
        try device.engine().install(bundle, id: "x-1")
        #expect(failure { try device.engine().pauseAttempt() }?.code == "engine.nothing-to-pause")
        #expect(failure { try device.engine().resumeAttempt() }?.code == "engine.nothing-to-resume")
        try device.engine().resumeAttempt("x-1")
        #expect(device.state.held == nil)
    }

    // MARK: room

    @Test("When room runs out midway the attempt waits with its reason, and goes on when enough is free again")
    func room() throws {
        let space = MemorySpace(free: 100 << 20, reserve: 8 << 20)
        device.space = space
        let engine = try device.engine(
            Watcher { status in
                if status.handledBytes >= 2 << 20 { space.free = (8 << 20) - 1 }
            })
        let full = try #require(failure { try engine.install(bundle, id: "x-1") })
        #expect(full.code == "engine.low-space" && full.category == .storage)
        #expect(engine.waitsForSpace && !engine.spaceIsBack)
        #expect(engine.status.phase == .fetching && engine.status.result == nil)
        // Another process, and a later start, know why too.
        #expect(try device.engine().status.pause == full)
        space.free = 9 << 20
        #expect(!engine.spaceIsBack)
        space.free = 10 << 20
        #expect(engine.spaceIsBack)
        engine.observer = nil
        try engine.resume()
        #expect(engine.status.attempt?.counters.reused ?? 0 > 1 << 20)
        #expect(try device.engine().status.pause == nil)
        try expectArmed(image)
    }

    @Test("With too little room nothing is asked of the network")
    func roomBefore() throws {
        device.space = MemorySpace(free: 1, reserve: 2)
        device.opener = { (_, _) throws(TransferError) in throw .location(reason: "the network was asked") }
        let engine = try device.engine()
        #expect(failure { try engine.install(bundle, id: "x-1") }?.code == "engine.low-space")
        #expect(engine.status.phase == .planned && engine.waitsForSpace)
    }
}
