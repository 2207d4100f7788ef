internal import BootControl
internal import BundleFormat
internal import Platform
internal import Slots
internal import Trust

/// Makes the first disk of a gateway: partitions, boot files, the images of a release in slot set a, the boot record
/// that says so, and the trust store. Nothing is mounted, so no privileges are needed.
public struct DiskImage: Sendable {
    public let layout: DiskLayout
    /// The release in slot set a, and its manifest.
    public let releaseID: String
    public let path: String

    /// Makes the image at `path`, which is replaced as a whole when everything is done.
    public static func make(
        layout: DiskLayout, bundle: String, trustRoot: String, at path: String
    ) throws(GatewayError) -> DiskImage {
        let release = try FactoryRelease(bundle, trustRoot: trustRoot)
        let staging = path + ".partial"
        do {
            try asGateway { () throws(SystemError) in
                try FileSystem.removeTree(staging)
                try FileSystem.makeDirectories(staging + "/state")
                let disk = try Descriptor(open: staging + "/disk", [.write, .create, .exclusive])
                try disk.truncate(to: layout.diskSize)
            }
            try fill(staging, layout, release, trustRoot: trustRoot)
            try asGateway { () throws(SystemError) in
                try FileSystem.rename(staging + "/disk", to: path)
                try FileSystem.flushDirectory(FileSystem.parent(of: path))
                try FileSystem.removeTree(staging)
            }
        } catch {
            try asGateway { () throws(SystemError) in try FileSystem.removeTree(staging) }
            throw error
        }
        return DiskImage(layout: layout, releaseID: release.verified.manifest.releaseID, path: path)
    }

    private static func fill(
        _ staging: String, _ layout: DiskLayout, _ release: FactoryRelease, trustRoot: String
    ) throws(GatewayError) {
        let disk = staging + "/disk"
        try PartitionTable.write(
            layout.partitions.map {
                var isBoot = false
                if case .files = $0.content { isBoot = true }
                return PartitionTable.Entry(name: $0.name, offset: $0.offset, size: $0.size, isBoot: isBoot)
            }, to: disk, script: staging + "/sfdisk.script")
        for blob in layout.blobs { try copy(blob, to: disk) }
        try FactoryRelease.copyTrust(trustRoot, to: staging + "/state/root.json")
        let record = try release.install(data: staging + "/state") {
            component throws(GatewayError) -> SlotConfiguration.Place? in
            let target = component.target.text
            if layout.elsewhere.contains(target) { return nil }
            guard let slot = layout.partition(target + "-a"), layout.partition(target + "-b") != nil else {
                throw .noSlot(component: component.id.text, target: target)
            }
            return .block(path: disk, offset: slot.offset, size: slot.size)
        }
        try write(record, layout, disk)
        for partition in layout.partitions {
            switch partition.content {
            case .nothing: continue
            case .files(let directory): try makeFAT(partition, of: directory, in: disk)
            case .state:
                try Tool.run([
                    "mke2fs", "-q", "-F", "-t", "ext4", "-L", partition.name, "-d", staging + "/state", "-E",
                    "offset=\(partition.offset)", disk, "\(partition.size >> 10)k",
                ])
            }
        }
    }

    private static func copy(_ blob: DiskLayout.Blob, to disk: String) throws(GatewayError) {
        try asGateway { () throws(SystemError) in
            let bytes = try FileSystem.read(blob.path, limit: 64 << 20)
            if blob.offset + UInt64(bytes.count) > GatewayLayout.alignment {
                throw SystemError(
                    number: SystemError.noSpace, operation: "write", subject: "\(blob.path) before the first partition")
            }
            try Descriptor(open: disk, [.write]).write(bytes.rawBytes, at: blob.offset)
        }
    }

