/// Where a bundle's bytes come from. The identity of the bundle is its manifest, never the place.
///
/// One thread uses a source at a time; `cancel()` may come from any thread.
public protocol BundleSource: AnyObject, Sendable {
    /// The place for messages: no credentials and no query string.
    var displayName: String { get }

    /// Bytes of the whole bundle; nil until the first read told it.
    var totalLength: UInt64? { get }

    /// Body bytes taken from the source since it was made, wasted ones included.
    var bytesReceived: UInt64 { get }

    /// Delivers exactly the bytes of `range`, in order and each once, in pieces of any size; goes on behind the last
    /// delivered byte after a broken connection. `deliver` may block (that is the back-pressure); what it throws
    /// ends the read and is thrown on.
    ///
    /// An empty range delivers nothing. A range behind the end is `TransferError.outOfRange`.
    func read(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError)

    /// Reads what there is of `range`, which may reach behind the end: how a device asks for a bundle's head
    /// before it knows how long the bundle is.
    func readAvailable(
        _ range: Range<UInt64>, deliver: (RawSpan) throws(TransferError) -> Void
    ) throws(TransferError)

    /// What will be read after the next read. A source may ask for it while the read before still flows, so that a
    /// link with latency does not stand still between them; it costs memory of the kernel only.
    func announce(_ range: Range<UInt64>)

    /// The bytes that came of `range` are not the bundle's: a digest that the signed manifest covers says so. Where
    /// the next read asks for them. Between two reads, by the reading thread.
    func reject(_ range: Range<UInt64>) -> SecondChance

    /// How long the place asked to be left alone with its last answer (Retry-After); 0 when it did not.
    var askedRestNanoseconds: UInt64 { get }

    /// Whether bytes can be had only once and in rising order (a pipe).
    var isSequential: Bool { get }

    /// Whether the bytes lie on this device: they cost no network, and reading more of them hardly costs time.
    var isLocal: Bool { get }

    /// Ends a running read, and every later one, with `TransferError.canceled`.
    func cancel()
}

/// Where bytes are asked for after others came in their place.
public enum SecondChance: Equatable, Sendable {
    /// At a place that did not give them yet.
    case elsewhere
    /// At the same place, after a rest, and past the caches between.
    case afresh
    /// At the same place, where nothing is different.
    case nowhereElse
}

extension BundleSource {
    /// One place only, elsewhere, which asks for no rest, can be read in any order, and is not read ahead.
    public func announce(_ range: Range<UInt64>) {}
    public func reject(_ range: Range<UInt64>) -> SecondChance { .nowhereElse }
    public var askedRestNanoseconds: UInt64 { 0 }
    public var isSequential: Bool { false }
    public var isLocal: Bool { false }
}
