/// Compression inside an image, by its first bytes. A small change of what is inside changes every byte behind it, so
/// that deltas find little: reference figures are in reference/delta.md and `tools/bench`.
enum InnerCompression: Equatable {
    /// The whole image is one compressed stream.
    case whole(String)
    /// A squashfs whose blocks are compressed.
    case squashfs(String)
    /// An erofs whose clusters are compressed.
    case erofs
    /// A Linux kernel that unpacks itself.
    case kernel(String)
    /// An archive of a compressed layer or initramfs behind its first file.
    case archive(String)

    /// From at least the first 64 KiB of an image; nil when nothing is known to be compressed.
    init?(start: [UInt8]) {
        if let name = Self.stream(start, at: 0) {
            self = .whole(name)
        } else if Self.has("hsqs", start, at: 0) {
            let names = ["gzip", "lzma", "lzo", "xz", "lz4", "zstd"]
            // Flags, bit 1: data blocks are stored as they are (squashfs_fs.h).
            guard start.count > 26, start[24] & 2 == 0, (1...names.count).contains(Int(start[20])) else { return nil }
            self = .squashfs(names[Int(start[20]) - 1])
        } else if Self.bytes([0xe2, 0xe1, 0xf5, 0xe0], start, at: 1024) {
            // The algorithms of the image, or the distance of LZ4 (erofs_fs.h, offset 84 of the superblock).
            guard start.count > 1024 + 86, start[1024 + 80] & 3 != 0, start[1024 + 84] | start[1024 + 85] != 0 else {
                return nil
            }
            self = .erofs
        } else if Self.has("HdrS", start, at: 0x202), let name = Self.kernelPayload(start) {
            self = .kernel(name)
        } else if Self.has("ustar", start, at: 257) || Self.has("070701", start, at: 0),
            let name = Self.firstStream(start)
        {
            self = .archive(name)
        } else {
            return nil
        }
    }

    /// What it costs and what to do instead.
    var text: String {
        switch self {
        case .whole(let name):
            "the whole image is \(name)-compressed, so a delta saves next to nothing. Build from the uncompressed "
                + "image: the bundle compresses it on the way"
        case .squashfs(let name):
            "a squashfs compressed with \(name) makes deltas about ten times larger. Make it with `mksquashfs -noI "
                + "-noD -noF -noX`, or an erofs; the bundle compresses it on the way"
        case .erofs:
            "an lz4 erofs makes deltas about twice as large as an uncompressed one; worth it only where the slot is "
                + "too small"
        case .kernel(let name):
            "the kernel unpacks itself (\(name)), so a delta saves little. CONFIG_KERNEL_UNCOMPRESSED=y (or an "
                + "arm64 Image) costs flash and saves the download; the bundle compresses it on the way"
        case .archive(let name):
            "\(name)-compressed files inside it change as a whole. Store layers and initramfs uncompressed; the "
                + "bundle compresses them on the way"
        }
    }

    private static func stream(_ bytes: [UInt8], at offset: Int) -> String? {
        if Self.bytes([0x1f, 0x8b, 0x08], bytes, at: offset) { return "gzip" }
        if Self.bytes([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], bytes, at: offset) { return "xz" }
        if Self.bytes([0x28, 0xb5, 0x2f, 0xfd], bytes, at: offset) { return "zstd" }
        if Self.bytes([0x04, 0x22, 0x4d, 0x18], bytes, at: offset) { return "lz4" }
        if has("BZh", bytes, at: offset), offset + 9 < bytes.count, bytes[offset + 4] == 0x31 { return "bzip2" }
        return nil
    }

    /// The algorithm of a bzImage's payload (Documentation/arch/x86/boot.rst: payload_offset counts from the protected
    /// mode code).
    private static func kernelPayload(_ bytes: [UInt8]) -> String? {
        guard bytes.count > 0x250 else { return nil }
        let sectors = bytes[0x1f1] == 0 ? 4 : Int(bytes[0x1f1])
        var offset = 0
        for index in 0..<4 { offset |= Int(bytes[0x248 + index]) << (8 * index) }
        return stream(bytes, at: (sectors + 1) * 512 + offset)
    }

    /// A compressed stream on a boundary of 512 bytes, where tar has its files' contents.
    private static func firstStream(_ bytes: [UInt8]) -> String? {
        var offset = 512
        while offset + 6 <= bytes.count {
            if let name = stream(bytes, at: offset) { return name }
            offset += 512
        }
        return nil
    }

    private static func has(_ text: String, _ bytes: [UInt8], at offset: Int) -> Bool {
        Self.bytes(Array(text.utf8), bytes, at: offset)
    }

    private static func bytes(_ wanted: [UInt8], _ bytes: [UInt8], at offset: Int) -> Bool {
        offset >= 0 && offset + wanted.count <= bytes.count && Array(bytes[offset..<(offset + wanted.count)]) == wanted
    }
}
