public import BundleFormat
internal import Platform

/// The variables of a U-Boot environment, in the format that U-Boot and Linux's libubootenv share.
///
///     single:     CRC-32 little-endian u32 | variables
///     redundant:  CRC-32 little-endian u32 | flags u8 | variables
///
/// Variables are `name=value`, each ended by a zero byte, the list ended by an empty one; what follows is padding
/// (mkenvimage fills with 0xff, U-Boot with zeros). The CRC covers variables and padding, not the flags (include/
/// env_internal.h, struct environment_s). Order, unknown variables and bytes that are no UTF-8 are kept as they are.
public struct UBootEnvironment: Equatable, Sendable {
    /// How the copies are kept.
    public enum Layout: Sendable {
        /// One copy: a power cut while U-Boot or Linux writes it loses all variables. Only for looking at.
        case single
        /// Two copies with a flags byte that counts up.
        case redundant

        var headerSize: Int { self == .single ? 4 : 5 }
    }

    /// `name=value` as bytes, in their order.
    private var entries: [[UInt8]] = []
    private static let what = "a U-Boot environment"

    /// No variables.
    public init() {}

    /// Reads one copy; `flags` is 0 in the single layout. Wrong CRC: `FormatError.digestMismatch`.
    public static func decode(
        _ bytes: [UInt8], _ layout: Layout
    ) throws(FormatError) -> (environment: UBootEnvironment, flags: UInt8) {
        let header = layout.headerSize
        guard bytes.count > header else {
            throw .truncated(what: what, needed: UInt64(header + 1), present: UInt64(bytes.count))
        }
        var reader = ByteReader(bytes.rawBytes, what: what)
        let expected = try reader.u32()
        if CRC32.checksum(of: bytes[header...]) != expected { throw .digestMismatch(what: what) }
        var environment = UBootEnvironment()
        var start = header
        while start < bytes.count && bytes[start] != 0 {
            guard let end = bytes[start...].firstIndex(of: 0) else {
                throw .malformed(what: what, "the last variable has no end")
            }
            environment.entries.append(Array(bytes[start..<end]))
            start = end + 1
        }
        return (environment, layout == .redundant ? bytes[4] : 0)
    }

    /// Exactly `size` bytes; more variables than fit are `FormatError.tooLarge`.
    public func encoded(size: Int, _ layout: Layout, flags: UInt8 = 0) throws(FormatError) -> [UInt8] {
        let header = layout.headerSize
        var data: [UInt8] = []
        for entry in entries {
            data.append(contentsOf: entry)
            data.append(0)
        }
        data.append(0)
        if header + data.count > size {
            throw .tooLarge(what: Self.what, size: UInt64(header + data.count), limit: UInt64(size))
        }
        data.append(contentsOf: [UInt8](repeating: 0, count: size - header - data.count))
        var out = ByteWriter()
        out.u32(CRC32.checksum(of: data[...]))
        if layout == .redundant { out.u8(flags) }
        out.array(data)
        return out.bytes
    }

    /// Whether a text can be a variable's name: not empty, no `=`, no zero byte.
    public static func accepts(name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { $0 != 0x3d && $0 != 0 }
    }

    /// Whether a text can be a value: not empty (U-Boot deletes such a variable when it imports it), no zero byte.
    public static func accepts(value: String) -> Bool { !value.isEmpty && value.utf8.allSatisfy { $0 != 0 } }

    /// The names, in their order.
    public var names: [String] {
        entries.map { String(decoding: $0.prefix { $0 != 0x3d }, as: UTF8.self) }
    }

    /// A variable's value, nil when there is none; of several the last one counts, as when U-Boot imports them.
    public subscript(_ name: String) -> String? {
        guard let index = entries.lastIndex(where: { Self.isEntry($0, of: name) }) else { return nil }
        return String(decoding: entries[index][(name.utf8.count + 1)...], as: UTF8.self)
    }

    /// Sets a variable at its present place, or at the end; nil removes it. A name or value that no environment can
    /// hold is `FormatError.malformed`.
    public mutating func set(_ name: String, to value: String?) throws(FormatError) {
        guard Self.accepts(name: name) else { throw .malformed(what: Self.what, "\(name) cannot be a name") }
        guard let value else {
            entries.removeAll { Self.isEntry($0, of: name) }
            return
        }
        guard Self.accepts(value: value) else { throw .malformed(what: Self.what, "\(name) cannot have this value") }
        let entry = Array("\(name)=\(value)".utf8)
        guard let index = entries.firstIndex(where: { Self.isEntry($0, of: name) }) else {
            entries.append(entry)
            return
        }
        entries[index] = entry
        var seen = 0
        entries.removeAll { other in
            guard Self.isEntry(other, of: name) else { return false }
            seen += 1
            return seen > 1
        }
    }

    private static func isEntry(_ entry: [UInt8], of name: String) -> Bool {
        let text = name.utf8
        return entry.count > text.count && entry[text.count] == 0x3d && entry.starts(with: text)
    }

    /// Which of two whole copies U-Boot takes (env/common.c, env_check_redund): the larger flags byte, except that 0
    /// is newer than 255; the first one when they are equal. 0 or 1.
    public static func newer(flags first: UInt8, _ second: UInt8) -> Int {
        if first == 255 && second == 0 { return 1 }
        if first == 0 && second == 255 { return 0 }
        return second > first ? 1 : 0
    }
}
