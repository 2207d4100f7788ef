internal import BootControl
internal import BundleFormat
internal import Platform
internal import StrictJSON

/// Bytes of one cell, shared by all states that have them.
final class Content: @unchecked Sendable {
    let bytes: [UInt8]
    /// Its number in the pool, once it has one. Only the pool writes it, under its lock.
    fileprivate(set) var number: UInt32?

    init(_ bytes: [UInt8]) { self.bytes = bytes }
}

/// All contents by number, and what is the same for every decision.
///
/// Counters of bytes, the journal's sequence numbers and the record's revisions and parents grow for ever and decide
/// nothing but which of two copies is the newer: states that differ in nothing else are one state. That is what makes
/// the set of states finite.
final class ContentPool: @unchecked Sendable {
    /// What a content is to whoever reads it.
    struct Meaning {
        /// Equal for contents that lead to the same decisions.
        var canonical: UInt32
        /// Of two copies the one with the higher order counts.
        var order: UInt64 = 0
        var record: BootRecord?
        var copy: UInt8 = 0
    }

    private let monitor = Monitor()
    private var contents: [Content] = []
    private var meanings: [Meaning] = []
    private var numbers: [[UInt8]: UInt32] = [:]
    private var canonical: [String: UInt32] = [:]
    private var representatives: [String: UInt32] = [:]

    /// Nothing was ever written.
    static let nothing: UInt32 = 0
    /// A write that power cut in the middle: no digest over it holds.
    static let torn: UInt32 = 1

    init() {
        _ = number(of: Content([]))
        _ = number(of: Content(Array("torn".utf8)))
    }

    subscript(_ number: UInt32) -> Content { monitor.locked { contents[Int(number)] } }
    func meaning(_ number: UInt32) -> Meaning { monitor.locked { meanings[Int(number)] } }

    /// The number of a content; that of an earlier one where they decide alike.
    func number(of content: Content) -> UInt32 {
        monitor.locked {
            if let known = content.number { return known }
            let number = lookUp(content)
            content.number = number
            return number
        }
    }

    private func lookUp(_ content: Content) -> UInt32 {
        let bytes = content.bytes
        if bytes.count == BootRecord.Sector.byteCount, let sector = try? BootRecord.Sector(decoding: bytes) {
            var plain = sector.record
            plain.revision = 0
            let key = "record \(sector.copy) \(plain)"
            return representative(
                key, order: sector.record.revision, content, record: sector.record, copy: sector.copy)
        }
        if let (sequence, body) = JournalView.decode(bytes) {
            return representative("journal " + body, order: sequence, content)
        }
        if let known = numbers[bytes] { return known }
        let number = add(content, Meaning(canonical: UInt32(contents.count)))
        numbers[bytes] = number
        return number
    }

    private func representative(
        _ key: String, order: UInt64, _ content: Content, record: BootRecord? = nil, copy: UInt8 = 0
    ) -> UInt32 {
        let exact = "\(order) \(key)"
        if let known = representatives[exact] { return known }
        let meaning = canonical[key] ?? UInt32(contents.count)
        canonical[key] = meaning
        let number = add(content, Meaning(canonical: meaning, order: order, record: record, copy: copy))
        representatives[exact] = number
        return number
    }

    private func add(_ content: Content, _ meaning: Meaning) -> UInt32 {
        contents.append(content)
        meanings.append(meaning)
        return UInt32(contents.count - 1)
    }
}

/// A journal slot as bytes, read without the engine: what in it can decide something.
enum JournalView {
    /// Members that are only counted or told.
    private static let counters: Set<String> = ["counters", "cost", "timeFloor"]
    private static let magic: [UInt8] = Array("KEDGEJN1".utf8)

    /// Sequence number and canonical text of a whole slot; nil when it is none.
    static func decode(_ bytes: [UInt8]) -> (sequence: UInt64, body: String)? {
        guard let (sequence, value) = parse(bytes) else { return nil }
        return (sequence, stripped(value).compactText)
    }

    /// Sequence number and body of a whole slot.
    static func parse(_ bytes: [UInt8]) -> (sequence: UInt64, value: JSONValue)? {
        guard bytes.count > 56, Array(bytes[0..<8]) == magic else { return nil }
        var reader = ByteReader(bytes.rawBytes, what: "the journal")
        do {
            _ = try reader.array(8)
            let sequence = try reader.u64()
            let length = Int(try reader.u32())
            _ = try reader.u32()
            _ = try reader.digest()
            let body = try reader.array(length)
            return (sequence, try JSONValue.parse(body, limit: 1 << 20))
        } catch { return nil }
    }

    private static func stripped(_ value: JSONValue) -> JSONValue {
        switch value {
        case .object(let members):
            .object(
                members.filter { !counters.contains($0.name) }.map {
                    JSONMember(name: $0.name, value: stripped($0.value))
                })
        case .array(let elements): .array(elements.map(stripped))
        default: value
        }
    }
}
