internal import Platform

/// Integers of variable length: seven bits a byte, low ones first, the highest bit of a byte says that another one
/// follows (LEB128). At most nine bytes, so 63 bits, and always the shortest spelling.
extension ByteReader {
    /// Reads one; a longer spelling than needed is malformed.
    public mutating func varint() throws(FormatError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            let byte = try u8()
            value |= UInt64(byte & 0x7f) << shift
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 { throw .malformed(what: what, "an integer is not in its shortest form") }
                return value
            }
            shift += 7
            if shift == 63 { throw .malformed(what: what, "an integer is longer than nine bytes") }
        }
    }

    /// A variable-length integer of at most `limit`.
    public mutating func varint(limit: Int, _ name: String) throws(FormatError) -> Int {
        let value = try varint()
        if value > UInt64(limit) { throw .malformed(what: what, "\(name) is \(value), at most \(limit) is allowed") }
        return Int(value)
    }

    /// A signed integer whose sign is the lowest bit (zigzag).
    public mutating func signed() throws(FormatError) -> Int64 {
        let value = try varint()
        return Int64(value >> 1) ^ -Int64(value & 1)
    }
}

extension ByteWriter {
    /// Appends the shortest spelling of a value below 2^63.
    public mutating func varint(_ value: UInt64) {
        precondition(value >> 63 == 0, "a variable-length integer has 63 bits")
        var rest = value
        while rest >= 0x80 {
            u8(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        u8(UInt8(rest))
    }

    /// Appends a signed integer of at most 62 bits with its sign in the lowest bit.
    public mutating func signed(_ value: Int64) { varint(UInt64(bitPattern: (value << 1) ^ (value >> 63))) }
}
