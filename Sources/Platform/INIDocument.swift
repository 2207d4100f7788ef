internal import CInih

/// A configuration file as sections of entries, read strictly with inih: no duplicates, no entries outside a section.
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
        /// The text is not INI at this line (1-based).
        case syntax(line: Int)
        case duplicate(section: String, name: String)
        case outsideSection(name: String)
    }

    public private(set) var sections: [Section] = []

    /// Parses the text of a file.
    public init(parsing text: String) throws(Problem) {
        let collector = Collector()
        let context = unsafe Unmanaged.passUnretained(collector)
        let line = unsafe ini_parse_string(text, collectEntry, context.toOpaque())
        if let problem = collector.problem { throw problem }
        if line != 0 { throw .syntax(line: Int(line)) }
        sections = collector.sections
    }

    /// The section of that name.
    public func section(_ name: String) -> Section? { sections.first { $0.name == name } }
}

private final class Collector {
    var sections: [INIDocument.Section] = []
    var problem: INIDocument.Problem?

    func add(section: String, name: String, value: String) -> Bool {
        if section.isEmpty {
            problem = .outsideSection(name: name)
            return false
        }
        let entry = INIDocument.Entry(name: name, value: value)
        guard let index = sections.firstIndex(where: { $0.name == section }) else {
            sections.append(INIDocument.Section(name: section, entries: [entry]))
            return true
        }
        if sections[index].entries.contains(where: { $0.name == name }) {
            problem = .duplicate(section: section, name: name)
            return false
        }
        sections[index].entries.append(entry)
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
