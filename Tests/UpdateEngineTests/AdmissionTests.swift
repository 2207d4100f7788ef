import BootControl
import BundleFormat
import Foundation
import Platform
import Signing
import Testing

@testable import UpdateEngine

/// Releases that must not be installed: each has its own code, and nothing on the device changes.
@Suite struct AdmissionTests {
    let device: TestDevice
    let image = TestDevice.image(seed: 3, megabytes: 2)

    init() throws { device = try TestDevice() }

    private func expectRefusal(_ bundle: String, _ code: String, _ category: ErrorCategory) throws {
        let before = try device.contents("rootfs", .b)
        do {
            try device.engine().install(bundle)
            Issue.record("the release was installed")
        } catch {
            let failure = error
            #expect(failure.code == code)
            #expect(failure.category == category)
            #expect(!failure.context.isEmpty && !failure.remedy.isEmpty)
        }
        #expect(device.boot.records.count == 1)
        #expect(try device.contents("rootfs", .b) == before)
    }

    @Test("A release without signatures is refused")
    func unsigned() throws {
        try expectRefusal(try device.bundle("r", images: [("rootfs", image)], signed: false), "trust.unsigned", .trust)
    }

    @Test("A release signed by a stranger is refused")
    func stranger() throws {
        let trusted = device.key
        device.key = try SigningKey.generate()
        let bundle = try device.bundle("r", images: [("rootfs", image)])
        device.key = trusted
        try expectRefusal(bundle, "trust.unknown-key", .trust)
    }

    @Test("A release for another product is refused")
    func otherProduct() throws {
        try expectRefusal(
            try device.bundle("r", images: [("rootfs", image)], vendor: "other"), "policy.wrong-product", .policy)
    }

    @Test("A release for other hardware revisions is refused")
    func otherHardware() throws {
        device.hardware = 4
        try expectRefusal(try device.bundle("r", images: [("rootfs", image)]), "policy.wrong-hardware", .policy)
    }

    @Test("A release older than what ran is refused")
    func older() throws {
        device.boot.records[0].acceptedSequence = 9
        try expectRefusal(try device.bundle("r", sequence: 8, images: [("rootfs", image)]), "policy.older", .policy)
    }

    @Test("A release below the floor is refused")
    func belowFloor() throws {
        device.boot.records[0].floor = 4
        try expectRefusal(
            try device.bundle("r", security: 3, images: [("rootfs", image)]), "policy.below-floor", .policy)
    }

    @Test("A release that needs a newer updater is refused")
    func newerUpdater() throws {
        let bundle = try device.bundle("r", images: [("rootfs", image)], extra: "minimum-updater = \"99.0\"")
        try expectRefusal(bundle, "policy.updater-too-old", .policy)
    }

    @Test("An expired release is refused, and a clock that is set back does not help it")
    func expired() throws {
        let bundle = try device.bundle("r", images: [("rootfs", image)], extra: "expires = 2023-01-01T00:00:00Z")
        try expectRefusal(bundle, "policy.expired", .policy)
        device.clock = 0
        try expectRefusal(bundle, "policy.expired", .policy)
    }

    @Test("A device that never knew the time is not locked out by an expiry")
    func expiredWithoutClock() throws {
        device.clock = 0
        try device.engine().install(
            try device.bundle("r", images: [("rootfs", image)], extra: "expires = 2023-01-01T00:00:00Z"))
        #expect(try device.boot.load().active == .b)
    }

    @Test("A slot that is too small is found before anything is fetched into it")
    func tooSmall() throws {
        let big = TestDevice.image(seed: 3, megabytes: 7)
        try expectRefusal(try device.bundle("r", images: [("rootfs", big)]), "slot.too-small", .storage)
    }

    @Test("A component that the device has no slot for is refused")
    func missingSlot() throws {
        try expectRefusal(try device.bundle("r", images: [("apps", image)]), "slot.missing", .storage)
    }

    @Test("Another manifest than the one asked for is refused")
    func otherManifest() throws {
        let bundle = try device.bundle("r", images: [("rootfs", image)])
        do {
            try device.engine().install(bundle, id: "x", wanted: SHA256.digest(of: [1]))
            Issue.record("the release was installed")
        } catch { #expect(error.code == "policy.other-manifest") }
        #expect(device.boot.records.count == 1)
    }

    @Test("A bundle with a flipped payload byte fails and never arms", arguments: [0.1, 0.5, 0.95])
    func damagedPayload(place: Double) throws {
        let bundle = try device.bundle("r", images: [("rootfs", image)])
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: bundle)))
        let header = try BundleHeader.decode(bytes.rawBytes)
        bytes[Int(header.payloadOffset) + Int(Double(header.payloadLength) * place)] ^= 0x10
        try Data(bytes).write(to: URL(fileURLWithPath: bundle))
        let engine = try device.engine()
        do {
            try engine.install(bundle)
            Issue.record("a damaged bundle was installed")
        } catch { #expect(error.code == "payload.damaged") }
        #expect(try device.boot.load().active == .a)
        #expect(try device.boot.load().slotB.state == .writing)
        #expect(engine.status.result?.failure?.code == "payload.damaged")
    }

    @Test("A truncated bundle and one with bytes behind its end are refused by name")
    func wrongLength() throws {
        let bundle = try device.bundle("r", images: [("rootfs", image)])
        let bytes = try Data(contentsOf: URL(fileURLWithPath: bundle))
        try bytes.dropLast(1).write(to: URL(fileURLWithPath: bundle))
        try expectRefusal(bundle, "bundle.truncated", .trust)
        try (bytes + Data([0])).write(to: URL(fileURLWithPath: bundle))
        try expectRefusal(bundle, "bundle.trailing", .trust)
        try Data("#!/bin/sh\nexit 0\n".utf8).write(to: URL(fileURLWithPath: bundle))
        try expectRefusal(bundle, "bundle.not-a-bundle", .trust)
    }
}
