import BootControl
import BundleFormat
import Foundation
import Platform
import Testing

@testable import UpdateEngine

/// Whole attempts with the shipped engine, packager, slots and formats.
@Suite struct EngineScenarioTests {
    let device: TestDevice
    let image = TestDevice.image(seed: 7, megabytes: 4, extra: 5000)
    let bios = TestDevice.image(seed: 9, megabytes: 1)

    init() throws { device = try TestDevice() }

    @Test("A good release is written, armed, tried and confirmed, and the floor follows")
    func goodRelease() throws {
        let bundle = try device.bundle("r1", sequence: 5, security: 3, images: [("rootfs", image), ("bios", bios)])
        let engine = try device.engine()
        try engine.install(bundle, id: "attempt-1")
        #expect(engine.status.phase == .rebooting)
        #expect(device.reboots == 1)
        #expect(try device.boot.load().active == .b)
        #expect(Array(try device.contents("rootfs", .b).prefix(image.count)) == image)
        #expect(Array(try device.contents("bios", .b).prefix(bios.count)) == bios)
        #expect(try device.contents("rootfs", .a).allSatisfy { $0 == 0xa5 })

        try device.powerOn()
        #expect(device.running == .b)
        let next = try device.engine()
        #expect(next.status.phase == .trial)
        try next.recover()
        let record = try device.boot.load()
        #expect(record.phase == .confirmed)
        #expect(record.slotB.state == .good)
        #expect(record.acceptedSequence == 5)
        // Slot a still holds the factory release with security version 0, so the floor cannot rise above it.
        #expect(record.floor == 0)
        #expect(next.status.result?.phase == .confirmed)
        #expect(next.status.result?.attempt == "attempt-1")
    }

