internal import Platform

/// Writes the GUID partition table with sfdisk, which knows the protective MBR, both copies and their checksums, and
/// is on every Linux machine.
enum PartitionTable {
    /// Writes the table of `layout` to a disk image that already has its size. All GUIDs are fixed, so that the same
    /// layout gives the same bytes. `script` is a path for sfdisk's input; it is removed afterwards.
    static func write(_ layout: GatewayLayout, to disk: String, script: String) throws(GatewayError) {
        var text = "label: gpt\nlabel-id: \(guid(0))\nunit: sectors\nsector-size: 512\n"
        for (index, partition) in layout.partitions.enumerated() {
            text += "start=\(partition.offset / 512), size=\(partition.size / 512), type=\(linuxData), "
            text += "uuid=\(guid(index + 1)), name=\"\(partition.name)\"\n"
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

    /// "kedge" in ASCII, then a version 8 (vendor's own) UUID of RFC 9562, with the partition's number at the end.
    private static func guid(_ number: Int) -> String { "6B656467-6500-8000-8000-00000000000\(number)" }
}
