internal import Platform

/// What is where on the first disk of a gateway: an INI file of one `[disk]` section and one `[partition NAME]` section
/// for each partition, in their order.
///
///     [disk]
///     record = uboot-script        ; uboot | uboot-bootcount | uboot-script | grub: the partitions kedge-env-1 and
///                                  ; kedge-env-2
///                                  ; simulated: kedge-record (for systemd-boot and EFI)
///     environment = board.env      ; uboot, uboot-bootcount: the board's variables, lines of name=value, # comments
///     elsewhere = bios             ; targets of components that are not on this disk
///     [partition boot]
///     size = 16M
///     files = boot                 ; a FAT file system with all files of this directory (relative to the layout)
///     [partition kedge-env-1]
///     size = 1M
///     [partition rootfs-a]         ; NAME-a and NAME-b: the slots of the components for NAME
///     size = 320M
///     [partition data]
///     size = 64M
///     state = yes                  ; an ext4 file system with what kedged keeps: root.json, the release's head
///     [raw u-boot]                 ; bytes outside of all partitions, such as U-Boot itself on many boards
///     path = u-boot.bin
///     offset = 32K
public struct DiskLayout: Equatable, Sendable {
    /// What the factory puts into a partition, besides the images of slots.
    public enum Content: Equatable, Sendable {
        case nothing
        /// A FAT file system with the files of a directory.
        case files(directory: String)
        /// An ext4 file system with the data directory of kedged.
        case state
    }
    public struct Partition: Equatable, Sendable {
        public let name: String
        public let offset: UInt64
        public let size: UInt64
        public let content: Content
    }
    public struct Blob: Equatable, Sendable {
        public let path: String
        public let offset: UInt64
    }
    /// Which home the boot record gets.
    public enum Record: String, Sendable, CaseIterable {
        case simulated
        case uboot
        case bootcount = "uboot-bootcount"
        case script = "uboot-script"
        case grub
    }

    public let record: Record
    /// The file with the board's own U-Boot variables.
    public let environment: String?
    public let elsewhere: [String]
    public let partitions: [Partition]
    public let blobs: [Blob]
    /// Bytes of the disk.
    public let diskSize: UInt64
    /// Bytes of one copy of the boot record.
    public var copySize: Int { record == .grub ? 1024 : 16384 }
    /// Where a copy starts in its partition. GRUB writes only into files: its partitions hold a FAT file system whose
    /// only file starts there, behind one reserved sector, two of tables and two of the root directory's.
    public var copyOffset: UInt64 { record == .grub ? 2560 : 0 }

    public func partition(_ name: String) -> Partition? { partitions.first { $0.name == name } }

    /// Reads a layout; every key must be known, every size whole MiB, and what the record needs must be there.
    public init(contentsOf path: String) throws(GatewayError) {
        let document: INIDocument
        do {
            let bytes = try FileSystem.read(path, limit: 256 << 10)
            document = try INIDocument(parsing: String(decoding: bytes, as: UTF8.self))
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            throw .layout(path: path, why: "it is not INI: \(error)")
        }
        var reader = Reader(path: path)
        for section in document.sections { try reader.take(section) }
        record = reader.record
        environment = reader.environment
        elsewhere = reader.elsewhere
        partitions = reader.partitions
        blobs = reader.blobs
        diskSize = reader.end + GatewayLayout.alignment
        for name in record == .simulated ? ["kedge-record"] : ["kedge-env-1", "kedge-env-2"] {
            if partition(name) == nil {
                throw .layout(path: path, why: "record = \(record.rawValue) needs the partition \(name)")
            }
        }
        if !partitions.contains(where: { $0.content == .state }) {
            throw .layout(path: path, why: "one partition needs state = yes, for what kedged keeps")
        }
        switch record {
        // An environment on the medium takes the place of the whole one that U-Boot was built with, bootcmd included.
        case .uboot where environment == nil:
            throw .layout(path: path, why: "record = uboot needs environment = FILE, with bootcmd")
        case .bootcount where environment == nil:
            throw .layout(
                path: path, why: "record = uboot-bootcount needs environment = FILE, with bootcmd and altbootcmd")
        case .simulated, .script, .grub:
            if environment != nil {
                throw .layout(path: path, why: "record = \(record.rawValue) has no variables but Kedge's own")
            }
        case .uboot, .bootcount: break
        }
        for blob in blobs where blob.offset < 34 * 512 {
            throw .layout(path: path, why: "\(blob.path) at \(blob.offset) would overwrite the partition table")
        }
    }

