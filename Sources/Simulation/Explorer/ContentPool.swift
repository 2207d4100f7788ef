internal import BootControl
internal import BundleFormat
internal import Platform
internal import StrictJSON

/// Bytes of one cell, shared by all states that have them.
final class Content: @unchecked Sendable {
    private let place: WindowBytes.Place
    /// SHA-256 of the bytes where somebody made it already: of windows.
    let digest: Digest?
    /// Its number in the pool, once it has one. Only the pool writes it, under its lock.
    fileprivate(set) var number: UInt32?

    /// Read again each time where they lie in a file.
    var bytes: [UInt8] { place.bytes }

    init(_ bytes: [UInt8], digest: Digest? = nil) {
        place = .memory(bytes)
        self.digest = digest
    }
    init(_ window: WindowBytes) {
        place = window.place
        digest = window.digest
    }
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
        /// The same for contents that decide alike, in every process.
        let fingerprint: Digest
    }

    private let monitor = Monitor()
    private var contents: [Content] = []
    private var meanings: [Meaning] = []
    private var numbers: [Digest: UInt32] = [:]
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

    /// The window with that digest, if the pool has it.
    func known(_ digest: Digest) -> Content? { monitor.locked { numbers[digest].map { contents[Int($0)] } } }

    private func lookUp(_ content: Content) -> UInt32 {
        if let digest = content.digest { return number(of: content, digest) }
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
        return number(of: content, SHA256.digest(of: bytes))
    }

    private func number(of content: Content, _ digest: Digest) -> UInt32 {
        if let known = numbers[digest] { return known }
        let number = add(content, Meaning(canonical: UInt32(contents.count), fingerprint: digest))
        numbers[digest] = number
        return number
    }

    private func representative(
        _ key: String, order: UInt64, _ content: Content, record: BootRecord? = nil, copy: UInt8 = 0
    ) -> UInt32 {
        let exact = "\(order) \(key)"
        if let known = representatives[exact] { return known }
        let meaning = canonical[key] ?? UInt32(contents.count)
        canonical[key] = meaning
        let number = add(
            content,
            Meaning(
                canonical: meaning, order: order, record: record, copy: copy,
                fingerprint: SHA256.digest(of: Array(key.utf8))))
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
