import BundleFormat
import Platform
import Slots
import Testing

@Suite("A flash slot")
struct FlashSlotTests {
    private let directory: TemporaryDirectory
    private let path: String
    private static let erase = 65536
    /// A flash of 16 erase blocks whose bank is the blocks 4 to 11.
    private static let bank = 4 * erase..<12 * erase

    init() throws {
        directory = try TemporaryDirectory()
        path = directory("flash.bin")
    }

    /// A flash with this bank and noise around it.
    private func makeFlash(bank: [UInt8]) throws -> [UInt8] {
        let bytes = Bytes.noise(4 * Self.erase, seed: 7) + bank + Bytes.noise(4 * Self.erase, seed: 8)
        try Bytes.write(bytes, to: path)
        return bytes
    }

    private func slot(_ path: String? = nil) throws -> FlashSlot {
        try FlashSlot(
            name: "bios b", path: path ?? self.path, offset: UInt64(Self.bank.lowerBound),
            size: UInt64(Self.bank.count), eraseSize: UInt64(Self.erase))
    }

    private func bios(_ bytes: [UInt8], windowSize: Int = 1 << 20) throws -> Image {
        try Image(bytes, id: "bios", kind: .bios, windowSize: windowSize)
    }

    @Test(
        "takes an image of the bank's size and leaves the other bank alone", arguments: [4096, 65536, 196_608, 1 << 20])
    func wholeBank(_ windowSize: Int) throws {
        let before = try makeFlash(bank: Bytes.noise(Self.bank.count, seed: 2))
        let image = try bios(Bytes.noise(Self.bank.count, seed: 3), windowSize: windowSize)
        let slot = try slot()
        try image.install(in: slot)
        #expect(try image.readBack(from: slot) == image.bytes)
        let after = try Bytes.read(path)
        #expect(after.count == before.count)
        #expect(Array(after[Self.bank]) == image.bytes)
        #expect(after[..<Self.bank.lowerBound] == before[..<Self.bank.lowerBound])
        #expect(after[Self.bank.upperBound...] == before[Self.bank.upperBound...])
    }

    @Test("erases only the blocks that differ", arguments: [65536, 131_072, 1 << 20])
    func onlyDifferences(_ windowSize: Int) throws {
        let old = Bytes.noise(Self.bank.count, seed: 2)
        _ = try makeFlash(bank: old)
        var new = old
        new[2 * Self.erase + 5] ^= 1
        new[7 * Self.erase] ^= 0x80
        let slot = try slot()
        try bios(new, windowSize: windowSize).install(in: slot)
        #expect(slot.eraseBlocksWritten == 2)
        // Erased and programmed, each block.
        #expect(slot.bytesWritten == UInt64(4 * Self.erase))
        #expect(Array(try Bytes.read(path)[Self.bank]) == new)
    }

    @Test("writes nothing when the bank already holds the image")
    func nothingToDo() throws {
        let old = Bytes.noise(Self.bank.count, seed: 2)
        let before = try makeFlash(bank: old)
        let slot = try slot()
        try bios(old).install(in: slot)
        #expect(slot.eraseBlocksWritten == 0)
        #expect(slot.bytesWritten == 0)
        #expect(try Bytes.read(path) == before)
    }

    @Test("leaves the bank erased behind a shorter image", arguments: [1, 65535, 65536, 65537, 300_000])
    func erasedTail(_ size: Int) throws {
        _ = try makeFlash(bank: Bytes.noise(Self.bank.count, seed: 2))
        let image = try bios(Bytes.noise(size, seed: 3))
        let slot = try slot()
        try image.install(in: slot)
        let bank = Array(try Bytes.read(path)[Self.bank])
        #expect(Array(bank[0..<size]) == image.bytes)
        #expect(bank[size...].allSatisfy { $0 == 0xff })
        // Every block once: the one in which the image ends gets its tail with the image's last bytes.
        #expect(slot.eraseBlocksWritten == 8)
    }

    @Test("does not erase a blank block before it programs it")
    func blank() throws {
        _ = try makeFlash(bank: [UInt8](repeating: 0xff, count: Self.bank.count))
        let slot = try slot()
        try bios(Bytes.noise(2 * Self.erase)).install(in: slot)
        #expect(slot.eraseBlocksWritten == 2)
        #expect(slot.bytesWritten == UInt64(2 * Self.erase))
    }

    @Test("makes a block whole that a power cut left erased")
    func afterCut() throws {
        var old = Bytes.noise(Self.bank.count, seed: 2)
        for index in 3 * Self.erase..<4 * Self.erase { old[index] = 0xff }
        _ = try makeFlash(bank: old)
        let image = try bios(Bytes.noise(Self.bank.count, seed: 2))
        let slot = try slot()
        try image.install(in: slot)
        #expect(slot.eraseBlocksWritten == 1)
        #expect(Array(try Bytes.read(path)[Self.bank]) == image.bytes)
    }

    @Test(
        "writes a block of a flash block device once, because its driver erases",
        .enabled(if: LoopDevice.works, LoopDevice.need))
    func blockDevice() throws {
        let old = Bytes.noise(Self.bank.count, seed: 2)
        _ = try makeFlash(bank: old)
        var new = old
        new[Self.erase] ^= 1
        let loop = try LoopDevice(path)
        let slot = try slot(loop.path)
        try bios(new).install(in: slot)
        #expect(slot.eraseBlocksWritten == 1)
        #expect(slot.bytesWritten == UInt64(Self.erase))
        slot.close()
        try loop.detach()
        #expect(Array(try Bytes.read(path)[Self.bank]) == new)
    }

    @Test("opened for reading writes nothing")
    func readingOnly() throws {
        let old = Bytes.noise(Self.bank.count, seed: 2)
        let before = try makeFlash(bank: old)
        let slot = try slot()
        let image = try bios(old)
        try slot.openForReading(image.component)
        #expect(try image.readBack(from: slot) == old)
        #expect(throws: SlotError.self) { try bios(Bytes.noise(Self.bank.count, seed: 9)).write(0, to: slot) }
        #expect(try Bytes.read(path) == before)
    }

    @Test("is too small for an image of one byte more than the bank")
    func tooSmall() throws {
        _ = try makeFlash(bank: Bytes.noise(Self.bank.count, seed: 2))
        let slot = try slot()
        let component = try bios([UInt8](repeating: 1, count: Self.bank.count + 1)).component
        let error = #expect(throws: SlotError.self) { try slot.check(component) }
        #expect(error?.code == "slot.too-small")
    }

    @Test("is unusable where its bank is not in the flash, or a character device is no flash")
    func unusable() throws {
        try Bytes.write([UInt8](repeating: 0xff, count: 6 * Self.erase), to: path)
        let component = try bios([1]).component
        #expect(throws: SlotError.self) { try slot().check(component) }
        let error = #expect(throws: SlotError.self) { try slot("/dev/zero").check(component) }
        #expect(error?.context.contains("/dev/zero is a character device, and no flash") == true)
    }

    @Test(
        "is not made of numbers that do not go together",
        arguments: [
            (1, 65536, 65536), (65536, 65537, 65536), (65536, 0, 65536), (0, 65536, 0), (0, 65536, 1000),
            (0, 4 << 20, 2 << 20), (0, 65536, 256),
        ] as [(UInt64, UInt64, UInt64)])
    func badNumbers(_ offset: UInt64, _ size: UInt64, _ erase: UInt64) {
        #expect(throws: SlotError.self) {
            try FlashSlot(name: "bios b", path: "/x", offset: offset, size: size, eraseSize: erase)
        }
    }
}
