import Testing

@testable import Platform

@Suite("INI documents")
struct INIDocumentTests {
    @Test("Sections and entries keep the order of the file")
    func order() throws {
        let text = "# first\n[b]\nz = 1\na: two words ; a comment\n\n  ; indented comment\n[a]\r\nk =\r\n"
        let document = try INIDocument(parsing: text)
        #expect(document.sections.map(\.name) == ["b", "a"])
        #expect(document.section("b")?.entries.map(\.name) == ["z", "a"])
        #expect(document.section("b")?.entries.map(\.value) == ["1", "two words"])
        #expect(document.section("a")?.entries == [.init(name: "k", value: "")])
    }

    @Test("A section without entries is there")
    func emptySection() throws {
        let document = try INIDocument(parsing: "[empty]\n[full]\nk = v\n")
        #expect(document.sections.map(\.name) == ["empty", "full"])
        #expect(document.section("empty")?.entries == [])
    }

    @Test("The same name twice in a section is refused")
    func duplicateEntry() {
        #expect(throws: INIDocument.Problem.duplicate(section: "s", name: "k")) {
            try INIDocument(parsing: "[s]\nk = 1\nother = 2\nk = 1\n")
        }
    }

    @Test("The first of two problems is told")
    func firstProblem() {
        #expect(throws: INIDocument.Problem.duplicate(section: "s", name: "k")) {
            try INIDocument(parsing: "[s]\nk = 1\nk = 2\nm = 1\nm = 2\n")
        }
    }

    @Test(
        "The same section twice is refused, next to each other or apart", arguments: ["[s]\n[s]\n", "[s]\n[t]\n[s]\n"])
    func duplicateSection(text: String) {
        #expect(throws: INIDocument.Problem.duplicateSection(name: "s")) { try INIDocument(parsing: text) }
    }

    @Test("An entry before the first section is refused")
    func outside() {
        #expect(throws: INIDocument.Problem.outsideSection(name: "k")) { try INIDocument(parsing: "k = 1\n[s]\n") }
    }

    @Test(
        "What inih would misread is refused with its line",
        arguments: [
            ("[s]\nno value\n", 2), ("[s\nk = 1\n", 1), ("[]\n", 1), ("[s]\nk = 1\n  more\n", 3), ("\n [s]\n", 2),
            ("[s]\nk = 1\u{0}\nz = 2\n", 2), ("\u{feff}[s]\n", 1), ("[s ;t]\n", 1),
        ])
    func misread(text: String, line: Int) {
        #expect(throws: INIDocument.Problem.syntax(line: line)) { try INIDocument(parsing: text) }
    }

    @Test("The longest line is read whole and one byte more is refused")
    func longLines() throws {
        let value = String(repeating: "v", count: INIDocument.lineLimit - 2)
        let document = try INIDocument(parsing: "[s]\nk=\(value)\nnext=1\n")
        #expect(document.section("s")?.entries == [.init(name: "k", value: value), .init(name: "next", value: "1")])
        #expect(throws: INIDocument.Problem.syntax(line: 2)) { try INIDocument(parsing: "[s]\nk=\(value)v\n") }
    }

    @Test("The longest section name is read whole and one byte more is refused")
    func longSections() throws {
        let name = String(repeating: "s", count: INIDocument.sectionLimit)
        #expect(try INIDocument(parsing: "[\(name)]\nk = 1\n").section(name)?.entries.count == 1)
        #expect(throws: INIDocument.Problem.syntax(line: 1)) { try INIDocument(parsing: "[\(name)s]\nk = 1\n") }
    }
}
