import BootControl
import BundleFormat
import Foundation
import Packaging
import Platform
import Testing

@testable import UpdateEngine

/// Installs of images that come as deltas or in the solid form.
@Suite struct DeltaInstallTests {
    let device: TestDevice
    /// What the running slot set b holds.
    let old = TestDevice.image(seed: 5, megabytes: 5, extra: 5000)
    let new: [UInt8]
    private let first: String

    init() throws {
        device = try TestDevice()
        first = try device.bundle("r1", images: [("rootfs", old)])
        try device.engine().install(first, id: "first")
        try device.powerOn()
        try device.engine().recover()
        var next = old
        // Moved by an odd distance, with changes here and there.
        next.insert(contentsOf: [UInt8](repeating: 7, count: 777), at: 100_000)
        for place in stride(from: 300_000, to: next.count, by: 500_000) { next[place] ^= 0xff }
        new = next
    }

    private func second(_ forms: FormRequest, images: [(String, [UInt8])]? = nil) throws -> String {
        try device.bundle("r2", sequence: 2, images: images ?? [("rootfs", new)], forms: forms)
    }

    private func deltaBundle() throws -> String { try second(FormRequest(bases: [BaseSource(path: first)])) }

    /// As from a network: local places would give windows.
    private func overNetwork() { device.breakAfter = .max }

    private func payloadOffset(_ bundle: String) throws -> UInt64 {
        let bytes = try FileSystem.read(bundle, limit: 1 << 26)
        return try BundleHeader.decode(bytes.rawBytes).payloadOffset
    }

    private func flip(_ path: String, at place: UInt64) throws {
        let file = try Descriptor(open: path, [.read, .write])
        let changed = try file.readBytes(at: place, count: 1).map { $0 ^ 0xff }
        try file.write(changed.rawBytes, at: place)
    }

    private func holdsNew() throws -> Bool { try Array(device.contents("rootfs", .a).prefix(new.count)) == new }

    private func damageBase(at place: Int) throws {
        let file = try Descriptor(open: device.slotPath("rootfs", .b), [.read, .write])
        try file.write([UInt8](repeating: 0xee, count: 512).rawBytes, at: UInt64(place))
    }

