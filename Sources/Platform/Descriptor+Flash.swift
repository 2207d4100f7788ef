internal import CDevice

/// What the kernel says of a raw flash device (`/dev/mtdN`).
public struct FlashChip: Equatable, Sendable {
    /// Bytes.
    public let size: UInt64
    /// Bytes that are erased together.
    public let eraseSize: UInt32
    /// NAND has blocks that are bad, which somebody must keep account of.
    public let isNAND: Bool
}

extension Descriptor {
    /// The flash chip behind a character device; `ENOTTY` where there is none.
    public func flashChip() throws(SystemError) -> FlashChip {
        var size: UInt64 = 0
        var eraseSize: UInt32 = 0
        let kind = try checked(unsafe kedge_flash_info(raw, &size, &eraseSize), "ioctl MEMGETINFO", path)
        return FlashChip(size: size, eraseSize: eraseSize, isNAND: kind == 1)
    }

    /// Erases whole blocks of a flash chip: all bits become one. Durable when it returns.
    public func eraseFlash(at offset: UInt64, size: UInt64) throws(SystemError) {
        try checked(kedge_flash_erase(raw, offset, size), "ioctl MEMERASE64", path)
    }
}
