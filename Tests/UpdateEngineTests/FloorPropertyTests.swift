import BootControl
import BundleFormat
import Floors
import Foundation
import Platform
import Testing

@testable import UpdateEngine

/// Invariant S7 through the shipped engine: over any sequence of installs, confirmations, rollbacks and crashes no
/// floor, of the record or of a store, ever stands above a slot set that can be selected, and none ever falls.
@Suite struct FloorPropertyTests {
    private struct Bundle {
        let path: String
        let sequence: UInt64
        let security: UInt32
    }

    private let device: TestDevice
    private let bundles: [Bundle]

    init() throws {
        let device = try TestDevice()
        self.device = device
        device.rootfsCapacity = 1 << 20
        var bundles: [Bundle] = []
        let image = TestDevice.image(seed: 3, megabytes: 1)
        for (number, security) in [1, 3, 2, 4, 4, 3, 6, 5, 7, 7, 8, 9].enumerated() {
            let sequence = UInt64(number / 2 + 1)
            bundles.append(
                Bundle(
                    path: try device.bundle(
                        "r\(number)", sequence: sequence, security: UInt32(security), images: [("rootfs", image)]),
                    sequence: sequence, security: UInt32(security)))
        }
        self.bundles = bundles
    }

    /// What a step may have failed with, told by its own errors: crashes are failing writes here.
    private func tolerate(_ body: () throws -> Void) { try? body() }

    private func check(_ floors: [UInt32], _ place: Comment) throws -> [UInt32] {
        let record = try device.boot.load()
        let present = [record.floor, device.floor?.value ?? 0]
        for set in SlotSet.allCases where record[set].state == .good || record[set].state == .trial {
            for floor in present { #expect(record[set].securityVersion >= floor, place) }
        }
        for (former, now) in zip(floors, present) { #expect(now >= former, place) }
        return present
    }

    @Test("No floor stands above a selectable slot set, and none falls", arguments: UInt64(1)...10)
    func invariant(seed: UInt64) throws {
        var numbers = SeededNumbers(seed)
        let store = MemoryFloor(seed % 2 == 0 ? .tpm : .file)
        device.floor = store
        var floors: [UInt32] = [0, 0]
        var confirmed = 0
        for number in 0..<60 {
            let place = Comment(rawValue: "seed \(seed), step \(number)")
            let before = device.boot.records.count
            // A crash: the next write of the record fails, before or after it reached the medium.
            let crashes = Int.random(in: 0..<5, using: &numbers) == 0
            device.boot.crashNext(crashes, lands: Bool.random(using: &numbers))
            store.fails = Int.random(in: 0..<6, using: &numbers) == 0
            switch Int.random(in: 0..<10, using: &numbers) {
            case 0...3:
                // The newest that the device may take, mostly: random ones soon are all too old.
                let record = try device.boot.load()
                let good = bundles.filter { $0.sequence >= record.acceptedSequence }
                let bundle = (Bool.random(using: &numbers) ? good : bundles).randomElement(using: &numbers)
                if let bundle { tolerate { try device.engine().install(bundle.path) } }
            case 4...5: tolerate { try device.engine().rollBack() }
            case 6: tolerate { try device.engine().cancel() }
            default:
                device.boot.crashNext(false, lands: false)
                try device.powerOn()
                device.boot.crashNext(crashes, lands: Bool.random(using: &numbers))
                device.healthy = Int.random(in: 0..<6, using: &numbers) == 0 ? "broken" : nil
                tolerate { try device.engine().recover() }
            }
            device.boot.crashNext(false, lands: false)
            // Every record on the way, and not only the last.
            for record in device.boot.records[before...] {
                for set in SlotSet.allCases where record[set].state == .good || record[set].state == .trial {
                    #expect(record[set].securityVersion >= record.floor, place)
                    #expect(record[set].securityVersion >= floors[1], place)
                }
                if record.phase == .confirmed { confirmed += 1 }
            }
            floors = try check(floors, place)
        }
        // After a quiet start the store has what the record has.
        store.fails = false
        try device.powerOn()
        tolerate { try device.engine().recover() }
        let record = try device.boot.load()
        if record.phase != .trial { #expect(store.value == record.floor) }
        #expect(confirmed > 0)
    }
}
