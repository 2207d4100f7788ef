internal import BundleFormat
public import Platform
internal import StrictJSON

/// What the engine remembers besides the boot record: hints, results and the time floor. Nothing that decides what
/// boots is here; losing it costs a download, never a wrong claim.
public struct JournalState: Equatable, Sendable {
    /// The attempt in work, or the last one.
    public var attempt: Attempt?
    /// How the last attempts ended, newest last, at most `latchLimit`.
    public var results: [AttemptResult] = []
    /// The time is not before this (seconds since 1970); it never goes back.
    public var timeFloor: Int64 = 0
    /// Version of the trust root under which a release was last confirmed; 0 when that is not known.
    public var sequenceRoot: UInt32 = 0

    /// Results that are kept to answer redelivered requests.
    public static let latchLimit = 16

    /// Nothing remembered.
    public init() {}

    /// The result of an attempt id, if it ended.
    public func result(of attempt: String) -> AttemptResult? { results.last { $0.attempt == attempt } }

    /// Whether an attempt that ended came before the one in the boot record. Results stand in the order in which
    /// attempts ended; a boot record's attempt without a result ended last, unless its result was dropped already.
    func isOlder(_ attempt: String, than recorded: String) -> Bool {
        if attempt == recorded || recorded.isEmpty { return false }
        guard let own = results.lastIndex(where: { $0.attempt == attempt }) else { return false }
        guard let other = results.lastIndex(where: { $0.attempt == recorded }) else {
            return results.count < Self.latchLimit
        }
        return own < other
    }

    /// Notes how an attempt ended; the first result of an id stays.
    public mutating func latch(_ result: AttemptResult) {
        if self.result(of: result.attempt) != nil { return }
        results.append(result)
        if results.count > Self.latchLimit { results.removeFirst(results.count - Self.latchLimit) }
    }
}

/// The journal file: two slots, written in turn, each with a sequence number and a digest over it all, so that an
/// interrupted write leaves the former state.
public final class Journal {
    private let store: any StateStore
    private var sequence: UInt64 = 0
    private var newest = 1
    /// The state as last loaded or saved.
    public private(set) var state = JournalState()

    /// Bytes of one slot.
    public static let slotSize = 256 * 1024
    private static let magic: [UInt8] = Array("KEDGEJN1".utf8)
    private static let headLength = 8 + 8 + 4 + 4 + Digest.byteCount

    /// Reads the newest whole slot; a journal that is missing or damaged is an empty one.
    public init(_ store: any StateStore) throws(SystemError) {
        self.store = store
        for slot in 0..<2 {
            guard let bytes = try store.readJournal(slot: slot), let found = Self.decode(bytes) else { continue }
            if found.sequence > sequence {
                sequence = found.sequence
                newest = slot
                state = found.state
            }
        }
    }

    /// Writes the state to the older slot and makes it durable.
    public func save(_ state: JournalState) throws(Failure) {
        let bytes = try Self.encode(state, sequence: sequence + 1)
        let slot = 1 - newest
        try step { () throws(SystemError) in try store.writeJournal(slot: slot, bytes) }
        sequence += 1
        newest = slot
        self.state = state
    }

    private static func encode(_ state: JournalState, sequence: UInt64) throws(Failure) -> [UInt8] {
        let body = state.json.bytes
        if body.count + headLength > slotSize {
            throw Failure(EngineError.journal("its state has \(body.count) bytes"))
        }
        var writer = ByteWriter()
        writer.array(magic)
        writer.u64(sequence)
        writer.u32(UInt32(body.count))
        writer.u32(0)
        writer.digest(digest(sequence: sequence, body: body))
        writer.array(body)
        return writer.bytes
    }

    private static func digest(sequence: UInt64, body: [UInt8]) -> Digest {
        var writer = ByteWriter()
        writer.u64(sequence)
        writer.array(body)
        return SHA256.digest(of: writer.bytes)
    }

    private static func decode(_ bytes: [UInt8]) -> (sequence: UInt64, state: JournalState)? {
        do throws(FormatError) {
            var reader = ByteReader(bytes.rawBytes, what: "the journal")
            guard try reader.array(magic.count) == magic else { return nil }
            let sequence = try reader.u64()
            let length = try reader.u32()
            _ = try reader.u32()
            let digest = try reader.digest()
            guard Int(length) <= slotSize else { return nil }
            let body = try reader.array(Int(length))
            guard self.digest(sequence: sequence, body: body) == digest else { return nil }
            do throws(JSONError) {
                let state = try JournalState(json: try JSONValue.parse(body, limit: slotSize))
                return (sequence, state)
            } catch {
                return nil
            }
        } catch {
            return nil
        }
    }
}
