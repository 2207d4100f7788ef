public import BundleFormat

/// The variables of one GRUB environment block, byte for byte (grub-core/lib/envblk.c): the line
/// `# GRUB Environment Block`, then `name=value` lines, then `#` up to the end. A backslash and a line feed in a
/// value have a backslash before them; lines that start with `#` are comments and are not kept.
///
/// A block has no checksum. Kedge puts the same count into its first and last variable (see `ScriptBlocksHome`).
public struct GRUBEnvironment: Equatable, Sendable {
    private var entries: [(name: String, value: String)] = []
    private static let what = "a GRUB environment block"
    private static let signature = Array("# GRUB Environment Block\n".utf8)

    /// No variables.
    public init() {}

    public static func == (a: GRUBEnvironment, b: GRUBEnvironment) -> Bool {
        a.entries.count == b.entries.count
            && zip(a.entries, b.entries).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    }

    /// Reads one block. What does not start with the signature, or has a line that is no variable, is
    /// `FormatError.malformed`.
    public init(decoding bytes: [UInt8]) throws(FormatError) {
        guard bytes.starts(with: Self.signature) else {
            throw .malformed(what: Self.what, "does not start with its signature")
        }
        var index = Self.signature.count
        while index < bytes.count {
            if bytes[index] == 0x23 {
                while index < bytes.count && bytes[index] != 0x0a { index += 1 }
                index += 1
                continue
            }
            let line = try Self.line(in: bytes, from: &index)
            guard let equals = line.firstIndex(of: 0x3d), equals > 0 else {
                throw .malformed(what: Self.what, "a line is no variable")
            }
            try set(
                String(decoding: line[..<equals], as: UTF8.self),
                to: String(decoding: line[(equals + 1)...], as: UTF8.self))
        }
    }

    /// One line without its end and its escapes.
    private static func line(in bytes: [UInt8], from index: inout Int) throws(FormatError) -> [UInt8] {
        var line: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == 0x0a { return line }
            if byte == 0x5c {
                if index < bytes.count { line.append(bytes[index]) }
                index += 1
            } else {
                line.append(byte)
            }
        }
        throw .malformed(what: what, "the last line has no end")
    }

    /// Exactly `size` bytes; more variables than fit are `FormatError.tooLarge`.
    public func encoded(size: Int) throws(FormatError) -> [UInt8] {
        var out = Self.signature
        for entry in entries {
            out.append(contentsOf: entry.name.utf8)
            out.append(0x3d)
            for byte in entry.value.utf8 {
                if byte == 0x5c || byte == 0x0a { out.append(0x5c) }
                out.append(byte)
            }
            out.append(0x0a)
        }
        if out.count > size { throw .tooLarge(what: Self.what, size: UInt64(out.count), limit: UInt64(size)) }
        return out + [UInt8](repeating: 0x23, count: size - out.count)
    }

    /// The names, in their order.
    public var names: [String] { entries.map { $0.name } }

    /// A variable's value; nil when there is none.
    public subscript(_ name: String) -> String? { entries.last { $0.name == name }?.value }

    /// Sets a variable at its present place, or at the end; nil removes it. A name that no block can hold is
    /// `FormatError.malformed`.
    public mutating func set(_ name: String, to value: String?) throws(FormatError) {
        guard !name.isEmpty, name.utf8.allSatisfy({ $0 != 0x3d && $0 != 0x0a && $0 != 0x23 && $0 != 0x5c }) else {
            throw .malformed(what: Self.what, "\(name) cannot be a name")
        }
        guard let value else { return entries.removeAll { $0.name == name } }
        if let index = entries.firstIndex(where: { $0.name == name }) {
            entries[index].value = value
        } else {
            entries.append((name: name, value: value))
        }
    }

    /// Puts a variable without a value before another one.
    mutating func setEmpty(_ name: String, before other: String) throws(FormatError) {
        try set(name, to: nil)
        entries.insert((name: name, value: ""), at: entries.firstIndex { $0.name == other } ?? entries.count)
    }
}
