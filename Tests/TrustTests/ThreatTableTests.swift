import Foundation
import Platform
import Testing

@Suite("The threat table")
struct ThreatTableTests {
    private static let tests = FileSystem.parent(of: FileSystem.parent(of: #filePath))

    /// The names in the third column.
    private func names() throws -> [String] {
        let path = FileSystem.parent(of: Self.tests) + "/Sources/Trust/Trust.docc/Threats.md"
        let page = String(decoding: try FileSystem.read(path, limit: 1 << 20), as: UTF8.self)
        return page.split(separator: "\n").compactMap { line in
            let cells = line.components(separatedBy: " | ")
            guard line.hasPrefix("| "), cells.count == 3, cells[2].hasPrefix("\""), cells[2].hasSuffix("\" |") else {
                return nil
            }
            return String(cells[2].dropFirst().dropLast(3))
        }
    }

    @Test("Every test that it names is there, and every row names one")
    func named() throws {
        var sources = ""
        for target in try FileSystem.list(Self.tests) {
            for name in try FileSystem.list("\(Self.tests)/\(target)") where name.hasSuffix(".swift") {
                sources += String(
                    decoding: try FileSystem.read("\(Self.tests)/\(target)/\(name)", limit: 1 << 20), as: UTF8.self)
            }
        }
        let names = try names()
        for name in names { #expect(sources.contains("\"\(name)\""), "\(name)") }
        #expect(names.count == 36)
    }
}
