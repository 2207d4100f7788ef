internal import CDevice

/// Where text for people and machines goes.
public protocol TextSink: AnyObject, Sendable {
    /// Writes one line; the newline is added.
    func line(_ text: String)
}

/// Standard output or standard error, one line at a time and never interleaved.
public final class StandardStream: TextSink {
    private let raw: Int32
    private let monitor = Monitor()
    init(raw: Int32) { self.raw = raw }

    public static let output = StandardStream(raw: 1)
    public static let error = StandardStream(raw: 2)

    /// Whether a person watches.
    public var isTerminal: Bool { kedge_isatty(raw) == 1 }

    public func line(_ text: String) { write(text + "\n") }

    /// Writes text as it is (progress lines that are drawn again). A closed pipe is no error: the reader left.
    public func write(_ text: String) {
        let bytes = Array(text.utf8)
        monitor.locked { _ = appendAll(bytes.rawBytes, to: raw) }
    }
}

/// Lines from a descriptor, with a bound on their length.
public final class LineReader {
    private let raw: Int32
    private let limit: Int
    private var pending: [UInt8] = []
    private var ended = false
    /// The line at hand was too long: the rest of it is thrown away, also after a time-out in between.
    private var skipping = false

    /// Reads standard input.
    public convenience init(standardInputLimit limit: Int) { self.init(raw: 0, limit: limit) }

    init(raw: Int32, limit: Int) {
        self.raw = raw
        self.limit = limit
    }

    /// What came.
    public enum Event: Equatable, Sendable {
        case line(String)
        /// A line longer than the limit was thrown away.
        case tooLong
        case timedOut
        case end
    }

    /// The next line of at most `limit` bytes, waiting at most `milliseconds` for each piece of it (negative:
    /// without limit). A last line without a newline counts.
    public func next(milliseconds: Int32) throws(SystemError) -> Event {
        while true {
            if let newline = pending.firstIndex(of: 0x0a) {
                let tooLong = skipping || newline > limit
                let text = tooLong ? "" : String(decoding: pending[0..<newline], as: UTF8.self)
                pending.removeFirst(newline + 1)
                skipping = false
                return tooLong ? .tooLong : .line(text)
            }
            if pending.count > limit {
                pending.removeAll(keepingCapacity: true)
                skipping = true
            }
            if ended {
                let rest = String(decoding: pending, as: UTF8.self)
                pending.removeAll()
                if skipping {
                    skipping = false
                    return .tooLong
                }
                return rest.isEmpty ? .end : .line(rest)
            }
            if try checked(kedge_wait_readable(raw, milliseconds), "poll", "input") == 0 { return .timedOut }
            try fill()
        }
    }

    private func fill() throws(SystemError) {
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = unsafe chunk.withUnsafeMutableBytes { unsafe kedge_read(raw, $0.baseAddress, $0.count) }
        if count < 0 { throw SystemError(number: Int32(-count), operation: "read", subject: "input") }
        if count == 0 { ended = true }
        pending.append(contentsOf: chunk[0..<Int(count)])
    }
}
