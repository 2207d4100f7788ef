import BootControl
import BundleFormat
import Foundation
import Platform
import Testing

@testable import UpdateEngine

/// What survives restarts, repeated requests and bad moments: no result is lost, none is invented, and the slot that
/// can be come back to is never written.
@Suite("The engine over restarts and repeated requests")
struct EngineRestartTests {
    let device: TestDevice
    let image = TestDevice.image(seed: 7, megabytes: 2)
    let other = TestDevice.image(seed: 8, megabytes: 2)

    init() throws { device = try TestDevice() }

    /// Installs, boots and confirms.
    private func confirmed(_ bundle: String, id: String) throws {
        try device.engine().install(bundle, id: id)
        try device.powerOn()
        try device.engine().recover()
        try #require(try device.boot.load().phase == .confirmed)
    }

    @Test("A process that ends between arming and the reboot leaves the reboot to the next one")
    func killedBeforeReboot() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        #expect(device.reboots == 1)
        try device.engine().recover()
        #expect(device.reboots == 2)
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("A release with a manual reboot waits for it, also after a restart of the process")
    func manualRebootStays() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)], reboot: "manual")
        try device.engine().install(bundle)
        try device.engine().recover()
        #expect(device.reboots == 0)
    }

    @Test("A process that ends between falling back and the reboot leaves the reboot to the next one")
    func killedBeforeComingBack() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        try device.powerOn()
        device.healthy = "dead"
        #expect(failure { try device.engine().recover() }?.code == "health.failed")
        let reboots = device.reboots
        try device.engine().recover()
        #expect(device.reboots == reboots + 1)
        // A boot loader that does not follow the record is not asked again and again.
        device.bootID = "another boot of the failed slot set"
        try device.engine().recover()
        #expect(device.reboots == reboots + 1)
    }

    @Test("While a release that failed its trial still runs, the good slot is not overwritten")
    func failedTrialStillRuns() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        let next = try device.bundle("r2", sequence: 2, images: [("rootfs", other)])
        try device.engine().install(bundle)
        try device.powerOn()
        device.healthy = "dead"
        #expect(failure { try device.engine().recover() }?.code == "health.failed")
        let records = device.boot.records
        let good = try device.contents("rootfs", .a)
        #expect(failure { try device.engine().install(next) }?.code == "engine.reboot-pending")
        #expect(device.boot.records == records)
        #expect(try device.contents("rootfs", .a) == good)
        try device.powerOn()
        try device.engine().install(next)
        #expect(try device.contents("rootfs", .a) == good)
        #expect(Array(try device.contents("rootfs", .b).prefix(other.count)) == other)
    }

    @Test("A rollback that waits for its reboot is not undone by an install")
    func rollbackStillWaits() throws {
        try confirmed(try device.bundle("r1", images: [("rootfs", image)]), id: "x-1")
        try device.engine().rollBack()
        let next = try device.bundle("r2", sequence: 2, images: [("rootfs", other)])
        #expect(failure { try device.engine().install(next) }?.code == "engine.reboot-pending")
        #expect(try device.boot.load().active == .a)
    }

    @Test("An install right after the boot loader fell back does not lose why")
    func resultBeforeNewAttempt() throws {
        try device.engine().install(try device.bundle("r1", images: [("rootfs", image)]), id: "dead-1")
        for _ in 0..<4 { try device.powerOn() }
        try device.engine().install(try device.bundle("r2", images: [("rootfs", other)]), id: "next-1")
        let results = try device.engine().status.results
        #expect(results.first?.attempt == "dead-1")
        #expect(results.first?.phase == .rolledBack)
        #expect(results.first?.reason == "boot-failed")
    }

    @Test("A refused attempt is still what is told after a restart, whatever was confirmed before it")
    func refusedAfterConfirmed() throws {
        try confirmed(try device.bundle("r1", sequence: 5, images: [("rootfs", image)]), id: "x-1")
        let old = try device.bundle("r0", sequence: 4, images: [("rootfs", other)])
        #expect(failure { try device.engine().install(old, id: "x-2") }?.code == "policy.older")
        let status = try device.engine().status
        #expect(status.phase == .failed)
        #expect(status.attempt?.id == "x-2")
        #expect(status.result?.failure?.code == "policy.older")
        #expect(status.record.phase == .confirmed)
    }

    @Test("A rollback on request is what is told after it, and not the attempt before")
    func rollbackAfterConfirmed() throws {
        try confirmed(try device.bundle("r1", images: [("rootfs", image)]), id: "x-1")
        try device.engine().rollBack("back-1")
        try device.powerOn()
        let engine = try device.engine()
        try engine.recover()
        #expect(engine.status.phase == .rolledBack)
        #expect(engine.status.attempt?.id == "back-1")
        #expect(engine.status.result?.reason == "requested")
    }

    @Test("An attempt that was superseded does not come back as running")
    func superseded() throws {
        device.breakAfter = 300_000
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        #expect(failure { try device.engine().install(bundle, id: "x-1") }?.category == .network)
        device.breakAfter = nil
        let wrong = try device.bundle("r2", images: [("rootfs", other)], vendor: "other")
        #expect(failure { try device.engine().install(wrong, id: "x-2") }?.code == "policy.wrong-product")
        let engine = try device.engine()
        #expect(engine.status.phase == .failed && engine.status.attempt?.id == "x-2")
        #expect(!engine.canResume)
        #expect(engine.status.results.map(\.attempt) == ["x-1", "x-2"])
        #expect(engine.status.results.first?.reason == "superseded")
    }

    @Test("The same attempt id while it is armed or on trial is under way and no error")
    func redeliveredWhileArmed() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)], reboot: "manual")
        try device.engine().install(bundle, id: "x-1")
        let records = device.boot.records
        try device.engine().install(bundle, id: "x-1")
        #expect(failure { try device.engine().install(bundle, id: "x-2") }?.code == "engine.attempt-pending")
        try device.powerOn()
        try device.engine().install(bundle, id: "x-1")
        #expect(device.boot.records.count == records.count + 1)
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("A rollback document that is delivered again after the reboot does not switch back and forth")
    func redeliveredRollback() throws {
        try confirmed(try device.bundle("r1", images: [("rootfs", image)]), id: "x-1")
        try device.engine().rollBack("back-1")
        for _ in 0..<3 {
            try device.powerOn()
            #expect(device.running == .a)
            let engine = try device.engine()
            try engine.recover()
            try engine.rollBack("back-1")
        }
        #expect(try device.boot.load().active == .a)
    }

    @Test("A rollback of a trial under an id of its own is not repeated on the next release")
    func redeliveredTrialRollback() throws {
        try device.engine().install(try device.bundle("r1", images: [("rootfs", image)]), id: "x-1")
        try device.powerOn()
        try device.engine().rollBack("back-1")
        try device.powerOn()
        try confirmed(try device.bundle("r2", images: [("rootfs", other)]), id: "x-2")
        try device.engine().rollBack("back-1")
        #expect(try device.boot.load().phase == .confirmed)
    }

    @Test("A rollback ends an interrupted attempt, which the next start does not take up again")
    func rollbackEndsPaused() throws {
        try confirmed(try device.bundle("r1", images: [("rootfs", image)]), id: "x-1")
        device.breakAfter = 10
        let bundle = try device.bundle("r2", sequence: 2, images: [("rootfs", other)])
        #expect(failure { try device.engine().install(bundle, id: "x-2") }?.category == .network)
        device.breakAfter = nil
        try device.engine().rollBack()
        try device.powerOn()
        let engine = try device.engine()
        try engine.recover()
        #expect(!engine.canResume)
        #expect(engine.status.results.first { $0.attempt == "x-2" }?.phase == .canceled)
    }

    @Test(
        "When nobody knows whether the arming write landed, no end is claimed, and the next start goes by the record",
        arguments: [true, false])
    func unknownRecord(lands: Bool) throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        device.boot.failStore = 2
        device.boot.lands = lands
        device.boot.failLoads = 1
        let engine = try device.engine()
        #expect(failure { try engine.install(bundle, id: "x-1") }?.category == .boot)
        #expect(engine.status.result == nil)
        let next = try device.engine()
        #expect(next.status.result == nil)
        #expect(next.status.phase == (lands ? .armed : .fetching))
        // The same process reads the record again before it does anything.
        try engine.install(bundle, id: "x-1")
        #expect(try device.boot.load().phase == .trial)
        #expect(device.boot.records.map(\.phase) == [.idle, .writing, .trial])
    }

    @Test("Cancel ends only the attempt that it names, and twice is no error")
    func cancelByName() throws {
        device.breakAfter = 10
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        #expect(failure { try device.engine().install(bundle, id: "x-1") }?.category == .network)
        #expect(failure { try device.engine().cancel("x-9") }?.code == "engine.nothing-to-cancel")
        try device.engine().cancel("x-1")
        try device.engine().cancel("x-1")
        #expect(try device.engine().status.phase == .canceled)
    }

    @Test("A cancel that comes before its attempt begins is not lost, and reaches no other attempt")
    func cancelAhead() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        let engine = try device.engine()
        engine.requestCancel("x-1")
        #expect(failure { try engine.install(bundle, id: "x-1") }?.code == "engine.canceled")
        try engine.install(bundle, id: "x-2")
        #expect(engine.status.phase == .rebooting)
    }

    @Test("A cancel reaches an attempt that waits for a server which never answers", arguments: [true, false])
    func cancelWhileWaiting(fromOtherProcess: Bool) throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        device.stalls = true
        let engine = try device.engine()
        let device = device
        let canceler = try WorkerThread(name: "canceler") {
            // Until the attempt is seen to work, and once more.
            while engine.status.phase != .planned { SystemTime().sleep(nanoseconds: 1_000_000) }
            if fromOtherProcess {
                while engine.status.result == nil {
                    device.state.cancel = true
                    engine.pollCancelRequest()
                    SystemTime().sleep(nanoseconds: 1_000_000)
                }
            } else {
                engine.requestCancel("x-1")
            }
        }
        #expect(failure { try engine.install(bundle, id: "x-1") }?.code == "engine.canceled")
        canceler.join()
        #expect(engine.status.phase == .canceled)
    }
}
