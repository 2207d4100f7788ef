extension ByteView {
    /// Whether these bytes begin a file system that a mount for writing changes: ext2 to ext4, XFS, btrfs, F2FS, FAT.
    ///
    /// A device that runs such an image holds it nearly, with a changed superblock and more: what is made from it must
    /// bear that a byte differs. (Offsets and magic numbers: the kernel's include/uapi/linux/magic.h and the headers of
    /// each.)
    var changesWhenMounted: Bool {
        has([0x53, 0xEF], at: 1024 + 56) || has(Array("XFSB".utf8), at: 0) || has(Array("_BHRfS_M".utf8), at: 0x10040)
            || has([0x10, 0x20, 0xF5, 0xF2], at: 1024)
            || has([0x55, 0xAA], at: 510) && (has(Array("FAT".utf8), at: 54) || has(Array("FAT".utf8), at: 82))
    }

    private func has(_ magic: [UInt8], at place: Int) -> Bool {
        place + magic.count <= count && self[place..<(place + magic.count)].array == magic
    }
}
