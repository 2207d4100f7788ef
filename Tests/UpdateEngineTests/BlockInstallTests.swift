import BootControl
import BundleFormat
import Foundation
import Packaging
import Payload
import Platform
import Testing

@testable import UpdateEngine

/// Installs of releases that no delta of the bundle serves, from what the device holds in either slot.
@Suite struct BlockInstallTests {
    let device: TestDevice
    /// What the running slot set b holds.
    let old = TestDevice.image(seed: 5, megabytes: 5, extra: 5000)
    let new: [UInt8]

    init() throws {
        device = try TestDevice()
        let first = try device.bundle("r1", images: [("rootfs", old)])
        try device.engine().install(first, id: "first")
        try device.powerOn()
        try device.engine().recover()
        // As from a network: local places would give windows.
        device.breakAfter = .max
        new = Self.changed(old)
    }

    /// Three blocks more in front, which moves all others, and single bytes changed here and there.
    private static func changed(_ image: [UInt8]) -> [UInt8] {
        var next = image
        next.insert(contentsOf: [UInt8](repeating: 7, count: 3 * 4096), at: 8 * 4096)
        for place in stride(from: 300_000, to: next.count, by: 500_000) { next[place] ^= 0xff }
        return next
    }

    private func release(
        _ forms: FormRequest, _ image: [UInt8]? = nil, id: String = "r2", sequence: UInt64 = 2
    ) throws -> String {
        try device.bundle(id, sequence: sequence, images: [("rootfs", image ?? new)], forms: forms)
    }

    private func target(holds image: [UInt8]) throws -> Bool {
        try Array(device.contents("rootfs", .a).prefix(image.count)) == image
    }

    private func write(_ bytes: [UInt8], to set: SlotSet, at place: UInt64) throws {
        try Descriptor(open: device.slotPath("rootfs", set), [.read, .write]).write(bytes.rawBytes, at: place)
    }

    private func sizes(_ bundle: String) throws -> (windows: UInt64, index: UInt64) {
        let image = try BundleReport(inspecting: bundle).images[0]
        let form = try #require(image.component.blocks)
        return (windows: image.storedBytes, index: UInt64(form.index.length))
    }

