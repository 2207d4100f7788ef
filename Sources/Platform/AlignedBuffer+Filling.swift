extension AlignedBuffer {
    /// Copies bytes to `offset`. They must not be this buffer's own.
    public func copy(_ source: RawSpan, to offset: Int) {
        precondition(offset >= 0 && source.byteCount <= capacity - offset)
        withMutableBytes { (bytes) in
            unsafe bytes.withUnsafeMutableBytes { memory in
                unsafe source.withUnsafeBytes { from in
                    let part = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[offset..<(offset + from.count)])
                    unsafe part.copyMemory(from: from)
                }
            }
        }
    }

    /// Sets the bytes from `start` up to `end` to a value.
    public func fill(_ value: UInt8, from start: Int, to end: Int) {
        precondition(start >= 0 && start <= end && end <= capacity)
        withMutableBytes { (bytes) in
            unsafe bytes.withUnsafeMutableBytes { memory in
                let part = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[start..<end])
                unsafe part.initializeMemory(as: UInt8.self, repeating: value)
            }
        }
    }

    /// Whether the first `count` bytes all have this value.
    public func consists(of value: UInt8, count: Int) -> Bool {
        precondition(count >= 0 && count <= capacity)
        return unsafe bytes.extracting(0..<count).withUnsafeBytes { memory in
            unsafe memory.allSatisfy { $0 == value }
        }
    }
}
