internal import Payload
internal import Platform
internal import Slots

/// An image in a slot, for a decoder that reads anywhere in it. One thread uses it.
///
/// Slots read whole blocks; what lies before and behind the wanted bytes is read along into memory of its own, and
/// where the image does not change meanwhile it serves the next read too: most are near the one before.
final class SlotImage: ImageReader {
    /// Whether what was read may be served again.
    enum Content {
        /// A slot that nobody writes.
        case still
        /// The target, behind whose reads windows are written.
        case growing
    }

    private let slot: any Slot
    private let content: Content
    private let block: AlignedBuffer
    private var start: UInt64 = 0
    private var count = 0

    private static let blockBytes = 128 * 1024
    /// Read at least, so that small ranges beside each other are one access to the medium.
    private static let leastBytes = 32 * 1024

    /// The slot must be open as long as this is used.
    init(_ slot: any Slot, _ content: Content) throws(Failure) {
        self.slot = slot
        self.content = content
        block = try step { () throws(SystemError) in try AlignedBuffer(capacity: Self.blockBytes) }
    }

    func read(
        at offset: UInt64, count wanted: Int, into buffer: AlignedBuffer, at place: Int
    ) throws(SystemError) -> Int {
        let block = self.block
        var done = 0
        while done < wanted {
            let position = offset + UInt64(done)
            if !(start..<(start + UInt64(count))).contains(position) || (content == .growing && done == 0) {
                try load(position, wanted - done)
            }
            let skipped = Int(position - start)
            let part = min(count - skipped, wanted - done)
            if part <= 0 { break }
            buffer.copy(block.bytes.extracting(skipped..<(skipped + part)), at: place + done)
            done += part
        }
        return done
    }

    /// Reads the block that has `position`, with as much as is wanted behind it and fits.
    private func load(_ position: UInt64, _ wanted: Int) throws(SystemError) {
        let aligned = position - position % UInt64(AlignedBuffer.alignment)
        let needed = Int(position - aligned) + wanted
        let least = content == .still ? Self.leastBytes : 0
        let whole = (needed + AlignedBuffer.alignment - 1) / AlignedBuffer.alignment * AlignedBuffer.alignment
        count = 0
        do throws(SlotError) {
            count = try slot.read(at: aligned, count: min(max(whole, least), block.capacity), into: block)
        } catch {
            if case .system(_, let error) = error { throw error }
            throw SystemError(number: SystemError.inputOutput, operation: "read", subject: slot.displayName)
        }
        start = aligned
    }
}