    @Test("A delta from the running release is fetched instead of windows, and counted as one")
    func delta() throws {
        let bundle = try deltaBundle()
        overNetwork()
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try holdsNew())
        let attempt = try #require(engine.status.attempt)
        let counters = attempt.counters
        #expect(engine.status.plan?.items[0].form == .delta)
        #expect(counters.forms[.delta].fetched < 60_000 && counters.forms[.windows].fetched == 0)
        // The head's request, and the end of the bundle.
        #expect(counters.fetched <= counters.forms[.delta].fetched + BundleHead.firstRequest + 64)
        #expect(counters.forms[.delta].reused > 3_500_000)
        #expect(counters.forms[.delta].written == counters.written && counters.written == UInt64(new.count))
        #expect(counters.forms.fallbackWindows == 0)
        // What the journal keeps is what was counted.
        #expect(try device.engine().status.attempt?.counters == counters)
    }

    @Test("Windows are taken from a local file, and a delta where it is asked for", arguments: [false, true])
    func local(asked: Bool) throws {
        if asked { device.download.use = .always }
        let engine = try device.engine()
        try engine.install(try deltaBundle())
        #expect(try holdsNew())
        #expect(engine.status.plan?.items[0].form == (asked ? .delta : .windows))
    }

    @Test("A device that does not hold the base takes the solid form over a network, or windows if it must not")
    func solid() throws {
        let bundle = try second(FormRequest(solid: true))
        overNetwork()
        device.download.use = .never
        #expect(failure { try device.engine().install(bundle, id: "x-1") } == nil)
        #expect(try device.engine().status.attempt?.counters.forms[.solid] == FormCounts())
        try device.engine().cancelArmed()
        device.download.use = .auto
        // Or the target, which holds all of it by now, would be found.
        device.state.hints = [:]
        let engine = try device.engine()
        try engine.install(bundle, id: "x-2")
        #expect(try holdsNew())
        let windows = try BundleReport(inspecting: bundle).images[0].storedBytes
        let forms = try #require(engine.status.attempt).counters.forms
        #expect(engine.status.plan?.items[0].form == .solid)
        #expect(forms[.solid].fetched > 0 && forms[.solid].fetched <= windows)
    }

    @Test("A base that changed on the disk costs the windows that need it, which are counted")
    func damagedBase() throws {
        let bundle = try deltaBundle()
        try damageBase(at: 2_500_000)
        overNetwork()
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try holdsNew())
        let forms = try #require(engine.status.attempt).counters.forms
        #expect((1...2).contains(forms.fallbackWindows))
        #expect(forms.fallbackBytes > 0 && forms[.windows].fetched == forms.fallbackBytes)
        #expect(forms[.delta].written + forms[.windows].written == UInt64(new.count))
    }

    @Test("A base of which nothing is left gives the image all the same")
    func lostBase() throws {
        let bundle = try deltaBundle()
        let file = try Descriptor(open: device.slotPath("rootfs", .b), [.read, .write])
        try file.write([UInt8](repeating: 0, count: old.count).rawBytes, at: 0)
        overNetwork()
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try holdsNew())
        #expect(try #require(engine.status.attempt).counters.forms.fallbackWindows >= 4)
    }

    @Test("A delta whose base is another image is given up after a few windows, and the rest of it is not fetched")
    func givenUp() throws {
        // Every window of the delta has much of its own, so that its groups are many.
        var next = TestDevice.image(seed: 1234, megabytes: 5)
        for start in stride(from: 0, to: next.count - 8192, by: 8192) {
            next.replaceSubrange(start..<(start + 4096), with: old[start..<(start + 4096)])
        }
        let bundle = try second(
            FormRequest(bases: [BaseSource(path: first)]), images: [("rootfs", next + old)])
        device.rootfsCapacity = 12 << 20
        for set in SlotSet.allCases {
            let file = try Descriptor(open: device.slotPath("rootfs", set), [.read, .write])
            try file.truncate(to: 12 << 20)
        }
        let file = try Descriptor(open: device.slotPath("rootfs", .b), [.read, .write])
        let other = old.map { $0 ^ 0x3c }
        try file.write(other.rawBytes, at: 0)
        overNetwork()
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try Array(device.contents("rootfs", .a).prefix(next.count + old.count)) == next + old)
        let forms = try #require(engine.status.attempt).counters.forms
        let plan = try #require(engine.status.plan?.items.first)
        #expect(plan.form == .delta)
        #expect(forms.fallbackWindows >= 7 && forms.fallbackBytes <= forms[.windows].fetched)
        #expect(forms[.delta].fetched <= plan.fetchBytes + 60_000)
        let counters = try #require(engine.status.attempt).counters
        // A window of zeros lies where the file was made longer.
        #expect(counters.written + counters.unchanged == UInt64(next.count + old.count))
    }

    @Test("Without a delta that fits, never-full refuses before anything is written")
    func neverFull() throws {
        device.download.full = .never
        overNetwork()
        let before = try device.contents("rootfs", .a)
        let records = device.boot.records.count
        let other = try device.bundle("r0", sequence: 1, images: [("rootfs", new)])
        let bundle = try second(FormRequest(bases: [BaseSource(path: other)], solid: true))
        #expect(failure { try device.engine().install(bundle) }?.code == "policy.full-download")
        #expect(try device.contents("rootfs", .a) == before)
        #expect(device.boot.records.count == records)
    }

    @Test("never-full takes a delta from anywhere, and fails the attempt when a window of it does not hold")
    func neverFullDelta() throws {
        device.download.full = .never
        let bundle = try deltaBundle()
        let engine = try device.engine()
        try engine.install(bundle, id: "x-1")
        #expect(try holdsNew())
        try device.engine().cancelArmed()
        try damageBase(at: 2_500_000)
        // What x-1 left must not help.
        let file = try Descriptor(open: device.slotPath("rootfs", .a), [.read, .write])
        try file.write([UInt8](repeating: 0, count: new.count).rawBytes, at: 0)
        #expect(failure { try device.engine().install(bundle, id: "x-2") }?.code == "policy.full-download")
        #expect(try device.boot.load().active == .b)
        #expect(try device.engine().status.phase == .failed)
    }

    @Test("An attempt that would take more bytes than it may is refused before anything is written")
    func mostBytes() throws {
        let bundle = try deltaBundle()
        let plain = try device.bundle("r3", sequence: 3, images: [("rootfs", new)])
        overNetwork()
        device.download.mostBytes = 600_000
        let records = device.boot.records.count
        #expect(failure { try device.engine().install(plain) }?.code == "policy.most-bytes")
        #expect(device.boot.records.count == records)
        try device.engine().install(bundle)
        #expect(try holdsNew())
    }

    @Test("A window in full counts against the bytes that an attempt may take")
    func mostBytesForFallback() throws {
        let bundle = try deltaBundle()
        try damageBase(at: 2_500_000)
        overNetwork()
        device.download.mostBytes = 500_000
        #expect(failure { try device.engine().install(bundle) }?.code == "policy.most-bytes")
        #expect(try device.boot.load().active == .b)
    }

    @Test("A connection that breaks anywhere costs at most the group in work", arguments: [1, 9, 17, 30, 45])
    func resumed(percent: Int) throws {
        let noise = TestDevice.image(seed: 99, megabytes: 2)
        let bundle = try second(
            FormRequest(bases: [BaseSource(path: first)]), images: [("rootfs", Array(old.prefix(3 << 20)) + noise)])
        let size = try Int(FileSystem.size(of: bundle))
        device.breakAfter = Int(BundleHead.firstRequest) + size * percent / 100
        let thrown = failure { try device.engine().install(bundle, id: "x-1") }
        overNetwork()
        let engine = try device.engine()
        if thrown != nil {
            #expect(thrown?.category == .network)
            try engine.install(bundle, id: "x-1")
        }
        #expect(try Array(device.contents("rootfs", .a).prefix(5 << 20)) == Array(old.prefix(3 << 20)) + noise)
        let delta = try #require(BundleReport(inspecting: bundle).manifest.components.first?.deltas.first)
        let counters = try #require(engine.status.attempt).counters
        // Two heads, two tables, and a batch of 1 MiB again.
        #expect(
            counters.fetched <= delta.payload + UInt64(2 * delta.table.length) + 2 * BundleHead.firstRequest + 2 << 20)
    }

    @Test("A group that arrives damaged is asked for again, and ends the attempt when it stays so")
    func damagedGroup() throws {
        let bundle = try deltaBundle()
        let delta = try #require(BundleReport(inspecting: bundle).manifest.components.first?.deltas.first)
        // The groups lie before the table.
        let place = try payloadOffset(bundle) + delta.table.offset - 5
        try flip(bundle, at: place)
        overNetwork()
        #expect(failure { try device.engine().install(bundle, id: "x-1") }?.code == "payload.damaged")
        try flip(bundle, at: place)
        try device.engine().install(bundle, id: "x-2")
        #expect(try holdsNew())
    }
}

extension Engine {
    /// Gives an armed release up, so that the next test step can install again.
    fileprivate func cancelArmed() throws(Failure) { try rollBack() }
}