    /// Takes a layout section by section.
    private struct Reader {
        let path: String
        var record = Record.simulated
        var elsewhere: [String] = []
        var environment: String?
        var partitions: [Partition] = []
        var blobs: [Blob] = []
        var end = GatewayLayout.alignment

        func problem(_ why: String) -> GatewayError { .layout(path: path, why: why) }

        mutating func take(_ section: INIDocument.Section) throws(GatewayError) {
            let words = section.name.split(separator: " ").map(String.init)
            var entries: [String: String] = [:]
            for entry in section.entries { entries[entry.name] = entry.value }
            switch (words.first, words.count) {
            case ("disk", 1): try disk(&entries)
            case ("partition", 2): try partition(words[1], &entries)
            case ("raw", 2): try blob(words[1], &entries)
            default: throw problem("[\(section.name)] must be [disk], [partition NAME] or [raw NAME]")
            }
            if let key = entries.keys.sorted().first { throw problem("[\(section.name)] has the unknown key \(key)") }
        }

        private mutating func disk(_ entries: inout [String: String]) throws(GatewayError) {
            if let text = entries.removeValue(forKey: "record") {
                guard let record = Record(rawValue: text) else {
                    throw problem("record = \(text) must be simulated, uboot, uboot-bootcount, uboot-script or grub")
                }
                self.record = record
            }
            environment = entries.removeValue(forKey: "environment").map { near($0) }
            elsewhere = (entries.removeValue(forKey: "elsewhere") ?? "").split(separator: " ").map(String.init)
        }

        private mutating func partition(
            _ name: String, _ entries: inout [String: String]
        ) throws(GatewayError) {
            let allowed = name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c }
            // A GPT name has 36 UTF-16 units.
            guard allowed, name.utf8.count <= 36, partitions.count < 99 else { throw problem("the name \(name)") }
            let size = try number(entries.removeValue(forKey: "size"), "[partition \(name)] size")
            if size == 0 || size % GatewayLayout.alignment != 0 || size > GatewayLayout.limit {
                throw problem("[partition \(name)] size must be whole MiB")
            }
            var content = Content.nothing
            if let directory = entries.removeValue(forKey: "files") { content = .files(directory: near(directory)) }
            if let state = entries.removeValue(forKey: "state") {
                guard state == "yes", content == .nothing else {
                    throw problem("[partition \(name)] has state = yes, or files, or neither")
                }
                content = .state
            }
            partitions.append(Partition(name: name, offset: end, size: size, content: content))
            end += size
        }

        private mutating func blob(_ name: String, _ entries: inout [String: String]) throws(GatewayError) {
            guard let file = entries.removeValue(forKey: "path") else { throw problem("[raw \(name)] needs path") }
            let offset = try number(entries.removeValue(forKey: "offset"), "[raw \(name)] offset")
            blobs.append(Blob(path: near(file), offset: offset))
        }

        /// Relative to the layout.
        private func near(_ file: String) -> String {
            file.hasPrefix("/") ? file : FileSystem.parent(of: path) + "/" + file
        }

        /// Bytes from `65536`, `64K`, `16M` or `1G`.
        private func number(_ text: String?, _ key: String) throws(GatewayError) -> UInt64 {
            guard let text else { throw problem("\(key) is missing") }
            let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
            let unit = text.last.flatMap { units[$0] }
            if let count = UInt64(unit == nil ? text[...] : text.dropLast()) {
                let (bytes, overflow) = count.multipliedReportingOverflow(by: unit ?? 1)
                if !overflow { return bytes }
            }
            throw problem("\(key) = \(text) is no number of bytes")
        }
    }
}
