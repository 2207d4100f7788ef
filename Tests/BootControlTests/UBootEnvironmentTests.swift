import BootControl
import BundleFormat
import Testing

@Suite("The U-Boot environment's format")
struct UBootEnvironmentTests {
    /// A copy built by hand around its data, with the given CRC or the right one.
    private func copy(_ data: [UInt8], size: Int = 64, fill: UInt8 = 0) throws -> [UInt8] {
        let padded = data + [UInt8](repeating: fill, count: size - 5 - data.count)
        return Self.littleEndian(Self.crc(padded)) + [1] + padded
    }

    /// CRC-32 bit by bit, without the table of the code under test.
    static func crc(_ bytes: [UInt8]) -> UInt32 {
        var value = UInt32.max
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = (value >> 1) ^ (value & 1 == 1 ? 0xedb8_8320 : 0) }
        }
        return ~value
    }

    static func littleEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    @Test("has the CRC-32 of IEEE 802.3 with its check value")
    func checkValue() throws {
        #expect(Self.crc(Array("123456789".utf8)) == 0xcbf4_3926)
        var environment = UBootEnvironment()
        try environment.set("a", to: "1")
        let bytes = try environment.encoded(size: 64, .redundant, flags: 1)
        #expect(try bytes == copy(Array("a=1\0\0".utf8)))
    }

    @Test("made by mkenvimage is read and made again, redundant and single")
    func golden() throws {
        let redundant = try Bytes.fixture("uboot-environment/redundant.bin")
        let (environment, flags) = try UBootEnvironment.decode(redundant, .redundant)
        #expect(flags == 1)
        #expect(environment.names == ["bootcmd", "ipaddr", "note", "bootdelay"])
        #expect(environment["bootcmd"] == "run distro_bootcmd; echo a=b")
        #expect(environment["note"] == "gr\u{fc}n")
        #expect(try environment.encoded(size: 1024, .redundant, flags: 1) == redundant)
        let single = try Bytes.fixture("uboot-environment/single.bin")
        #expect(try UBootEnvironment.decode(single, .single).environment == environment)
        #expect(try environment.encoded(size: 1024, .single) == single)
    }

    @Test("reads padding of 0xff as mkenvimage makes it by default")
    func paddedWithOnes() throws {
        let bytes = try copy(Array("a=1\0b=\(String(repeating: "x", count: 9))\0\0".utf8), fill: 0xff)
        #expect(try UBootEnvironment.decode(bytes, .redundant).environment.names == ["a", "b"])
    }

    @Test("keeps order, unknown entries and bytes that are no UTF-8 when a variable changes")
    func keepsEverything() throws {
        let data = Array("z=1\0strange\0a=".utf8) + [0xff, 0xfe, 0] + Array("m=old\0y=2\0\0".utf8)
        var environment = try UBootEnvironment.decode(copy(data), .redundant).environment
        try environment.set("m", to: "new")
        try environment.set("n", to: "3")
        let wanted = Array("z=1\0strange\0a=".utf8) + [0xff, 0xfe, 0] + Array("m=new\0y=2\0n=3\0\0".utf8)
        #expect(try environment.encoded(size: 64, .redundant, flags: 1) == copy(wanted))
        try environment.set("m", to: nil)
        #expect(environment["m"] == nil)
        #expect(environment.names == ["z", "strange", "a", "y", "n"])
    }

    @Test("takes the last of several variables of one name, as U-Boot's import does, and leaves one")
    func duplicates() throws {
        var environment = try UBootEnvironment.decode(copy(Array("m=1\0x=2\0m=3\0\0".utf8)), .redundant).environment
        #expect(environment["m"] == "3")
        try environment.set("m", to: "4")
        #expect(environment["m"] == "4")
        #expect(environment.names == ["m", "x"])
    }

    @Test("does not mistake a name's beginning for the name")
    func prefixes() throws {
        let environment = try UBootEnvironment.decode(copy(Array("kedge=1\0k=2\0\0".utf8)), .redundant).environment
        #expect(environment["k"] == "2")
        #expect(environment["kedg"] == nil)
        #expect(environment["kedge=1"] == nil)
    }

    @Test("with all variables gone is one zero byte and padding")
    func empty() throws {
        let bytes = try UBootEnvironment().encoded(size: 64, .redundant, flags: 1)
        #expect(try bytes == copy([0]))
        #expect(try UBootEnvironment.decode(bytes, .redundant).environment == UBootEnvironment())
    }

    @Test("fits to the last byte and is a typed error one byte later")
    func capacity() throws {
        var environment = UBootEnvironment()
        try environment.set("a", to: String(repeating: "x", count: 64 - 5 - 4))
        let bytes = try environment.encoded(size: 64, .redundant)
        #expect(try UBootEnvironment.decode(bytes, .redundant).environment == environment)
        try environment.set("a", to: String(repeating: "x", count: 64 - 5 - 3))
        #expect(throws: FormatError.tooLarge(what: "a U-Boot environment", size: 65, limit: 64)) {
            try environment.encoded(size: 64, .redundant)
        }
    }

    @Test("whose last variable reaches the end without a zero byte is refused")
    func unterminated() throws {
        let bytes = try copy([UInt8](repeating: 0x61, count: 59))
        #expect(throws: FormatError.self) { try UBootEnvironment.decode(bytes, .redundant) }
    }

    @Test("whose last variable ends with the copy is read, as U-Boot reads it")
    func endsExactly() throws {
        let data = Array("a=".utf8) + [UInt8](repeating: 0x78, count: 56) + [0]
        #expect(try UBootEnvironment.decode(copy(data), .redundant).environment.names == ["a"])
    }

    @Test("shorter than its header and one byte is refused", arguments: 0...5)
    func tooShort(_ count: Int) {
        #expect(throws: FormatError.self) {
            try UBootEnvironment.decode([UInt8](repeating: 0, count: count), .redundant)
        }
    }

    @Test("does not take names and values that it cannot hold")
    func badTexts() {
        var environment = UBootEnvironment()
        for name in ["", "a=b", "a\0"] {
            #expect(throws: FormatError.self) { try environment.set(name, to: "1") }
        }
        for value in ["", "a\0b"] { #expect(throws: FormatError.self) { try environment.set("a", to: value) } }
        #expect(environment == UBootEnvironment())
    }

    @Test(
        "takes the copy with the larger flags byte, except across 255 to 0 (env_check_redund)",
        arguments: [
            (0, 0, 0), (1, 0, 0), (0, 1, 1), (255, 0, 1), (0, 255, 0), (254, 255, 1), (255, 254, 0), (127, 128, 1),
            (128, 127, 0), (254, 1, 0), (1, 254, 1), (255, 1, 0), (255, 255, 0),
        ] as [(UInt8, UInt8, Int)])
    func newer(_ first: UInt8, _ second: UInt8, _ wanted: Int) {
        #expect(UBootEnvironment.newer(flags: first, second) == wanted)
    }
}