    /// Both copies of the first record.
    private static func write(
        _ record: BootRecord, _ layout: DiskLayout, _ disk: String
    ) throws(GatewayError) {
        let places = ["kedge-env-1", "kedge-env-2"].compactMap { layout.partition($0) }.map {
            UBootEnvironmentHome.Location(path: disk, offset: $0.offset + layout.copyOffset, size: layout.copySize)
        }
        if layout.record == .grub {
            for place in places { try makeBlockFile(at: place, in: disk, scratch: disk + ".block") }
        }
        do {
            switch layout.record {
            case .simulated:
                guard let home = layout.partition("kedge-record") else { return }
                let area = try SimulatedBootHome.area(for: record)
                try asGateway { () throws(SystemError) in
                    try Descriptor(open: disk, [.write]).write(area.rawBytes, at: home.offset)
                }
            case .uboot, .bootcount:
                let counting = layout.record == .uboot ? UBootEnvironmentHome.Counting.script : .bootcount
                try UBootEnvironmentHome.create(
                    places[0], places[1], record: record, variables: variables(layout), counting: counting)
            case .script: try ScriptBlocksHome.create(.uboot, places[0], places[1], record: record)
            case .grub: try ScriptBlocksHome.create(.grub, places[0], places[1], record: record)
            }
        } catch let error as GatewayError {
            throw error
        } catch let error as BootError {
            throw .boot(error)
        } catch {
            throw .tool(name: "kedge", why: "\(error)")
        }
    }

    /// The board's own variables, from lines of `name=value`.
    private static func variables(_ layout: DiskLayout) throws(GatewayError) -> [(name: String, value: String)] {
        guard let path = layout.environment else { return [] }
        let text = try asGateway { () throws(SystemError) in try FileSystem.read(path, limit: 1 << 20) }
        var variables: [(name: String, value: String)] = []
        for line in String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline) where !line.hasPrefix("#")
        {
            guard let equals = line.firstIndex(of: "="), line.startIndex < equals else {
                throw .layout(path: path, why: "\(line) is no line of name=value")
            }
            variables.append((name: String(line[..<equals]), value: String(line[line.index(after: equals)...])))
        }
        for name in layout.record == .bootcount ? ["bootcmd", "altbootcmd"] : ["bootcmd"]
        where !variables.contains(where: { $0.name == name }) {
            throw .layout(path: path, why: "\(name) is missing, and U-Boot would stop at its prompt")
        }
        return variables
    }

    /// A FAT file system whose only file, `kedge.env`, has its bytes at `place`.
    private static func makeBlockFile(
        at place: UBootEnvironmentHome.Location, in disk: String, scratch: String
    ) throws(GatewayError) {
        let text = "# GRUB Environment Block\n" + String(repeating: "#", count: place.size)
        let block = Array(text.utf8.prefix(place.size))
        let start = place.offset - 2560
        try asGateway { () throws(SystemError) in try FileSystem.replace(scratch, with: block) }
        try Tool.run([
            "mkfs.vfat", "-F", "12", "-s", "2", "-R", "1", "-f", "1", "-r", "16", "-i", "6b656467", "--offset",
            "\(start / 512)", disk, "1024",
        ])
        try Tool.run(["mcopy", "-i", "\(disk)@@\(start)", scratch, "::/kedge.env"])
        let there = try asGateway { () throws(SystemError) in
            try FileSystem.remove(scratch)
            return try Descriptor(open: disk, [.read]).readBytes(at: place.offset, count: place.size)
        }
        if there != block { throw .tool(name: "mkfs.vfat", why: "put kedge.env at another place than byte 2560") }
    }

    /// A FAT file system with all files and directories of `directory`, by mkfs.vfat and mtools.
    private static func makeFAT(
        _ partition: DiskLayout.Partition, of directory: String, in disk: String
    ) throws(GatewayError) {
        try Tool.run([
            "mkfs.vfat", "-n", "BOOT", "--offset", "\(partition.offset / 512)", disk, "\(partition.size >> 10)",
        ])
        let names = try asGateway { () throws(SystemError) in try FileSystem.list(directory) }
        for name in names where name != "." && name != ".." {
            try Tool.run(["mcopy", "-s", "-i", "\(disk)@@\(partition.offset)", "\(directory)/\(name)", "::/"])
        }
    }

    /// What was made, for people.
    public var lines: [String] {
        var lines = ["\(path): \(releaseID) in slot set a, \(layout.diskSize >> 20) MiB"]
        for (index, partition) in layout.partitions.enumerated() {
            let place = "\(partition.size >> 20) MiB at \(partition.offset >> 20) MiB"
            lines.append("  \(index + 1)  \(partition.name)  \(place)")
        }
        if layout.record != .simulated {
            for number in 1...2 {
                lines.append(
                    "device.ini: environment\(number) = /dev/disk/by-partlabel/kedge-env-\(number) "
                        + "\(layout.copyOffset) \(layout.copySize)")
            }
        }
        return lines
    }
}
