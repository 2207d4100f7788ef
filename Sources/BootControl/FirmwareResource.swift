public import Platform

/// One line of the firmware's own table of what can be updated (ESRT, UEFI specification, section 23.4), as Linux
/// shows it under /sys/firmware/efi/esrt/entries.
public struct FirmwareResource: Equatable, Sendable {
    /// GUID, lower case.
    public let firmwareClass: String
    public let version: UInt32
    /// Older versions the firmware refuses.
    public let lowestVersion: UInt32
    /// What the last capsule brought, and what came of it.
    public let lastVersion: UInt32
    public let lastStatus: UInt32

    /// Where Linux has the table.
    public static let table = "/sys/firmware/efi/esrt"

    /// All lines, in the order of their names; empty when there is no such table.
    public static func read(_ path: String = table) throws(SystemError) -> [FirmwareResource] {
        let entries = path + "/entries"
        if try FileSystem.kind(of: entries) == nil { return [] }
        var found: [FirmwareResource] = []
        for name in try FileSystem.list(entries) where name.utf8.starts(with: "entry".utf8) {
            let entry = entries + "/" + name
            found.append(
                FirmwareResource(
                    firmwareClass: try word(entry, "fw_class"), version: try number(entry, "fw_version"),
                    lowestVersion: try number(entry, "lowest_supported_fw_version"),
                    lastVersion: try number(entry, "last_attempt_version"),
                    lastStatus: try number(entry, "last_attempt_status")))
        }
        return found
    }

    private static func word(_ entry: String, _ name: String) throws(SystemError) -> String {
        String(decoding: try FileSystem.read(entry + "/" + name, limit: 256).filter { $0 > 0x20 }, as: UTF8.self)
    }

    private static func number(_ entry: String, _ name: String) throws(SystemError) -> UInt32 {
        guard let number = UInt32(try word(entry, name)) else {
            throw SystemError(number: SystemError.invalid, operation: "read", subject: entry + "/" + name)
        }
        return number
    }

    /// What a status means (section 23.4, "ESRT and Firmware Management Protocol").
    public static func meaning(of status: UInt32) -> String {
        switch status {
        case 0: "success"
        case 1: "unsuccessful"
        case 2: "insufficient resources"
        case 3: "incorrect version"
        case 4: "invalid format"
        case 5: "authentication error"
        case 6: "no AC power"
        case 7: "the battery is too low"
        case 8: "unsatisfied dependencies"
        default: "the vendor's code \(Hex.number(status))"
        }
    }
}
