internal import BundleFormat
public import Platform
internal import Trust

/// Turns stored windows into verified plain windows. One thread uses one decoder.
///
/// Memory: one zstd context, about 160 KiB; windows are single frames decoded in one step, so zstd keeps no window
/// of its own.
public final class WindowDecoder: @unchecked Sendable {
    private let zstd: ZstdDecoder

    /// Makes the zstd context.
    public init() throws(PayloadError) { zstd = try ZstdDecoder() }

    /// Decodes a window and checks its plain digest.
    ///
    /// The plain bytes come to lie in `scratch`, or stay in the stored window's own buffer when nothing had to be
    /// decoded; the result's `buffer` tells. Either must hold the window rounded up to 4096 bytes.
    public func decode(
        _ stored: consuming StoredWindow, scratch: AlignedBuffer
    ) throws(PayloadError) -> VerifiedWindow {
        let table = stored.table
        let index = stored.index
        let entry = table.table.windows[index]
        let plain = table.table.plainLength(of: index)
        let padded = (plain + AlignedBuffer.alignment - 1) / AlignedBuffer.alignment * AlignedBuffer.alignment
        let target = entry.codec == .stored ? stored.buffer : scratch
        precondition(padded <= target.capacity, "a window buffer is too small")
        switch entry.codec {
        case .zero:
            target.zero(from: 0, to: plain)
        case .stored:
            // The stored digest is the plain digest (the chunk table's rule), and it was just checked.
            break
        case .zstd:
            let packed = stored.buffer
            let length = stored.length
            let why = zstd.decode(packed.bytes.extracting(0..<length), into: target, at: 0, count: plain)
            if let why { throw .undecodable(component: table.component.id, window: index, why: why) }
            if SHA256.digest(of: target.bytes.extracting(0..<plain)) != entry.plainDigest {
                throw .plainDigest(component: table.component.id, window: index)
            }
        }
        target.zero(from: plain, to: padded)
        return VerifiedWindow(
            component: table.component.id, index: index, offset: table.table.plainOffset(of: index), length: plain,
            buffer: target)
    }
}
