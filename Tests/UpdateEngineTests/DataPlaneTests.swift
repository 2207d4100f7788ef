import BootControl
import BundleFormat
import Foundation
import Platform
import Slots
import Testing

@testable import UpdateEngine

/// The order of writes, flushes, hints and reads while several threads work.
@Suite struct DataPlaneTests {
    let device: TestDevice
    let image = TestDevice.image(seed: 11, megabytes: 18, extra: 5000)
    let bundle: String

    init() throws {
        device = try TestDevice()
        device.rootfsCapacity = 24 << 20
        for set in SlotSet.allCases {
            let path = device.slotPath("rootfs", set)
            try Descriptor(open: path, [.write]).truncate(to: UInt64(device.rootfsCapacity))
        }
        bundle = try device.bundle("r1", images: [("rootfs", image)])
    }

    /// The spare slot, watched by the next engine of the device.
    private func watch(_ prepare: @escaping (WatchedSlot) -> Void = { _ in }) -> () -> WatchedSlot? {
        nonisolated(unsafe) var watched: WatchedSlot?
        device.wrap = { slot in
            let wrapped = WatchedSlot(slot)
            prepare(wrapped)
            watched = wrapped
            return wrapped
        }
        return { watched }
    }

    @Test("At most five MiB are ever written and not flushed")
    func bounds() throws {
        let watched = watch()
        try device.engine().install(bundle)
        #expect(Array(try device.contents("rootfs", .b).prefix(image.count)) == image)
        let events = try #require(watched()).events
        var unflushed = 0
        var inFlush = 0
        var most = 0
        for event in events {
            switch event {
            case .write(_, let count): unflushed += count
            case .flushBegins: inFlush = unflushed
            case .flushed: unflushed -= inFlush
            default: break
            }
            most = max(most, unflushed)
        }
        #expect(most <= SlotWriter.unflushedBytes)
        #expect(most >= SlotWriter.flushBytes)
    }

    @Test("Every byte is read from the medium once, after the last write to the slot and the last flush")
    func readsAll() throws {
        let watched = watch()
        try device.engine().install(bundle)
        let events = try #require(watched()).events
        let sealed = try #require(events.firstIndex(of: .sealed))
        var written: [UInt64: Int] = [:]
        for case .write(let offset, let count) in events[..<sealed] { written[offset] = count }
        var read: [UInt64: Int] = [:]
        for event in events[(sealed + 1)...] {
            guard case .readSealed(let offset, let count) = event else {
                Issue.record("\(event) came after the slot was sealed")
                continue
            }
            read[offset - offset % 1_048_576, default: 0] += count
        }
        #expect(read == written)
        #expect(written.values.reduce(0, +) == image.count)
    }

    @Test("The journal claims only windows whose write a flush covered")
    func hints() throws {
        nonisolated(unsafe) var claims = 0
        let state = device.state
        let watched = watch { slot in
            slot.atFlush = { (event) throws(SlotError) in
                // The hint of the flush before this one.
                guard event == .flushBegins, let progress = (try? Journal(state))?.state.attempt?.progress.first else {
                    return
                }
                var covered: Set<UInt64> = []
                var written: Set<UInt64> = []
                var before: Set<UInt64> = []
                for event in slot.events {
                    switch event {
                    case .write(let offset, _): written.insert(offset)
                    case .flushBegins: before = written
                    case .flushed: covered = before
                    default: break
                    }
                }
                for window in 0..<progress.count where progress.contains(window) {
                    claims += 1
                    if !covered.contains(UInt64(window) << 20) { Issue.record("window \(window) was only written") }
                }
            }
        }
        try device.engine().install(bundle)
        #expect(watched() != nil)
        #expect(claims > 10)
    }

    @Test("A flush that fails ends the attempt, and what it should have covered is not claimed")
    func failingFlush() throws {
        nonisolated(unsafe) var flushes = 0
        _ = watch { slot in
            slot.atFlush = { (event) throws(SlotError) in
                if event == .flushBegins { flushes += 1 }
                if flushes == 3 {
                    throw SlotError.system(
                        slot: "rootfs b", SystemError(number: 5, operation: "fdatasync", subject: "test"))
                }
            }
        }
        let engine = try device.engine()
        #expect(failure { try engine.install(bundle, id: "f-1") }?.code == "slot.io")
        #expect(engine.status.phase == .failed)
        #expect(flushes == 3)
        let progress = try #require(try Journal(device.state).state.attempt?.progress.first)
        let claimed = (0..<progress.count).filter { progress.contains($0) }.count
        #expect(claimed >= 6 && claimed <= 10)
        #expect(try device.boot.load().active == .a)
    }

    @Test("A window that the medium loses after its flush is found before the slot is armed")
    func lostWindow() throws {
        let path = device.slotPath("rootfs", .b)
        _ = watch { slot in
            nonisolated(unsafe) var lost = false
            slot.atFlush = { (event) throws(SlotError) in
                if event != .flushed || lost { return }
                lost = true
                do throws(SystemError) {
                    let file = try Descriptor(open: path, [.write])
                    try file.write([UInt8](repeating: 0x77, count: 4096).rawBytes, at: 8192)
                    try file.flush()
                } catch { throw SlotError.system(slot: "rootfs b", error) }
            }
        }
        let engine = try device.engine()
        #expect(failure { try engine.install(bundle, id: "l-1") }?.code == "slot.read-back")
        #expect(try device.boot.load().active == .a)
        #expect(try device.boot.load().slotB.state == .writing)
    }

    @Test("After a broken download at most the pipeline's windows come again, and what was held is read back too")
    func resume() throws {
        let size = try Data(contentsOf: URL(fileURLWithPath: bundle)).count
        device.breakAfter = size / 2
        #expect(failure { try device.engine().install(bundle) }?.category == .network)
        device.breakAfter = nil
        let watched = watch()
        let engine = try device.engine()
        try engine.install(bundle)
        var read: Set<UInt64> = []
        for event in try #require(watched()).events {
            if case .readSealed(let offset, _) = event { read.insert(offset >> 20) }
        }
        #expect(read.count == 19)
        let attempt = try #require(engine.status.attempt)
        #expect(attempt.counters.reused > 4 << 20)
        #expect(Int(attempt.counters.fetched) < size + Int(BundleHead.firstRequest) + (4 << 20))
        #expect(attempt.cost.flushes > 3)
        #expect(attempt.cost.peakResidentKiB > 1000)
    }

    @Test("A slot that holds the release already is flushed once, because nobody knows who wrote it, and not written")
    func unchanged() throws {
        try device.engine().install(bundle, id: "u-1")
        try device.engine().rollBack()
        let again = try device.bundle("r2", sequence: 2, images: [("rootfs", image)])
        let watched = watch()
        let engine = try device.engine()
        try engine.install(again, id: "u-2")
        let events = try #require(watched()).events
        #expect(events.filter { $0 == .flushBegins }.count == 1)
        #expect(!events.contains { if case .write = $0 { true } else { false } })
        #expect(engine.status.attempt?.counters.unchanged == UInt64(image.count))
        #expect(engine.status.attempt?.cost.flushes == 1)
    }
}