    @Test("A device with a base that no delta names fetches the blocks that it does not hold, and no others")
    func unknownBase() throws {
        let bundle = try release(FormRequest(solid: true, blocks: true))
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try target(holds: new))
        let counters = try #require(engine.status.attempt).counters
        let sizes = try sizes(bundle)
        #expect(engine.status.plan?.items[0].form == .blocks)
        // 11 changed blocks, and three new ones that are all alike: their pages too.
        #expect(counters.forms[.blocks].fetched < sizes.index + 6 * 4096 + 15 * 4096)
        #expect(engine.status.plan?.items[0].fetchBytes == counters.forms[.blocks].fetched - sizes.index)
        #expect(counters.forms[.solid].fetched == 0 && counters.forms[.windows].fetched == 0)
        #expect(counters.forms[.blocks].reused > UInt64(new.count) - 1 << 20 - 15 * 4096)
        #expect(counters.written == UInt64(new.count) && counters.forms.fallbackWindows == 0)
        // What is told is what was kept.
        #expect(try device.engine().status.attempt?.counters == counters)
    }

    @Test("A delta that fits goes before blocks, whose index is then not fetched")
    func deltaFirst() throws {
        let bundle = try release(
            FormRequest(bases: [BaseSource(path: "\(device.directory)/r1.kedge")], blocks: true))
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(engine.status.plan?.items[0].form == .delta)
        #expect(try #require(engine.status.attempt).counters.forms[.blocks] == FormCounts())
    }

    @Test("What an interrupted release left in the target serves another one, also where it is not in its place")
    func interruptedTarget() throws {
        let other = TestDevice.image(seed: 99, megabytes: 5)
        let interrupted = try release(FormRequest(), other)
        device.breakAfter = 2 << 20
        #expect(throws: Failure.self) { try device.engine().install(interrupted, id: "broken") }
        device.breakAfter = .max
        // The same content, moved down: what lies above a window is not overwritten when that is made.
        let third = Array(other.dropFirst(16 * 4096))
        let bundle = try release(FormRequest(blocks: true), third, id: "r3", sequence: 3)
        let engine = try device.engine()
        try engine.install(bundle, id: "third")
        #expect(try target(holds: third))
        let forms = try #require(engine.status.attempt).counters.forms
        #expect(engine.status.plan?.items[0].form == .blocks)
        // Of the windows that were flushed, all but the one of zeros; the bytes of half of the blocks cannot shrink.
        #expect(forms[.blocks].reused > 2 << 20)
        #expect(forms[.blocks].fetched + forms[.windows].fetched < (try sizes(bundle)).windows - 1 << 20)
        #expect(forms.fallbackWindows == 0)
    }

    @Test("Without a form for it, windows that lie anywhere in either slot are not fetched")
    func wholeWindows() throws {
        // Windows of the running release in another order, and two new ones.
        let mebi = 1 << 20
        let fresh = TestDevice.image(seed: 77, megabytes: 1)
        let mixed =
            Array(old[(3 * mebi)..<(4 * mebi)]) + fresh + Array(old[0..<mebi]) + Array(old[(2 * mebi)..<(4 * mebi)])
        let bundle = try release(FormRequest(), mixed)
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try target(holds: mixed))
        let counters = try #require(engine.status.attempt).counters
        #expect(engine.status.plan?.items[0].form == .windows)
        #expect(counters.forms[.windows].reused == UInt64(4 * mebi))
        #expect(counters.forms[.windows].fetched < 700_000)
        #expect(counters.written == UInt64(mixed.count))
    }

    @Test("A record that tells of other bytes than the slot has costs no more than a full download and its own index")
    func staleRecord() throws {
        let bundle = try release(FormRequest(blocks: true))
        try write(old.map { $0 ^ 0x5a }, to: .b, at: 0)
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try target(holds: new))
        let forms = try #require(engine.status.attempt).counters.forms
        let sizes = try sizes(bundle)
        // Nothing but zeros came from the device, whether single blocks or the whole window cost less.
        #expect(forms[.blocks].reused <= 1 << 20)
        #expect(forms[.blocks].fetched + forms[.windows].fetched <= sizes.windows + sizes.index)
    }

    @Test("A part of the slot that changed is fetched in place of what its record promised")
    func partlyStaleRecord() throws {
        let bundle = try release(FormRequest(blocks: true))
        try write([UInt8](repeating: 0xee, count: 20_000), to: .b, at: 2_500_000)
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try target(holds: new))
        let forms = try #require(engine.status.attempt).counters.forms
        #expect(forms.fallbackWindows == 0)
        #expect(forms[.blocks].fetched > engine.status.plan?.items[0].fetchBytes ?? .max)
    }

    /// Ways in which the file can be damaged.
    enum Damage: CaseIterable {
        case truncated, header, otherWindows, zeros, noise, shifted, flipped, endless, empty

        func apply(_ file: [UInt8]) -> [UInt8] {
            var file = file
            switch self {
            case .truncated: file.removeLast(file.count / 2 + 3)
            case .header: file[2] ^= 1
            case .otherWindows: file[10] = 1
            case .zeros: file.replaceSubrange(500..<file.count, with: [UInt8](repeating: 0, count: file.count - 500))
            case .noise: file = (0..<file.count).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
            case .shifted: file.insert(contentsOf: file[16..<(16 + 2088)], at: 16)
            case .flipped: for place in stride(from: 700, to: file.count, by: 4000) { file[place] ^= 4 }
            case .endless: file += [UInt8](repeating: 0xff, count: 1 << 20)
            case .empty: file = []
            }
            return file
        }
    }

    @Test("A damaged record leads to the exact image, whatever is wrong with it", arguments: Damage.allCases)
    func damagedRecord(damage: Damage) throws {
        let bundle = try release(FormRequest(blocks: true))
        for set in SlotSet.allCases {
            let name = "rootfs.\(set.letter)"
            if let file = device.state.hints[name] { device.state.hints[name] = damage.apply(file) }
        }
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try target(holds: new))
        let forms = try #require(engine.status.attempt).counters.forms
        let sizes = try sizes(bundle)
        #expect(forms[.blocks].fetched + forms[.windows].fetched <= sizes.windows + sizes.index)
    }

    @Test("A record whose hints are right and whose digests lie gives no wrong window")
    func lyingDigest() throws {
        let bundle = try release(FormRequest())
        let table = try #require(try BundleReport(inspecting: bundle).images.first)
        let name = "rootfs.b"
        let wanted = SHA256.digest(of: Array(new[0..<(1 << 20)]))
        let lie = WindowHints(digest: wanted, blocks: []).encode(window: 3, windowSize: table.component.windowSize)
        let place = Int(WindowHints.recordOffset(of: 3, windowSize: 1 << 20))
        device.state.hints[name]?.replaceSubrange(place..<(place + lie.count), with: lie)
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try target(holds: new))
        #expect(try #require(engine.status.attempt).counters.forms.fallbackWindows == 1)
    }

    @Test("A running slot of which there is no record is read through once, where blocks could help")
    func scan() throws {
        device.state.hints = [:]
        let bundle = try release(FormRequest(blocks: true))
        let engine = try device.engine()
        try engine.install(bundle)
        #expect(try target(holds: new))
        #expect(engine.status.plan?.items[0].form == .blocks)
        #expect(try #require(engine.status.attempt).counters.forms[.blocks].reused > 3 << 20)
        #expect(device.state.hints["rootfs.b"] != nil && device.state.hints["rootfs.a"] != nil)
    }

    @Test("The record of a slot can be made by hand, and is the one that writing it makes")
    func index() throws {
        let written = device.state.hints["rootfs.b"]
        device.state.hints = [:]
        let name = try #require(Identifier("rootfs"))
        #expect(try device.engine().index(name, .b) == 6)
        #expect(device.state.hints["rootfs.b"] == written)
        // Of the other set nothing is known, so all of its slot is read.
        #expect(try device.engine().index(name, .a) == 6)
    }

    @Test("A data directory that cannot take the record keeps no attempt from its end")
    func unwritableRecord() throws {
        device.state.failHints = true
        device.state.hints = [:]
        try device.engine().install(try release(FormRequest(blocks: true)))
        #expect(try target(holds: new))
    }

    @Test("A block that arrives damaged is asked for again, and not written")
    func damagedBlock() throws {
        let bundle = try release(FormRequest(blocks: true))
        let image = try BundleReport(inspecting: bundle).images[0]
        let form = try #require(image.component.blocks)
        let bytes = try FileSystem.read(bundle, limit: 1 << 26)
        let payload = Int(try BundleHeader.decode(bytes.rawBytes).payloadOffset)
        let index = payload + Int(form.index.offset)..<payload + Int(form.index.offset) + form.index.length
        var damaged = bytes
        for place in payload..<bytes.count - 64 where !index.contains(place) { damaged[place] ^= 0x10 }
        try FileSystem.replace(bundle, with: damaged)
        let engine = try device.engine()
        let failure = #expect(throws: Failure.self) { try engine.install(bundle, id: "x-1") }
        #expect(failure?.code == "payload.damaged" || failure?.code == "payload.stored-digest")
        #expect(device.boot.records.last?.active == .b)
        try FileSystem.replace(bundle, with: bytes)
        try device.engine().install(bundle, id: "x-2")
        #expect(try target(holds: new))
    }

    @Test("A budget holds when the record promised more than the slot has")
    func budget() throws {
        let bundle = try release(FormRequest(blocks: true))
        try write(old.map { $0 ^ 0x5a }, to: .b, at: 0)
        device.download.mostBytes = 700_000
        let failure = #expect(throws: Failure.self) { try device.engine().install(bundle, id: "x-1") }
        #expect(failure?.code == "policy.most-bytes")
        #expect(try #require(device.engine().status.attempt ?? nil).counters.fetched <= 700_000)
    }

    @Test("Blocks are no way around a policy that forbids full downloads")
    func neverFull() throws {
        device.download.full = .never
        let failure = #expect(throws: Failure.self) {
            try device.engine().install(try release(FormRequest(blocks: true)))
        }
        #expect(failure?.code == "policy.full-download")
    }

    @Test("From a local file windows are taken, and blocks where other forms are asked for", arguments: [false, true])
    func local(asked: Bool) throws {
        device.breakAfter = nil
        if asked { device.download.use = .always }
        let engine = try device.engine()
        try engine.install(try release(FormRequest(blocks: true)))
        #expect(try target(holds: new))
        #expect(engine.status.plan?.items[0].form == (asked ? .blocks : .windows))
    }

    @Test("An attempt that breaks off among blocks goes on where it was", arguments: [60_000, 70_000, 90_000, 200_000])
    func resumed(after bytes: Int) throws {
        // Enough changes that every window asks for something.
        var next = new
        for place in stride(from: 4096, to: next.count, by: 40_000) { next[place] ^= 0x55 }
        let bundle = try release(FormRequest(blocks: true), next)
        let sizes = try sizes(bundle)
        device.breakAfter = Int(BundleHead.firstRequest) + Int(sizes.index) + bytes
        let engine = try device.engine()
        #expect(throws: Failure.self) { try engine.install(bundle, id: "x") }
        device.breakAfter = .max
        try device.engine().install(bundle, id: "x")
        #expect(try target(holds: next))
        let counters = try #require(device.engine().status.attempt).counters
        #expect(counters.written + counters.reused + counters.unchanged >= UInt64(next.count))
        #expect(counters.forms[.windows].fetched < 1 << 20)
    }
}
