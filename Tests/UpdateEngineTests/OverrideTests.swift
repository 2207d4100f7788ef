import BootControl
import BundleFormat
import Floors
import Foundation
import Platform
import Signing
import Testing
import Trust

@testable import UpdateEngine

/// Authorised downgrades: for one device, one release and one time.
@Suite struct OverrideTests {
    private let bench: StatementDevice
    private let device: TestDevice
    private let old: String
    private let image = TestDevice.image(seed: 40, megabytes: 1)

    /// A device that runs a release with sequence 9 and security version 5, with a floor of 5, and an older bundle.
    init() throws {
        bench = try StatementDevice()
        device = bench.device
        try bench.run("r8", sequence: 8, security: 5)
        try bench.run("r9", sequence: 9, security: 5)
        #expect(try device.boot.load().floor == 5)
        old = try device.bundle("old", sequence: 3, security: 2, images: [("rootfs", image)])
    }

    private func ask() throws -> [UInt8] {
        var book = try OverrideBook(bench.book)
        return try book.ask(bootID: device.bootID, random: SystemRandom()).nonce
    }

    private func statement(
        _ nonce: [UInt8], device id: String = "gw", of bundle: String? = nil, expires: Int64? = 1_800_000_000,
        boots: UInt32? = nil
    ) throws -> [UInt8] {
        try bench.sign(
            OverrideStatement(
                devices: [.init(id: "other", nonce: [UInt8](repeating: 0, count: 16)), .init(id: id, nonce: nonce)],
                manifest: bench.digest(bundle ?? old), created: 1_690_000_000, expires: expires, boots: boots,
                reason: nil),
            by: [bench.anna, bench.ben])
    }

    private func expectRefused(_ override: [UInt8]?, _ code: String, bundle: String? = nil) throws {
        let before = device.boot.records.count
        let failure = try bench.refusal(bundle ?? old, override: override)
        #expect(failure?.code == code, "\(String(describing: failure))")
        #expect(failure?.remedy.isEmpty == false)
        #expect(device.boot.records.count == before)
    }

    @Test("With an override the older release is installed, tried and confirmed, and no floor is above it at any time")
    func downgrade() throws {
        let store = MemoryFloor(.file)
        store.value = 5
        device.floor = store
        try expectRefused(nil, "policy.older")
        let nonce = try ask()
        try device.engine().install(old, override: statement(nonce))
        for record in device.boot.records.suffix(2) {
            for set in SlotSet.allCases where record[set].state == .good || record[set].state == .trial {
                #expect(record[set].securityVersion >= record.floor)
            }
        }
        #expect(store.value == 2)
        try device.powerOn()
        try device.engine().recover()
        let record = try device.boot.load()
        #expect(record.phase == .confirmed && record[device.running].securityVersion == 2)
        #expect(record.floor == 2 && store.value == 2)
        // What was accepted stays: the way on leads to a newer release.
        #expect(record.acceptedSequence == 9)
        try bench.run("r10", sequence: 10, security: 5)
    }

    @Test("It works once: not again, not for the same attempt name, not after a restart")
    func once() throws {
        let file = try statement(ask())
        try device.engine().install(old, id: "down", override: file)
        #expect(try device.engine().status.overrideRequest == nil)
        device.healthy = "no"
        try device.powerOn()
        #expect(throws: Failure.self) { try device.engine().recover() }
        device.healthy = nil
        try device.powerOn()
        try device.engine().recover()
        try expectRefused(file, "override.nonce")
        // Another request does not bring the old statement back.
        _ = try ask()
        try expectRefused(file, "override.nonce")
    }

    @Test("It is used up before anything is written, and goes with its attempt over a power cut")
    func interrupted() throws {
        let file = try statement(ask())
        device.breakAfter = 600_000
        let failure = try bench.refusal(old, override: file)
        #expect(failure?.category == .network)
        #expect(try OverrideBook(bench.book).request == nil)
        device.breakAfter = nil
        let engine = try device.engine()
        #expect(engine.canResume)
        try engine.resume()
        #expect(try device.boot.load().phase == .trial)
    }

    @Test(
        "When the power goes between the store's write and the one that arms, the next start raises the floor again"
    )
    func betweenWrites() throws {
        let store = MemoryFloor(.file)
        store.value = 5
        device.floor = store
        let file = try statement(ask())
        device.boot.crashNext(true, lands: false, behind: 1)
        #expect(try bench.refusal(old, id: "down", override: file) != nil)
        #expect(store.value == 2)
        device.boot.crashNext(false, lands: false)
        try device.engine().recover()
        #expect(store.value == 5)
        #expect(try device.boot.load().floor == 5)
    }

