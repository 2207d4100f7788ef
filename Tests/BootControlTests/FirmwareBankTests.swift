import BootControl
import Foundation
import Platform
import Testing

/// Two real firmware banks in the image of one SPI flash. The harness plays the strap (which bank the processor
/// reads) and the hardware watchdog (a bank that does not start is left); QEMU has neither. flashrom's emulated chip
/// writes the banks.
@Suite("Firmware banks, with the harness as strap and watchdog")
struct FirmwareBankTests {
    static let bank = 8 << 20
    static let tools = Tool.exists("flashrom", "qemu-system-x86_64") && VirtualMachine.has(.ubootX86)

    @Test("The bank of the record's slot set is selected before arming, and again after a fallback")
    func commands() throws {
        let directory = try TemporaryDirectory()
        try SimulatedBootHome.create(path: directory("record"), record: BootRecord())
        let strap = directory("strap")
        let home = BankSwitchHome(
            SimulatedBootHome(path: directory("record")), a: ["sh", "-c", "echo a > \(strap)"],
            b: ["sh", "-c", "echo b > \(strap)"])
        var record = try home.load()
        record.phase = .writing
        record = try home.store(record)
        #expect(try FileSystem.kind(of: strap) == nil)
        record.phase = .trial
        record.active = .b
        record.triesLeft = 1
        _ = try home.store(record)
        #expect(try Bytes.read(strap) == Array("b\n".utf8))
        for _ in 0..<2 { _ = try BootLoaderModel.start(from: SimulatedBootHome(path: directory("record"))) }
        #expect(try home.load().phase == .fellBack)
        try home.settle()
        #expect(try Bytes.read(strap) == Array("a\n".utf8))
    }

    @Test("A bank that cannot be selected arms nothing")
    func commandFails() throws {
        let directory = try TemporaryDirectory()
        try SimulatedBootHome.create(path: directory("record"), record: BootRecord())
        let home = BankSwitchHome(SimulatedBootHome(path: directory("record")), a: ["true"], b: ["false"])
        let before = try home.load()
        var record = before
        record.phase = .trial
        record.active = .b
        record.triesLeft = 1
        #expect(throws: BootError.bank(set: "b", why: "exit status 1")) { try home.store(record) }
        #expect(try home.load() == before)
    }

    @Test(
        "A bank written by flashrom's chip starts, a ruined one is left for the other, which was never written",
        .enabled(if: tools, "needs flashrom, QEMU and u-boot-qemu"))
    func rehearsal() throws {
        let directory = try TemporaryDirectory()
        var rom = try Bytes.read("/usr/lib/u-boot/qemu-x86/u-boot.rom")
        let erased = [UInt8](repeating: 0xff, count: Self.bank)
        try Bytes.write(rom + erased.dropFirst(rom.count) + erased, to: directory("spi"))
        try Bytes.write(
            Array("00000000:007fffff a\n00800000:00ffffff b\n".utf8), to: directory("layout"))
        let first = Array(try Bytes.read(directory("spi"))[0..<Self.bank])
        #expect(try starts(0, rom.count, directory))
        try flash(rom, directory)
        #expect(try starts(1, rom.count, directory))
        // The reset vector of the new firmware is lost.
        rom.replaceSubrange((rom.count - 4096)..., with: [UInt8](repeating: 0, count: 4096))
        try flash(rom, directory)
        #expect(try !starts(1, rom.count, directory))
        #expect(try starts(0, rom.count, directory))
        #expect(try Array(Bytes.read(directory("spi"))[0..<Self.bank]) == first)
    }

    /// Bank b only.
    private func flash(_ rom: [UInt8], _ directory: TemporaryDirectory) throws {
        var image = try Bytes.read(directory("spi"))
        image.replaceSubrange(Self.bank..<(Self.bank + rom.count), with: rom)
        try Bytes.write(image, to: directory("wanted"))
        let output = try Tool.run(
            "flashrom", "-p", "dummy:emulate=W25Q128FV,image=\(directory("spi")),bus=spi", "-l", directory("layout"),
            "-i", "b", "-w", directory("wanted"), "-N")
        #expect(output.contains("VERIFIED"))
    }

    /// The strap: the processor reads this bank. The watchdog: it must say something within its time.
    private func starts(_ bank: Int, _ size: Int, _ directory: TemporaryDirectory) throws -> Bool {
        let spi = try Bytes.read(directory("spi"))
        try Bytes.write(Array(spi[(bank * Self.bank)..<(bank * Self.bank + size)]), to: directory("rom"))
        let serial = directory("serial")
        try? FileManager.default.removeItem(atPath: serial)
        _ = try ChildProcess.run(
            [
                "sh", "-c",
                """
                qemu-system-x86_64 -M pc -accel tcg -m 256 -display none -monitor none -net none -bios '\(directory("rom"))' \
                    -serial 'file:\(serial)' & machine=$!
                for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                    sleep 0.5
                    grep -q 'Hit any key' '\(serial)' 2>/dev/null && break
                done
                kill $machine
                """,
            ], milliseconds: 60_000)
        return try String(decoding: Bytes.read(serial), as: UTF8.self).contains("Hit any key")
    }
}
