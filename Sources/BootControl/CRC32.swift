internal import Platform

/// The CRC-32 of IEEE 802.3, as zlib and U-Boot compute it: reflected polynomial 0xEDB88320, inverted at both ends.
enum CRC32 {
    private static let table: [UInt32] = (0..<256).map { (index: UInt32) -> UInt32 in
        var value = index
        for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
        return value
    }

    static func checksum(of bytes: ArraySlice<UInt8>) -> UInt32 {
        var value: UInt32 = 0xffff_ffff
        for byte in bytes { value = value >> 8 ^ table[Int((value ^ UInt32(byte)) & 0xff)] }
        return ~value
    }
}
