extension Descriptor {
    /// Reads up to `count` bytes at `offset` as an array; fewer only at the end of the file.
    public func readBytes(at offset: UInt64, count: Int) throws(SystemError) -> [UInt8] {
        let buffer = try AlignedBuffer(capacity: count)
        let done = try read(into: buffer, count: count, at: offset)
        return [UInt8](copying: buffer.bytes.extracting(0..<done))
    }

    /// Reads up to `count` bytes at `offset` to the start of `buffer`; fewer only at the end of the file. What
    /// stands behind them in the buffer is left as it is.
    public func read(into buffer: AlignedBuffer, count: Int, at offset: UInt64) throws(SystemError) -> Int {
        precondition(count >= 0 && count <= buffer.capacity)
        return try buffer.withMutableBytes { (bytes) throws(SystemError) -> Int in
            var part = bytes._mutatingExtracting(0..<count)
            return try read(into: &part, at: offset)
        }
    }

    /// Writes the first `count` bytes of `buffer` at `offset`.
    public func write(_ buffer: AlignedBuffer, count: Int, at offset: UInt64) throws(SystemError) {
        try write(buffer.bytes.extracting(0..<count), at: offset)
    }

    /// Writes `bytes` at `offset`, flushes, and gives back what the medium then holds there: a write that only the
    /// page cache took shows up as different bytes.
    public func writeThrough(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) -> [UInt8] {
        try write(bytes.rawBytes, at: offset)
        try flush()
        // The kernel forgets only whole pages (mm/fadvise.c), which have 64 KiB on some arm64 systems.
        let page: UInt64 = 65536
        let end = (offset + UInt64(bytes.count) + page - 1) / page * page
        try dropCache(at: offset / page * page, size: end - offset / page * page)
        return try readBytes(at: offset, count: bytes.count)
    }
}
