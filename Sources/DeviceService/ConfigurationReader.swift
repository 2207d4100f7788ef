internal import Platform

/// Takes sections of an INI file apart key by key; what nobody asked for is an error.
struct ConfigurationReader {
    private let path: String
    private var sections: [INIDocument.Section]

    init(path: String) throws(ServiceError) {
        self.path = path
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try FileSystem.read(path, limit: 256 * 1024)
        } catch {
            if error.number == SystemError.notFound { throw .configurationMissing(path: path) }
            throw .configuration(path: path, why: error.context)
        }
        do throws(INIDocument.Problem) {
            sections = try INIDocument(parsing: String(decoding: bytes, as: UTF8.self)).sections
        } catch {
            switch error {
            case .syntax(let line): throw .configurationSyntax(path: path, line: line)
            case .duplicate(let section, let name):
                throw .configuration(path: path, why: "[\(section)] has \(name) twice")
            case .duplicateSection(let name): throw .configuration(path: path, why: "[\(name)] is there twice")
            case .outsideSection(let name): throw .configuration(path: path, why: "\(name) stands before any section")
            }
        }
    }

    /// Names of the sections that are left.
    var sectionNames: [String] { sections.map { $0.name } }

    /// An error about this file.
    func problem(_ why: String) -> ServiceError { .configuration(path: path, why: why) }

    /// Takes a key; nil when it is absent.
    mutating func optional(_ section: String, _ key: String) -> String? {
        guard let index = sections.firstIndex(where: { $0.name == section }),
            let entry = sections[index].entries.firstIndex(where: { $0.name == key })
        else { return nil }
        return sections[index].entries.remove(at: entry).value
    }

    /// Takes a key that must be there and not empty.
    mutating func required(_ section: String, _ key: String) throws(ServiceError) -> String {
        guard let value = optional(section, key), !value.isEmpty else {
            throw problem("[\(section)] needs \(key)")
        }
        return value
    }

    /// Takes a whole number within a range.
    mutating func number(
        _ section: String, _ key: String, _ range: ClosedRange<UInt64>, default fallback: UInt64?
    ) throws(ServiceError) -> UInt64 {
        guard let text = optional(section, key) else {
            if let fallback { return fallback }
            throw problem("[\(section)] needs \(key)")
        }
        let isPlain = text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isPlain, let value = UInt64(text), range.contains(value) else {
            throw problem("[\(section)] \(key) = \(text) must be \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// Refuses what was not taken.
    func finish(known: [String]) throws(ServiceError) {
        for section in sections {
            let isKnown = known.contains(section.name) || section.name.utf8.starts(with: "slot ".utf8)
            if !isKnown { throw problem("[\(section.name)] is no known section") }
            if let entry = section.entries.first {
                throw problem("[\(section.name)] has the unknown key \(entry.name)")
            }
        }
    }
}
