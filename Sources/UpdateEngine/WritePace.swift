internal import BundleFormat

/// How windows are brought to their slots. Devices take what was measured to be best; simulation takes less, so that
/// small images have several epochs, and one worker, so that every run writes in one order.
public struct WritePace: Equatable, Sendable {
    /// Image bytes after which a flush begins.
    public let flushBytes: Int
    /// No window is begun while so many image bytes are written and not flushed yet. At least `flushBytes`.
    public let holdBytes: Int
    /// Threads that decode, compare and write.
    public let workers: Int

    /// Numbers above 0.
    public init(flushBytes: Int, holdBytes: Int, workers: Int) {
        self.flushBytes = max(1, flushBytes)
        self.holdBytes = max(holdBytes, self.flushBytes)
        self.workers = max(1, workers)
    }

    /// What devices use.
    public static let device = WritePace(
        flushBytes: SlotWriter.flushBytes, holdBytes: SlotWriter.unflushedBytes - BundleLimits.window,
        workers: WindowWorkers.count)
}
