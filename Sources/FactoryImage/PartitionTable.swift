internal import Platform

/// Writes the GUID partition table with sfdisk, which knows the protective MBR, both copies and their checksums, and
/// is on every Linux machine.
enum PartitionTable {
    /// One partition.
    struct Entry {
        let name: String
        /// Bytes from the start of the disk; a multiple of 512.
        let offset: UInt64
        /// Bytes; a multiple of 512.
        let size: UInt64
        /// Firmware and boot loaders look for their files here.
        var isBoot = false
    }

    /// Writes the table of `layout` to a disk image that already has its size.
    static func write(_ layout: GatewayLayout, to disk: String, script: String) throws(GatewayError) {
        try write(
            layout.partitions.map { Entry(name: $0.name, offset: $0.offset, size: $0.size) }, to: disk, script: script)
    }

    /// Writes these partitions, numbered from 1. All GUIDs are fixed, so that the same list gives the same bytes.
    /// `script` is a path for sfdisk's input; it is removed afterwards.
    static func write(_ partitions: [Entry], to disk: String, script: String) throws(GatewayError) {
        var text = "label: gpt\nlabel-id: \(guid(0))\nunit: sectors\nsector-size: 512\n"
        for (index, partition) in partitions.enumerated() {
            text += "start=\(partition.offset / 512), size=\(partition.size / 512), "
            text += "type=\(partition.isBoot ? espType : linuxData), uuid=\(guid(index + 1)), "
            if partition.isBoot { text += "attrs=LegacyBIOSBootable, " }
            text += "name=\"\(partition.name)\"\n"
        }
        try asGateway { () throws(SystemError) in try FileSystem.replace(script, with: Array(text.utf8)) }
        // sfdisk takes its script only from standard input.
        try Tool.run([
            "sh", "-c", "exec sfdisk --quiet --no-reread --no-tell-kernel \"$1\" < \"$2\"", "sfdisk", disk, script,
        ])
        try asGateway { () throws(SystemError) in try FileSystem.remove(script) }
    }

    /// Partition type "Linux filesystem data".
    private static let linuxData = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
    /// Partition type "EFI system".
    private static let espType = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"

    /// "kedge" in ASCII, then a version 8 (vendor's own) UUID of RFC 9562, with the partition's number at the end.
    private static func guid(_ number: Int) -> String {
        let digits = String(number)
        return "6B656467-6500-8000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
    }
}
