import Foundation
import Platform

/// A machine's firmware as Linux shows it to programs: an EFI system partition, efivarfs and the ESRT in sysfs, as
/// directories of files. Names, number formats and values are those of Linux (Documentation/ABI/testing/
/// sysfs-firmware-efi-esrt; `lowest_supported_fw_version` and the rest in decimal) for a machine with one entry.
public final class CapsuleFirmware {
    public static let firmwareClass = "3bbdb30d-4a1e-4d4f-9a51-8d3c5a4d8a9f"
    public let system: String
    public let variables: String
    public let table: String
    private static let namespace = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
    private var entry: String { table + "/entries/entry0" }

    /// In a directory that exists, with this version installed.
    public init(in directory: String, version: UInt32, takesFiles: Bool = true) throws {
        system = directory + "/esp"
        variables = directory + "/efivars"
        table = directory + "/esrt"
        for path in [system + "/EFI/BOOT", variables, table + "/entries/entry0"] {
            try FileSystem.makeDirectories(path)
        }
        // Capsules, file delivery, and the boot manager's own two bits.
        try setVariable("OsIndicationsSupported", takesFiles ? 0x0d : 0x01)
        try set("fw_class", Self.firmwareClass)
        for (name, value) in [
            ("fw_type", "1"), ("fw_version", "\(version)"), ("lowest_supported_fw_version", "65536"),
            ("capsule_flags", "0x10000"), ("last_attempt_version", "0"), ("last_attempt_status", "0"),
        ] { try set(name, value) }
    }

    /// Changes one file of the entry.
    public func set(_ name: String, _ value: String) throws {
        try FileSystem.replace(entry + "/" + name, with: Array((value + "\n").utf8))
    }

    private func file(_ name: String) -> String { "\(variables)/\(name)-\(Self.namespace)" }

    public func setVariable(_ name: String, _ bits: UInt64) throws {
        let bytes = [7, 0, 0, 0] + (0..<8).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
        try FileSystem.replace(file(name), with: bytes)
    }

    public var indications: UInt64 {
        guard let bytes = try? FileSystem.read(file("OsIndications"), limit: 64), bytes.count == 12 else { return 0 }
        return bytes[4...].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Makes OsIndications something that cannot be written, as a firmware does whose variable store is full.
    public func loseIndications() throws { try FileSystem.makeDirectories(file("OsIndications")) }

    /// Names in the folder that the firmware looks at.
    public func waiting() throws -> [String] {
        let folder = system + "/EFI/UpdateCapsule"
        if try FileSystem.kind(of: folder) == nil { return [] }
        return try FileSystem.list(folder).filter { $0 != "." && $0 != ".." }
    }

    public func staged(_ name: String) throws -> [UInt8] {
        try FileSystem.read(system + "/EFI/UpdateCapsule/" + name, limit: 1 << 26)
    }

    /// A start of the machine: it takes the files when it is asked, to `version` or with a status that says why not.
    public func start(installs version: UInt32, status: UInt32 = 0) throws {
        if indications & 4 == 0 { return }
        try setVariable("OsIndications", indications & ~4)
        for name in try waiting() {
            try FileSystem.remove(system + "/EFI/UpdateCapsule/" + name)
            try set("last_attempt_version", "\(version)")
            try set("last_attempt_status", "\(status)")
            if status == 0 { try set("fw_version", "\(version)") }
        }
    }

    /// A firmware management capsule with EDK II's payload header, unsigned, as its GenerateCapsule makes them.
    public static func capsule(
        version: UInt32, payload: Int = 5000, for firmware: String = firmwareClass, hasVersion: Bool = true
    ) -> [UInt8] {
        var image = hasVersion ? Array("MSS1".utf8) + number(16) + number(version) + number(65536) : []
        image += (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(version)) }
        let item =
            number(2) + guid(firmware) + [1, 0, 0, 0] + number(UInt32(image.count)) + number(0) + number(0) + number(0)
        let inner = number(1) + [0, 0, 1, 0] + number(16) + number(0) + item + image
        return guid("6dcbd5ed-e82d-4c44-bda1-7194199ad92a") + number(32) + number(0x50000)
            + number(UInt32(32 + inner.count)) + number(0) + inner
    }

    private static func number(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
    }

    /// The bytes of a GUID: its first three fields are little-endian.
    private static func guid(_ text: String) -> [UInt8] {
        let bytes = Hex.decode(text.filter { $0 != "-" }) ?? []
        return [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map { bytes[$0] }
    }
}
