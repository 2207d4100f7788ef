internal import Platform

/// Where everything is on a gateway's disk and flash, computed from four sizes.
///
/// The disk is GPT partitioned. Partitions start at multiples of 1 MiB, so that windows of 1 MiB and the erase
/// groups of eMMC line up; the last MiB belongs to the backup table (UEFI specification 2.10, section 5.3.2).
public struct GatewayLayout: Equatable, Sendable {
    /// One run of bytes with a name.
    public struct Region: Equatable, Sendable {
        /// The partition's name in the GPT, or the bank's.
        public let name: String
        /// From the start of the disk or flash, bytes.
        public let offset: UInt64
        /// Bytes.
        public let size: UInt64
    }

    /// The four sizes, bytes.
    public struct Sizes: Equatable, Sendable {
        /// Of each root file system slot; a multiple of 1 MiB.
        public var rootfs: UInt64
        /// Of each kernel slot; a multiple of 1 MiB.
        public var kernel: UInt64
        /// Of each BIOS bank; a multiple of the erase block.
        public var bios: UInt64
        /// Of the data partition; a multiple of 1 MiB.
        public var data: UInt64

        public init(
            rootfs: UInt64 = 320 << 20, kernel: UInt64 = 32 << 20, bios: UInt64 = 8 << 20, data: UInt64 = 16 << 20
        ) {
            self.rootfs = rootfs
            self.kernel = kernel
            self.bios = bios
            self.data = data
        }
    }

    /// Start of every partition is a multiple of this, bytes.
    public static let alignment: UInt64 = 1 << 20
    /// Erase block of the flash, bytes: what the 25 series of SPI NOR erases with command D8h.
    public static let eraseBlock: UInt64 = 64 << 10
    /// One copy of the redundant U-Boot environment, bytes.
    public static let environmentSize: UInt64 = 16 << 10
    /// Largest size taken, bytes (1 TiB): the file is sparse, but a mistyped unit should not pass.
    static let limit: UInt64 = 1 << 40

    public let sizes: Sizes
    /// The disk's partitions in their order: boot-env, kernel-a, kernel-b, rootfs-a, rootfs-b, data.
    public let partitions: [Region]
    /// The flash's banks: bios-a, bios-b.
    public let banks: [Region]
    /// Bytes of the disk.
    public let diskSize: UInt64
    /// Bytes of the flash.
    public var flashSize: UInt64 { sizes.bios * 2 }

    /// Checks the sizes and computes the layout.
    public init(_ sizes: Sizes) throws(GatewayError) {
        try Self.check("a rootfs slot", sizes.rootfs, multiple: Self.alignment)
        try Self.check("a kernel slot", sizes.kernel, multiple: Self.alignment)
        try Self.check("a BIOS bank", sizes.bios, multiple: Self.eraseBlock)
        try Self.check("the data partition", sizes.data, multiple: Self.alignment)
        self.sizes = sizes
        let wanted: [(String, UInt64)] = [
            ("boot-env", Self.alignment), ("kernel-a", sizes.kernel), ("kernel-b", sizes.kernel),
            ("rootfs-a", sizes.rootfs), ("rootfs-b", sizes.rootfs), ("data", sizes.data),
        ]
        var offset = Self.alignment
        var partitions: [Region] = []
        for (name, size) in wanted {
            partitions.append(Region(name: name, offset: offset, size: size))
            offset += size
        }
        self.partitions = partitions
        diskSize = offset + Self.alignment
        banks = [
            Region(name: "bios-a", offset: 0, size: sizes.bios),
            Region(name: "bios-b", offset: sizes.bios, size: sizes.bios),
        ]
    }

    private static func check(_ what: String, _ size: UInt64, multiple: UInt64) throws(GatewayError) {
        if size == 0 { throw .size(what: what, why: "is 0") }
        if size > limit { throw .size(what: what, why: "is \(size) bytes, at most \(limit) are allowed") }
        if size % multiple != 0 { throw .size(what: what, why: "is \(size) bytes, no multiple of \(multiple)") }
    }

    /// The partition of that name; nil when there is none.
    public func partition(_ name: String) -> Region? { partitions.first { $0.name == name } }

    /// The two copies of the U-Boot environment inside boot-env. The second starts in the middle of the partition,
    /// so that no erase group holds both.
    public var environments: (first: Region, second: Region) {
        let home = partitions[0]
        return (
            Region(name: "environment-1", offset: home.offset, size: Self.environmentSize),
            Region(name: "environment-2", offset: home.offset + home.size / 2, size: Self.environmentSize)
        )
    }
}
