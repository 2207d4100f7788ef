public import BundleFormat
public import Platform
public import Trust

/// Plain bytes of one window whose digest was just found right. Only this module makes one, and only one of
/// these can be written to a slot; it is gone after the write.
public struct VerifiedWindow: ~Copyable {
    /// Which component's image.
    public let component: Identifier
    /// Number of the window.
    public let index: Int
    /// Where it starts in the image, bytes.
    public let offset: UInt64
    /// Plain bytes.
    public let length: Int
    /// The memory that holds them; may be longer. Zero behind `length` up to the next multiple of 4096.
    public let buffer: AlignedBuffer

    init(component: Identifier, index: Int, offset: UInt64, length: Int, buffer: AlignedBuffer) {
        self.component = component
        self.index = index
        self.offset = offset
        self.length = length
        self.buffer = buffer
    }
}

extension VerifiedChunkTable {
    /// Takes bytes that came from anywhere as a window, if its plain digest says so. `buffer` holds at least the window
    /// rounded up to 4096 bytes.
    public func verify(_ buffer: AlignedBuffer, window: Int) -> DecodedWindow {
        let plain = table.plainLength(of: window)
        if compare(buffer, count: plain, index: window) == .differs { return .mismatch(window: window) }
        let padded = (plain + AlignedBuffer.alignment - 1) / AlignedBuffer.alignment * AlignedBuffer.alignment
        buffer.zero(from: plain, to: padded)
        return .verified(
            VerifiedWindow(
                component: component.id, index: window, offset: table.plainOffset(of: window), length: plain,
                buffer: buffer))
    }
}
