internal import BundleFormat
internal import Platform

/// Lays windows one behind the other; a window whose plain bytes are already there is only pointed to.
final class PayloadWriter {
    private let file: Descriptor
    private var placed: [Digest: WindowEntry] = [:]
    /// Bytes so far.
    private(set) var length: UInt64 = 0

    init(_ file: consuming Descriptor) { self.file = file }

    /// The entry for a window, storing its bytes if need be. `zero` is the digest of as many zero bytes.
    func place(
        _ slot: EncodingSlot, _ outcome: EncodingSlot.Outcome, zero: @autoclosure () -> Digest
    ) throws -> WindowEntry {
        switch outcome {
        case .failed(let error): throw error
        case .zero:
            let digest = zero()
            return WindowEntry(
                codec: .zero, plainDigest: digest, storedDigest: digest, storedOffset: 0, storedLength: 0)
        case .known(let plain):
            guard let entry = placed[plain] else {
                throw PackagingError.compression("a window that was said to be stored is not")
            }
            return entry
        case .stored(let plain):
            return try append(.stored, plain: plain, stored: plain, slot.plain, slot.count)
        case .zstd(let plain, let stored, let count):
            return try append(.zstd, plain: plain, stored: stored, slot.packed, count)
        }
    }

    private func append(
        _ codec: WindowCodec, plain: Digest, stored: Digest, _ buffer: AlignedBuffer, _ count: Int
    ) throws -> WindowEntry {
        // Two workers may have met the same window at the same time: the first in order counts.
        if let entry = placed[plain] { return entry }
        try file.write(buffer.bytes.extracting(0..<count), at: length)
        let entry = WindowEntry(
            codec: codec, plainDigest: plain, storedDigest: stored, storedOffset: length, storedLength: count)
        length += UInt64(count)
        placed[plain] = entry
        return entry
    }

    /// Adds bytes of another form behind what is there.
    func append(_ bytes: [UInt8]) throws {
        try file.write(bytes.rawBytes, at: length)
        length += UInt64(bytes.count)
    }

    /// Copies all of it to `target`.
    func copy(to target: borrowing Descriptor, at offset: UInt64) throws {
        try target.copy(from: file, count: length, to: offset)
    }
}
