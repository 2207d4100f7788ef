import BootControl
import BundleFormat
import Floors
import Platform
import Testing

@testable import UpdateEngine

/// The floor's store beside the boot record: raised after confirmation alone, and no brick when it fails.
@Suite struct FloorTests {
    let device: TestDevice
    let store: MemoryFloor
    let image = TestDevice.image(seed: 3, megabytes: 2)

    init() throws {
        device = try TestDevice()
        store = MemoryFloor(.tpm)
        device.floor = store
    }

    /// Installs, boots and confirms a release.
    private func run(_ id: String, sequence: UInt64, security: UInt32, seed: UInt64 = 3) throws {
        let image = TestDevice.image(seed: seed, megabytes: 2)
        try device.engine().install(
            device.bundle(id, sequence: sequence, security: security, images: [("rootfs", image)]))
        #expect(try store.value <= device.boot.load().lowestSelectable ?? 0)
        try device.powerOn()
        try device.engine().recover()
        #expect(try device.boot.load().phase == .confirmed)
    }

    private func refusal(_ bundle: String) throws -> Failure? {
        do {
            try device.engine().install(bundle)
            return nil
        } catch { return error }
    }

    @Test("The store rises with the second confirmation, to what both slot sets have, and only then")
    func raising() throws {
        try run("r1", sequence: 1, security: 3)
        // Slot set a still has the factory's release, with security version 0.
        #expect(store.writes == [])
        try run("r2", sequence: 2, security: 5, seed: 4)
        #expect(store.writes == [3])
        try run("r3", sequence: 3, security: 5, seed: 5)
        #expect(store.writes == [3, 5])
        #expect(try device.engine().status.floor == 5)
    }

    @Test("The highest of record, root and store is in force")
    func highest() throws {
        let bundle = try device.bundle("r", security: 3, images: [("rootfs", image)])
        store.value = 4
        #expect(try refusal(bundle)?.code == "policy.below-floor")
        #expect(device.boot.records.count == 1)
        store.value = 0
        device.boot.records[0].floor = 4
        #expect(try refusal(bundle)?.code == "policy.below-floor")
    }

    @Test("A boot record that was restored from an old copy does not let an old release back in")
    func restoredRecord() throws {
        try run("r1", sequence: 1, security: 3)
        try run("r2", sequence: 2, security: 3, seed: 4)
        #expect(store.value == 3)
        device.boot.records = [BootRecord()]
        device.running = .a
        let old = try device.bundle("r0", sequence: 1, security: 2, images: [("rootfs", image)])
        #expect(try refusal(old)?.code == "policy.below-floor")
    }

    @Test("A raise that was cut off after the record was written is finished by the next start")
    func interrupted() throws {
        try run("r1", sequence: 1, security: 3)
        try device.engine().install(
            device.bundle("r2", sequence: 2, security: 3, images: [("rootfs", TestDevice.image(seed: 4, megabytes: 2))])
        )
        try device.powerOn()
        store.fails = true
        let engine = try device.engine()
        try engine.recover()
        // Confirmed all the same: a store that fails never costs a release that works.
        #expect(try device.boot.load().phase == .confirmed)
        #expect(engine.status.floors.failure?.code == "floor.unreachable")
        #expect(engine.status.result?.phase == .confirmed)
        #expect(store.value == 0)
        store.fails = false
        try device.engine().recover()
        #expect(store.value == 3)
        try device.engine().recover()
        #expect(store.writes == [3])
    }

    @Test("With a store that cannot be read, what is as new as the running release installs, what is older does not")
    func unreadable() throws {
        try run("r1", sequence: 1, security: 3)
        store.fails = true
        let older = try device.bundle("old", sequence: 2, security: 2, images: [("rootfs", image)])
        let failure = try #require(try refusal(older))
        #expect(failure.code == "policy.floor-unknown" && failure.category == .policy)
        #expect(failure.context.contains("switched off by the test"))
        try run("r2", sequence: 2, security: 3, seed: 4)
        // Rolling back needs no floor.
        try device.engine().rollBack()
        try device.powerOn()
        #expect(device.running == .b)
        try device.engine().recover()
    }

    @Test("No store is ever raised above a slot set that can be selected, whatever the record says")
    func wrongRecord() throws {
        device.boot.records[0].floor = 9
        device.boot.records[0].slotA.securityVersion = 2
        try device.engine().recover()
        #expect(store.writes == [2])
    }

    @Test("A trial, a rollback and a failed health check leave the store alone")
    func trial() throws {
        try run("r1", sequence: 1, security: 3)
        try device.engine().install(
            device.bundle("r2", sequence: 2, security: 9, images: [("rootfs", TestDevice.image(seed: 4, megabytes: 2))])
        )
        try device.powerOn()
        device.healthy = "no"
        #expect(throws: Failure.self) { try device.engine().recover() }
        try device.powerOn()
        try device.engine().recover()
        #expect(store.writes == [])
        #expect(device.running == .b)
    }
}
