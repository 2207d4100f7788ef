/// What the device's owner allows an attempt to fetch: `[delta]` in device.ini.
public struct DownloadPolicy: Equatable, Sendable {
    /// When an image may come in another form than its windows.
    public enum Use: String, Sendable, CaseIterable {
        /// Over a network, where it is fewer bytes.
        case auto
        /// From local places too: windows would be faster there, but this is what a network would be given.
        case always
        case never
    }
    /// Whether an image may be fetched in full where no delta applies, or a window of it where the delta does not hold.
    public enum Full: String, Sendable, CaseIterable {
        case allow
        /// Only deltas, from local places too: without a base that the bundle knows the attempt is refused before
        /// anything is written.
        case never
    }
    public var use: Use
    public var full: Full
    /// Bytes that one attempt may take over a network, all its processes together; nil: as many as it needs.
    public var mostBytes: UInt64?

    /// Everything is allowed unless said otherwise.
    public init(use: Use = .auto, full: Full = .allow, mostBytes: UInt64? = nil) {
        self.use = use
        self.full = full
        self.mostBytes = mostBytes
    }
}
