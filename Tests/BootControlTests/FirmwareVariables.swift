import Platform
import Testing

/// The variables in OVMF's variable store, read and written from outside of the machine while it is off.
///
/// The file is a firmware volume with the authenticated variable format (EDK II, `MdeModulePkg/Include/Guid/
/// VariableFormat.h`): a header of 72 bytes, a store header of 28, then variables one after the other, each at a
/// multiple of 4. A variable that is replaced stays there with another state.
struct FirmwareVariables {
    /// Of EFI_GLOBAL_VARIABLE, as the bytes are in memory.
    private static let namespace: [UInt8] = [
        0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
    ]
    private static let start = 0x48 + 28
    private static let header = 60
    /// Written whole, and not deleted.
    private static let added: UInt8 = 0x3f
    private let path: String
    private var bytes: [UInt8]

    init(_ path: String) throws {
        self.path = path
        bytes = try Bytes.read(path)
        try #require(bytes[0x5c] == 0x5a && bytes[0x5d] == 0xfe, "\(path) is no healthy variable store")
    }

    /// A variable of the global namespace; nil when there is none.
    func value(_ name: String) -> [UInt8]? {
        var found: [UInt8]?
        walk { place, size, data in
            let isOurs = bytes[place + 2] == Self.added && Array(bytes[(place + 44)..<(place + 60)]) == Self.namespace
            let text = Array(bytes[(place + Self.header)..<(place + Self.header + size)])
            if isOurs, text == Self.wide(name) { found = Array(bytes[data.lowerBound..<data.upperBound]) }
        }
        return found
    }

    /// As `value`, as 16-bit numbers.
    func numbers(_ name: String) -> [UInt16]? {
        value(name).map { bytes in
            stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        }
    }

    /// Writes a variable that is not there yet, with the attributes of a boot option's: kept, for boot and run time.
    mutating func add(_ name: String, _ value: [UInt8]) throws {
        try #require(self.value(name) == nil)
        let end = walk { _, _, _ in }
        let text = Self.wide(name)
        var variable: [UInt8] = [0xaa, 0x55, Self.added, 0] + Self.littleEndian(7, 4)
        variable += [UInt8](repeating: 0, count: 28)
        variable += Self.littleEndian(UInt64(text.count), 4) + Self.littleEndian(UInt64(value.count), 4)
        variable += Self.namespace + text + value
        bytes.replaceSubrange(end..<(end + variable.count), with: variable)
        try Bytes.write(bytes, to: path)
    }

    /// Calls `body` with each variable's place, the length of its name and where its value is; gives the end.
    @discardableResult
    private func walk(_ body: (_ place: Int, _ name: Int, _ value: Range<Int>) -> Void) -> Int {
        var place = Self.start
        while place + Self.header < bytes.count, bytes[place] == 0xaa, bytes[place + 1] == 0x55 {
            let name = number(at: place + 36)
            let data = place + Self.header + name
            body(place, name, data..<(data + number(at: place + 40)))
            place = (data + number(at: place + 40) + 3) & ~3
        }
        return place
    }

    private func number(at place: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) } }

    /// UTF-16 with its end.
    static func wide(_ text: String) -> [UInt8] {
        text.utf16.flatMap { littleEndian(UInt64($0), 2) } + [0, 0]
    }

    static func littleEndian(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
}

/// EFI_LOAD_OPTION (UEFI specification, section 3.1.3) of a program on the first partition of a `FATDisk`.
enum BootOption {
    /// The partition's own identifier: one whose bytes are the same in any order.
    static let identifier = "11111111-1111-1111-1111-111111111111"

    /// Active, called `kedge`, with a short-form path: a hard drive's partition (section 10.3.5.1) by number, first
    /// sector, sectors and identifier, then the file.
    static func value(_ file: String) -> [UInt8] {
        let name = FirmwareVariables.wide(file)
        var path: [UInt8] = [4, 1, 42, 0]
        path += FirmwareVariables.littleEndian(1, 4) + FirmwareVariables.littleEndian(2048, 8)
        path += FirmwareVariables.littleEndian(32768, 8)
        path += [UInt8](repeating: 0x11, count: 16)
        path += [2, 2, 4, 4] + FirmwareVariables.littleEndian(UInt64(name.count + 4), 2)
        path += name
        path += [0x7f, 0xff, 4, 0]
        var option = FirmwareVariables.littleEndian(1, 4)
        option += FirmwareVariables.littleEndian(UInt64(path.count), 2)
        option += FirmwareVariables.wide("kedge")
        return option + path
    }
}
