internal import BundleFormat
public import Platform
public import Trust

/// Whether bytes that are on a medium are those of the release.
@frozen public enum WindowComparison: Sendable {
    /// They are: nothing has to be fetched or written.
    case holds
    /// They are not, or nobody can tell.
    case differs
}

extension VerifiedChunkTable {
    /// Compares `count` bytes read from a medium with the plain digest of a window.
    public func compare(_ buffer: AlignedBuffer, count: Int, index: Int) -> WindowComparison {
        let entry = table.windows[index]
        guard count == table.plainLength(of: index) else { return .differs }
        return SHA256.digest(of: buffer.bytes.extracting(0..<count)) == entry.plainDigest ? .holds : .differs
    }
}

/// A comparison of one window whose bytes come in pieces, in their order.
public struct PiecewiseComparison: ~Copyable {
    private var hash = SHA256()
    private let wanted: Digest
    /// Bytes that came so far, and that are still to come.
    public private(set) var seen = 0
    public private(set) var missing: Int

    init(wanted: Digest, length: Int) {
        self.wanted = wanted
        missing = length
    }

    /// Takes the next bytes; more than are missing make the comparison differ.
    public mutating func add(_ bytes: RawSpan) {
        hash.update(bytes)
        seen += bytes.byteCount
        missing -= bytes.byteCount
    }

    /// What came of it; anything but exactly the window differs.
    public consuming func finish() -> WindowComparison {
        hash.finish() == wanted && missing == 0 ? .holds : .differs
    }
}

extension VerifiedChunkTable {
    /// Begins to compare a window with what is on a medium.
    public func comparison(of index: Int) -> PiecewiseComparison {
        PiecewiseComparison(wanted: table.windows[index].plainDigest, length: table.plainLength(of: index))
    }
}