    @Test("When it cannot be noted as used, nothing happens")
    func unnoted() throws {
        let file = try statement(ask())
        bench.book.failWrites = true
        try expectRefused(file, "storage.io")
        bench.book.failWrites = false
        try device.engine().install(old, override: file)
    }

    @Test("A statement for another device, release, request, or by too few people is refused and not used up")
    func wrong() throws {
        let nonce = try ask()
        let other = try device.bundle("old2", sequence: 3, security: 2, images: [("rootfs", image)])
        try expectRefused(statement(nonce, device: "gw-2"), "override.other-device")
        try expectRefused(statement(nonce, of: other), "override.other-release")
        try expectRefused(statement([UInt8](repeating: 9, count: 16)), "override.nonce")
        let one = try bench.sign(
            OverrideStatement(
                devices: [.init(id: "gw", nonce: nonce)], manifest: bench.digest(old), created: 1, expires: nil,
                boots: 9, reason: nil), by: [bench.anna])
        try expectRefused(one, "trust.threshold")
        try expectRefused(Array("{}".utf8), "json.missing")
        try device.engine().install(old, override: statement(nonce))
    }

    @Test("It ends with its time and with its boots, whatever the clock is set to")
    func ends() throws {
        let nonce = try ask()
        try expectRefused(statement(nonce, expires: 1_699_999_999), "override.expired")
        device.clock = 0
        try expectRefused(statement(nonce, expires: 1_699_999_999), "override.expired")
        for _ in 0..<3 {
            try device.powerOn()
            try device.engine().recover()
            // A second start in the same boot counts nothing.
            try device.engine().recover()
        }
        #expect(try device.engine().status.overrideRequest?.boots == 3)
        try expectRefused(statement(nonce, expires: nil, boots: 2), "override.expired")
        try device.engine().install(old, override: statement(nonce, expires: nil, boots: 3))
    }

    @Test("It never goes below a TPM's floor nor the trust root's")
    func hardFloors() throws {
        let nonce = try ask()
        let store = MemoryFloor(.tpm)
        store.value = 3
        device.floor = store
        try expectRefused(statement(nonce), "policy.below-hard-floor")
        store.value = 2
        device.trust = try TrustStore(rootFile: bench.rootFile(floor: 3))
        try expectRefused(statement(nonce), "policy.below-hard-floor")
        // A TPM that does not answer might hold more.
        device.trust = try TrustStore(rootFile: bench.rootFile())
        store.fails = true
        try expectRefused(statement(nonce), "policy.floor-unknown")
        store.fails = false
        try device.engine().install(old, override: statement(nonce))
        #expect(store.value == 2)
    }

    @Test("It lets nothing in that is unsigned, of another product, or denied")
    func notEverything() throws {
        let nonce = try ask()
        let unsigned = try device.bundle("u", sequence: 3, security: 2, images: [("rootfs", image)], signed: false)
        try expectRefused(statement(nonce, of: unsigned), "trust.unsigned", bundle: unsigned)
        let stranger = try device.bundle("s", sequence: 3, security: 2, images: [("rootfs", image)], vendor: "other")
        try expectRefused(statement(nonce, of: stranger), "policy.wrong-product", bundle: stranger)
        #expect(try OverrideBook(bench.book).request != nil)
    }

    @Test("An override for a release that needs none is not looked at and not used up")
    func notNeeded() throws {
        _ = try ask()
        let newer = try device.bundle("r10", sequence: 10, security: 5, images: [("rootfs", image)])
        try device.engine().install(newer, override: Array("no statement".utf8))
        #expect(try OverrideBook(bench.book).request != nil)
    }

    @Test("An expired release that is older comes in too: the override has an end of its own")
    func expired() throws {
        let bundle = try device.bundle(
            "ancient", sequence: 2, security: 1, images: [("rootfs", image)], extra: "expires = 2022-06-01T00:00:00Z")
        try device.engine().install(bundle, override: statement(ask(), of: bundle))
        #expect(try device.boot.load().phase == .trial)
    }

    @Test("Asking again gives the same nonce, giving up makes another one, and damage makes every statement worthless")
    func asking() throws {
        let first = try ask()
        #expect(try ask() == first)
        var book = try OverrideBook(bench.book)
        try book.forget()
        let second = try ask()
        #expect(second != first)
        let file = try statement(second)
        for count in [0, 1, 20] {
            bench.book.bytes = Array((bench.book.bytes ?? []).dropLast(count + 1))
            #expect(try OverrideBook(bench.book).request == nil)
            try expectRefused(file, "override.nonce")
        }
    }
}
