internal import Payload
internal import Platform

/// A fetched window with its stored digest proven, on its way to a worker.
final class StoredItem: @unchecked Sendable {
    let component: Int
    let buffer: AlignedBuffer
    private var window: StoredWindow?

    init(component: Int, window: consuming StoredWindow) {
        self.component = component
        buffer = window.buffer
        self.window = consume window
    }

    /// Hands the window over; nil the second time.
    func take() -> StoredWindow? { window.take() }
}
