internal import CInih

/// A configuration file as sections of entries, read strictly with inih: no duplicates, no entries outside a section,
/// no indented lines. A section without entries is kept, so that a misspelled one can be told.
public struct INIDocument: Equatable, Sendable {
    /// One `name = value`.
    public struct Entry: Equatable, Sendable {
        public let name: String
        public let value: String
    }
    /// One `[name]` with its entries in the order of the file.
    public struct Section: Equatable, Sendable {
        public let name: String
        public var entries: [Entry]
    }
    /// Why a file was refused.
    public enum Problem: Error, Equatable, Sendable {
        /// The text is not INI at this line (1-based), or the line is too long.
        case syntax(line: Int)
        case duplicate(section: String, name: String)
        /// The section is there twice.
        case duplicateSection(name: String)
        case outsideSection(name: String)
    }

    /// Most bytes of a line and of a section's name. inih cuts longer ones without a word, and reads the rest of a
    /// line as another entry (ini.h, INI_MAX_LINE; ini.c, MAX_SECTION).
    static let lineLimit = 197
    static let sectionLimit = 49
    private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

    public private(set) var sections: [Section] = []

    /// Parses the text of a file.
    public init(parsing text: String) throws(Problem) {
        let collector = Collector()
        for name in try Self.sectionNames(in: text) {
            collector.sections.append(Section(name: name, entries: []))
        }
        let context = unsafe Unmanaged.passUnretained(collector)
        let line = unsafe ini_parse_string(text, collectEntry, context.toOpaque())
        if let problem = collector.problem { throw problem }
        if line != 0 { throw .syntax(line: Int(line)) }
        sections = collector.sections
    }

    /// The section of that name.
    public func section(_ name: String) -> Section? { sections.first { $0.name == name } }

    /// Refuses what inih would misread, and finds the headings, of which inih does not tell.
    private static func sectionNames(in text: String) throws(Problem) -> [String] {
        var names: [String] = []
        var number = 0
        for line in text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false) {
            number += 1
            // A zero byte would end the C string, and everything behind it would be ignored.
            if line.count > lineLimit || line.contains(0) || line.starts(with: byteOrderMark) {
                throw .syntax(line: number)
            }
            guard let first = line.first(where: { !isSpace($0) }), first != 0x23, first != 0x3b else { continue }
            // inih takes an indented line for more of the value above, also when it looks like an entry.
            if isSpace(line[line.startIndex]) { throw .syntax(line: number) }
            guard first == 0x5b else { continue }
            guard let end = line.firstIndex(of: 0x5d) else { throw .syntax(line: number) }
            let name = line[line.index(after: line.startIndex)..<end]
            if name.isEmpty || name.count > sectionLimit || name.contains(0x3b) { throw .syntax(line: number) }
            let text = String(decoding: name, as: UTF8.self)
            if names.contains(text) { throw .duplicateSection(name: text) }
            names.append(text)
        }
        return names
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
}

private final class Collector {
    var sections: [INIDocument.Section] = []
    /// The first problem; inih goes on after an error.
    var problem: INIDocument.Problem?

    func add(section: String, name: String, value: String) -> Bool {
        if problem != nil { return false }
        guard let index = sections.firstIndex(where: { $0.name == section }) else {
            problem = .outsideSection(name: name)
            return false
        }
        if sections[index].entries.contains(where: { $0.name == name }) {
            problem = .duplicate(section: section, name: name)
            return false
        }
        sections[index].entries.append(INIDocument.Entry(name: name, value: value))
        return true
    }
}

/// inih's handler: 1 goes on, 0 is an error.
private func collectEntry(
    _ context: UnsafeMutableRawPointer?, _ section: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?,
    _ value: UnsafePointer<CChar>?
) -> Int32 {
    guard let context = unsafe context, let section = unsafe section, let name = unsafe name else { return 0 }
    let collector = unsafe Unmanaged<Collector>.fromOpaque(context).takeUnretainedValue()
    let text = unsafe value.map { unsafe String(cString: $0) } ?? ""
    return unsafe collector.add(section: String(cString: section), name: String(cString: name), value: text) ? 1 : 0
}