    @Test("The boot record is written in the order of the write protocol and nowhere else")
    func recordOrder() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        #expect(device.boot.records.map(\.phase) == [.idle, .writing, .trial])
        #expect(device.boot.records[1].slotB.state == .writing)
        #expect(device.boot.records[1].active == .a)
        #expect(device.boot.records[2].triesLeft == 3)
        try device.powerOn()
        try device.engine().recover()
        #expect(device.boot.records.map(\.phase) == [.idle, .writing, .trial, .trial, .trial, .confirmed])
    }

    @Test("A release that fails its health check goes back by itself and says why")
    func unhealthy() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle, id: "bad-1")
        try device.powerOn()
        device.healthy = "modbus is dead"
        let engine = try device.engine()
        #expect(failure { try engine.recover() }?.code == "health.failed")
        #expect(device.reboots == 2)
        #expect(try device.boot.load().phase == .fellBack)
        #expect(try device.boot.load().reason == .healthFailed)
        #expect(try device.boot.load().slotB.state == .bad)
        try device.powerOn()
        #expect(device.running == .a)
        let after = try device.engine()
        try after.recover()
        #expect(after.status.phase == .rolledBack)
        #expect(after.status.result?.reason == "health-failed")
        #expect(after.status.result?.failure?.context.contains("modbus is dead") == true)
    }

    @Test("A release that never reaches user space is given up by the boot loader and reported so")
    func neverBoots() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle, id: "dead-1")
        for _ in 0..<3 {
            try device.powerOn()
            #expect(device.running == .b)
        }
        try device.powerOn()
        #expect(device.running == .a)
        let engine = try device.engine()
        try engine.recover()
        #expect(engine.status.phase == .rolledBack)
        #expect(engine.status.result?.reason == "boot-failed")
        #expect(engine.status.result?.attempt == "dead-1")
    }

    @Test("A release that hangs in user space until its tries are gone is told apart from a dead kernel")
    func hangsInUserSpace() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        try device.powerOn()
        _ = try device.boot.store(try device.boot.load().reachingUserSpace())
        for _ in 0..<3 { try device.powerOn() }
        #expect(device.running == .a)
        let engine = try device.engine()
        try engine.recover()
        #expect(engine.status.result?.reason == "not-confirmed")
    }

    @Test("A boot loader that ignores the armed record is found out and not reported as success")
    func ignoredRecord() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        device.bootID = "another-boot"
        let engine = try device.engine()
        try engine.recover()
        #expect(engine.status.phase == .rolledBack)
        #expect(engine.status.result?.reason == "boot-failed")
    }

    @Test("A slot that changed after arming is not confirmed")
    func wrongImage() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        let file = try Descriptor(open: device.slotPath("rootfs", .b), [.read, .write])
        try file.write([1, 2, 3].rawBytes, at: 3 << 20)
        try device.powerOn()
        let engine = try device.engine()
        #expect(failure { try engine.recover() }?.code == "health.wrong-image")
        #expect(try device.boot.load().reason == .wrongImage)
        #expect(try device.boot.load().active == .a)
    }

    @Test(
        "After a broken download the next process goes on from what is in the slot",
        arguments: [0, 1, 5_000, 300_000, 700_000, 1_500_000, 2_100_000])
    func resume(bytes: Int) throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image), ("bios", bios)])
        let size = try Data(contentsOf: URL(fileURLWithPath: bundle)).count
        device.breakAfter = bytes
        let first = try device.engine()
        #expect(failure { try first.install(bundle) }?.category == .network)
        let attempt = first.status.attempt?.id
        #expect(try device.boot.load().active == .a)
        device.breakAfter = nil
        let second = try device.engine()
        try second.install(bundle)
        #expect(second.status.attempt?.id == attempt)
        #expect(Array(try device.contents("rootfs", .b).prefix(image.count)) == image)
        #expect(Array(try device.contents("bios", .b).prefix(bios.count)) == bios)
        // The head's request comes again, and at most one epoch of windows.
        let fetched = Int(second.status.attempt?.counters.fetched ?? 0)
        #expect(fetched <= size + Int(BundleHead.firstRequest) + SlotWriter.epochBytes)
    }

    @Test("A cancel while fetching ends the attempt and leaves the running slot selected")
    func cancel() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        device.state.cancel = false
        final class Canceler: EngineObserver, @unchecked Sendable {
            let state: MemoryState
            init(_ state: MemoryState) { self.state = state }
            func engineChanged(_ status: EngineStatus) { if status.phase == .fetching { state.cancel = true } }
        }
        let engine = try device.engine(Canceler(device.state))
        #expect(failure { try engine.install(bundle, id: "c-1") }?.code == "engine.canceled")
        #expect(engine.status.phase == .canceled)
        #expect(engine.status.result?.phase == .canceled)
        #expect(try device.boot.load().active == .a)
        #expect(try device.boot.load().slotB.state == .writing)
        device.state.cancel = false
        let again = try device.engine()
        try again.install(bundle, id: "c-2")
        #expect(again.status.phase == .rebooting)
    }

    @Test("A redelivered attempt id does nothing, whatever its result was")
    func redelivery() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle, id: "x-1")
        try device.powerOn()
        try device.engine().recover()
        let records = device.boot.records.count
        try device.engine().install(bundle, id: "x-1")
        #expect(device.boot.records.count == records)
        #expect(device.reboots == 1)
    }

    @Test("Installing what already runs measures it, writes nothing and says so")
    func alreadyRunning() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle, id: "x-1")
        try device.powerOn()
        try device.engine().recover()
        let records = device.boot.records.count
        let engine = try device.engine()
        try engine.install(bundle, id: "x-2")
        #expect(engine.status.result?.reason == "already-running")
        #expect(device.boot.records.count == records)
    }

    @Test("A confirmed release can be rolled back to the former one, and forward again")
    func manualRollback() throws {
        let one = try device.bundle("r1", sequence: 1, images: [("rootfs", image)])
        let two = try device.bundle("r2", sequence: 2, images: [("rootfs", TestDevice.image(seed: 8, megabytes: 3))])
        for (bundle, slot) in [(one, SlotSet.b), (two, .a)] {
            try device.engine().install(bundle)
            try device.powerOn()
            try device.engine().recover()
            #expect(device.running == slot)
        }
        try device.engine().rollBack()
        try device.powerOn()
        #expect(device.running == .b)
        let engine = try device.engine()
        try engine.recover()
        #expect(engine.status.result?.phase == .rolledBack)
        #expect(engine.status.result?.reason == "requested")
        #expect(engine.status[.b]?.id == "r1")
        try device.engine().rollBack()
        try device.powerOn()
        #expect(device.running == .a)
    }

    @Test("An armed release that is rolled back before the reboot leaves the running slot selected")
    func rollBackArmed() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)], reboot: "manual")
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(engine.status.phase == .armed)
        #expect(device.reboots == 0)
        try device.engine().rollBack()
        #expect(try device.boot.load().active == .a)
        #expect(device.reboots == 0)
        try device.powerOn()
        #expect(device.running == .a)
    }

    @Test("Confirm by hand skips the health check but not the measurement")
    func confirmByHand() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        try device.engine().install(bundle)
        try device.powerOn()
        device.healthy = "would fail"
        try device.engine().confirm()
        #expect(try device.boot.load().phase == .confirmed)
        #expect(failure { try device.engine().confirm() }?.code == "engine.nothing-to-confirm")
    }

    @Test("Windows that the target already holds are not written again")
    func skipsUnchanged() throws {
        var same = image
        same.replaceSubrange(0..<4096, with: [UInt8](repeating: 1, count: 4096))
        let one = try device.bundle("r1", sequence: 1, images: [("rootfs", image)])
        let two = try device.bundle("r2", sequence: 2, images: [("rootfs", same)])
        let engine = try device.engine()
        try engine.install(one)
        try device.engine().rollBack()
        let again = try device.engine()
        try again.install(two)
        #expect(again.status.attempt?.counters.written == 1 << 20)
        #expect(again.status.attempt?.counters.unchanged == UInt64(image.count - (1 << 20)))
    }

    @Test("An arming write that fails without landing leaves the old slot selected, and the next try goes on")
    func armingFails() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        device.boot.failStore = 2
        #expect(failure { try device.engine().install(bundle) }?.category == .boot)
        #expect(try device.boot.load().active == .a)
        try device.engine().install(bundle)
        #expect(try device.boot.load().active == .b)
    }

    @Test("An arming write that reports an error but landed is taken as what it is")
    func armingLands() throws {
        let bundle = try device.bundle("r1", images: [("rootfs", image)])
        device.boot.failStore = 2
        device.boot.lands = true
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(engine.status.phase == .rebooting)
        #expect(try device.boot.load().phase == .trial)
    }
}
