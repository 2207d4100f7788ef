import BootControl
import Foundation
import Platform
import Testing

@testable import UpdateEngine

@Suite("Download only, and install later", .timeLimit(.minutes(1)))
struct StagingTests {
    let device: TestDevice
    let image = TestDevice.image(seed: 3, megabytes: 5)
    let bundle: String

    init() throws {
        device = try TestDevice()
        bundle = try device.bundle("r1", images: [("rootfs", image)])
    }

    private func stage() throws {
        let failure = failure { try device.engine().install(bundle, id: "x-1", downloadOnly: true) }
        #expect(failure?.code == "engine.staged" && failure?.category == .state)
    }

    private func expectWaiting() throws {
        #expect(try device.boot.load().active == .a)
        #expect(Array(try device.contents("rootfs", .b).prefix(image.count)) == image)
        let engine = try device.engine()
        #expect(engine.status.pause?.code == "engine.staged" && engine.status.result == nil)
        #expect(engine.isUnfinished && !engine.canResume)
    }

    private func expectArmed() throws {
        #expect(try device.boot.load().active == .b)
        #expect(device.state.held == nil)
    }

    @Test("Everything is in the slot, nothing is armed, and restarts change nothing of it")
    func waits() throws {
        try stage()
        try expectWaiting()
        let engine = try device.engine()
        try engine.recover()
        try engine.resume()
        try expectWaiting()
        try stage()
        try expectWaiting()
    }

    @Test(
        "An install of the same attempt, or a resume, arms it without fetching an image again",
        arguments: [true, false])
    func installs(byInstall: Bool) throws {
        try stage()
        let before = try device.engine().status.attempt?.counters.fetched ?? 0
        let engine = try device.engine()
        if byInstall { try engine.install(bundle, id: "x-1") } else { try engine.resumeAttempt("x-1") }
        try expectArmed()
        // The head is read again, the windows are not.
        #expect((engine.status.attempt?.counters.fetched ?? .max) - before < 1 << 20)
    }

    @Test("A download that was paused on the way goes on as a download")
    func pausedOnTheWay() throws {
        let watcher = Watcher { status in
            if status.phase == .fetching, status.handledBytes >= 1 << 20 { device.state.held = status.attempt?.id }
        }
        let paused = failure { try device.engine(watcher).install(bundle, id: "x-1", downloadOnly: true) }
        #expect(paused?.code == "engine.paused")
        #expect(failure { try device.engine().resumeAttempt("x-1") }?.code == "engine.staged")
        try expectWaiting()
    }

    @Test("The wish to install that comes while it downloads is kept, and needs no other word")
    func wishedEarly() throws {
        let watcher = Watcher { status in
            if status.phase == .fetching, status.handledBytes >= 1 << 20 { device.state.held = status.attempt?.id }
        }
        _ = failure { try device.engine(watcher).install(bundle, id: "x-1", downloadOnly: true) }
        #expect(failure { try device.engine().install(bundle, id: "x-1") }?.code == "engine.paused")
        try device.engine().resumeAttempt("x-1")
        try expectArmed()
    }

    @Test(
        "A power cut between the hold and the journal leaves an attempt that waits, and never one that installs itself")
    func cutBetween() throws {
        try stage()
        let engine = try device.engine()
        var state = engine.state
        state.attempt?.staging = .wanted
        try engine.journal.save(state)
        let next = try device.engine()
        try next.recover()
        try next.resume()
        #expect(try device.boot.load().active == .a)
        #expect(next.status.pause?.code == "engine.paused")
        #expect(failure { try device.engine().resumeAttempt("x-1") }?.code == "engine.staged")
        try expectWaiting()
    }

    @Test("Cancel, or another release, ends what waits")
    func ends() throws {
        try stage()
        try device.engine().cancel("x-1")
        #expect(try device.engine().status.phase == .canceled)
        #expect(device.state.held == nil)
        let other = try device.bundle("r2", sequence: 2, images: [("rootfs", TestDevice.image(seed: 4, megabytes: 5))])
        #expect(
            failure { try device.engine().install(other, id: "x-2", downloadOnly: true) }?.code == "engine.staged")
        try device.engine().install(try device.bundle("r3", sequence: 3, images: [("rootfs", image)]), id: "x-3")
        try expectArmed()
        #expect(try device.engine().status.results.contains { $0.attempt == "x-2" && $0.phase == .canceled })
    }
}
