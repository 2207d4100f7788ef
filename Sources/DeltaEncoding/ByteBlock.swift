internal import Foundation
public import Platform

/// Bytes that stay where they are while a delta is made: a file mapped into memory, or memory of its own.
///
/// Images are mapped and not read, so that the encoder's memory does not grow with them: the kernel takes their pages
/// back when it needs them.
@safe public final class ByteBlock: @unchecked Sendable {
    fileprivate let base: UnsafeMutableRawPointer
    private let isMapped: Bool
    /// Bytes.
    public let count: Int

    /// Zeroed memory.
    public init(count: Int) {
        self.count = count
        isMapped = false
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
        unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: max(count, 1))
    }

    /// A copy of these bytes.
    public convenience init(_ bytes: [UInt8]) {
        self.init(count: bytes.count)
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            unsafe base.copyMemory(from: start, byteCount: source.count)
        }
    }

    /// The first `size` bytes of an open file or block device, which must not shrink as long as the block lives.
    public init(mapping file: borrowing Descriptor, size: UInt64) throws(SystemError) {
        guard size > 0, size <= UInt64(Int.max),
            let memory = unsafe mmap(nil, Int(size), PROT_READ, MAP_SHARED, file.number, 0),
            unsafe memory != MAP_FAILED
        else { throw SystemError(number: errno, operation: "mmap", subject: file.path) }
        unsafe base = memory
        count = Int(size)
        isMapped = true
    }

    deinit {
        if isMapped { unsafe munmap(base, count) } else { unsafe base.deallocate() }
    }

    /// The bytes for reading; valid as long as the block lives.
    public var view: ByteView { unsafe ByteView(base: UnsafeRawPointer(base), count: count) }

    /// Lets `body` write the bytes.
    func withMutableBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws -> Result) rethrows -> Result {
        try unsafe body(UnsafeMutableRawBufferPointer(start: base, count: count))
    }
}

/// Checked access to bytes whose owner somebody holds (a `ByteBlock`): it is what the inner loops work on, without
/// reference counting. Every access is checked against the end.
@safe public struct ByteView: @unchecked Sendable {
    private let base: UnsafeRawPointer
    public let count: Int

    init(base: UnsafeRawPointer, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    @inline(__always) public subscript(_ index: Int) -> UInt8 {
        precondition(index >= 0 && index < count)
        return unsafe base.load(fromByteOffset: index, as: UInt8.self)
    }

    /// Eight bytes, the first one lowest.
    @inline(__always) func word(_ index: Int) -> UInt64 {
        precondition(index >= 0 && index <= count - 8)
        return UInt64(littleEndian: unsafe base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
    }

    /// A part of it.
    public subscript(_ range: Range<Int>) -> ByteView {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return unsafe ByteView(base: base + range.lowerBound, count: range.count)
    }

    /// The bytes as a buffer, for C.
    var buffer: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: base, count: count) }

    /// A copy.
    public var array: [UInt8] { unsafe [UInt8](buffer) }

    /// Lets `body` see the bytes as a span.
    public func withSpan<Result>(_ body: (RawSpan) throws -> Result) rethrows -> Result {
        try body(unsafe RawSpan(_unsafeBytes: buffer))
    }

    /// How many bytes from `index` on equal those of `other` from `place` on, at most `limit`.
    @inline(__always) func common(_ index: Int, _ other: ByteView, _ place: Int, limit: Int) -> Int {
        let most = min(limit, count - index, other.count - place)
        var length = 0
        while length + 8 <= most {
            let difference = word(index + length) ^ other.word(place + length)
            if difference != 0 { return length + difference.trailingZeroBitCount / 8 }
            length += 8
        }
        while length < most, self[index + length] == other[place + length] { length += 1 }
        return length
    }

    /// How many bytes before `index` equal those of `other` before `place`, at most `limit`.
    func commonBefore(_ index: Int, _ other: ByteView, _ place: Int, limit: Int) -> Int {
        let most = min(limit, index, other.count < place ? 0 : place)
        var length = 0
        while length < most, self[index - length - 1] == other[place - length - 1] { length += 1 }
        return length
    }
}

/// Where the bytes of the delta's address space are: the base first, then the image itself.
struct AddressSpace: Sendable {
    let base: ByteView?
    let image: ByteView

    var baseSize: Int { base?.count ?? 0 }

    /// The view that an address lies in, and where in it.
    @inline(__always) func locate(_ address: Int) -> (view: ByteView, place: Int) {
        if let base, address < base.count { return (base, address) }
        return (image, address - baseSize)
    }
}
