internal import CDevice

/// A reusable block of memory aligned for O_DIRECT (4096 bytes).
///
/// A class and not a `~Copyable` struct: buffers wait in arrays between the pipeline's threads, and arrays cannot
/// hold non-copyable elements. Ownership passes by hand-over through a queue; nobody keeps a buffer after giving it
/// on.
@safe public final class AlignedBuffer: @unchecked Sendable {
    /// Capacity in bytes, a multiple of 4096.
    public let capacity: Int
    fileprivate let base: UnsafeMutableRawPointer

    /// The alignment of memory, offsets and counts that O_DIRECT needs on every common medium.
    public static let alignment = 4096

    /// Zeroed memory, rounded up to the alignment. It costs nothing until it is touched.
    public init(capacity: Int) throws(SystemError) {
        let rounded = (max(capacity, 1) + Self.alignment - 1) / Self.alignment * Self.alignment
        guard let base = unsafe kedge_pages_allocate(rounded) else {
            throw SystemError(number: 12, operation: "allocate", subject: "\(rounded) bytes")
        }
        self.capacity = rounded
        unsafe self.base = base
    }

    deinit { unsafe kedge_pages_free(base, capacity) }

    /// The whole memory for reading.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(base), byteCount: capacity)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// Lets `body` write the memory. Only the buffer's present holder may call it.
    public func withMutableBytes<Result: ~Copyable, E: Error>(
        _ body: (inout MutableRawSpan) throws(E) -> Result
    ) throws(E) -> Result {
        var span = unsafe MutableRawSpan(_unsafeStart: base, byteCount: capacity)
        return try body(&span)
    }

    /// Sets a range to zero.
    public func zero(from start: Int, to end: Int) {
        precondition(start >= 0 && start <= end && end <= capacity)
        unsafe (base + start).initializeMemory(as: UInt8.self, repeating: 0, count: end - start)
    }
}

/// memcmp without a C import in every caller.
private func compareBytes(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Bool {
    unsafe kedge_equal(a, b, count) == 1
}

extension AlignedBuffer {
    /// Copies bytes to `offset`; they must fit. Only the buffer's present holder may call it.
    public func copy(_ bytes: RawSpan, at offset: Int) {
        let count = bytes.byteCount
        precondition(offset >= 0 && offset + count <= capacity)
        withMutableBytes { memory in
            unsafe memory.withUnsafeMutableBytes { target in
                unsafe bytes.withUnsafeBytes { source in
                    let part = unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset..<(offset + count)])
                    unsafe part.copyMemory(from: source)
                }
            }
        }
    }

    /// Whether the first `count` bytes equal those of another buffer from `position` on.
    public func equals(_ other: AlignedBuffer, at position: Int = 0, count: Int) -> Bool {
        precondition(count >= 0 && count <= capacity && position >= 0 && count <= other.capacity - position)
        return unsafe compareBytes(base, other.base + position, count)
    }
}
