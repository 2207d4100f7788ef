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

    /// Takes a number of bytes: digits, and K, M or G for powers of 1024.
    mutating func bytes(
        _ section: String, _ key: String, _ range: ClosedRange<UInt64>, default fallback: UInt64
    ) throws(ServiceError) -> UInt64 {
        guard let text = optional(section, key) else { return fallback }
        var digits = Array(text.utf8)
        var factor: UInt64 = 1
        for (letter, size) in [(0x4b, 1 << 10), (0x4d, 1 << 20), (0x47, 1 << 30)] as [(UInt8, UInt64)]
        where digits.last == letter {
            factor = size
            digits.removeLast()
        }
        let number =
            digits.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(String(decoding: digits, as: UTF8.self)) : nil
        let (value, isTooLarge) = (number ?? 0).multipliedReportingOverflow(by: factor)
        guard number != nil, !isTooLarge, range.contains(value) else {
            throw problem("[\(section)] \(key) = \(text) must be \(range.lowerBound) to \(range.upperBound) bytes")
        }
        return value
    }

    /// Takes yes or no.
    mutating func flag(_ section: String, _ key: String, default fallback: Bool) throws(ServiceError) -> Bool {
        switch optional(section, key) {
        case nil: return fallback
        case "yes": return true
        case "no": return false
        case let text?: throw problem("[\(section)] \(key) = \(text) must be yes or no")
        }
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
