import Glibc
import Platform
import Testing

@Suite("Whole-path operations")
struct FileSystemTests {
    let directory: TemporaryDirectory
    let path: String

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.file("f")
    }

    @Test("replace makes a file with the bytes and the mode, and leaves nothing beside it")
    func replaceNew() throws {
        try FileSystem.replace(path, with: [1, 2, 3], mode: 0o600)
        #expect(try FileSystem.read(path, limit: 10) == [1, 2, 3])
        #expect(try FileSystem.mode(of: path) == 0o600)
        #expect(try directory.names() == ["f"])
    }

    @Test("replace gives a new file: who has the old one open keeps the old bytes")
    func replaceOpen() throws {
        try FileSystem.replace(path, with: [1, 1, 1, 1])
        let before = try Descriptor(open: path, [.read])
        try FileSystem.replace(path, with: [2])
        #expect(try before.size() == 4)
        #expect(try FileSystem.read(path, limit: 10) == [2])
    }

    @Test("replace gets over what an interrupted one left behind")
    func replaceAfterInterruption() throws {
        try FileSystem.replace(path + ".new", with: [9, 9, 9])
        try FileSystem.replace(path, with: [1])
        #expect(try FileSystem.read(path, limit: 10) == [1])
        #expect(try directory.names() == ["f"])
    }

    @Test("replace does not write through a symbolic link in the place of its temporary file")
    func replaceSymbolicLink() throws {
        let victim = directory.file("victim")
        try FileSystem.replace(victim, with: [7])
        #expect(symlink(victim, path + ".new") == 0)
        try FileSystem.replace(path, with: [1])
        #expect(try FileSystem.read(victim, limit: 10) == [7])
    }

    @Test("A replace that fails leaves the old thing and no temporary file")
    func replaceFails() throws {
        try FileSystem.makeDirectories(path)
        let error = #expect(throws: SystemError.self) { try FileSystem.replace(path, with: [1]) }
        #expect(error?.operation == "rename")
        #expect(try FileSystem.kind(of: path) == .directory)
        #expect(try directory.names() == ["f"])
    }

    @Test("read gives up to the limit and refuses one byte more")
    func readLimit() throws {
        try FileSystem.replace(path, with: [UInt8](repeating: 5, count: 100_000))
        #expect(try FileSystem.read(path, limit: 100_000).count == 100_000)
        let error = #expect(throws: SystemError.self) { try FileSystem.read(path, limit: 99_999) }
        #expect(error?.number == EFBIG)
    }

    @Test("read gives the files of /proc, whose size is said to be 0")
    func readProc() throws {
        #expect(try FileSystem.read("/proc/self/status", limit: 65536).starts(with: Array("Name:".utf8)))
    }

    @Test("What is not there has no kind, can be removed, and cannot be read")
    func absent() throws {
        #expect(try FileSystem.kind(of: path) == nil)
        #expect(try FileSystem.kind(of: "/dev/null/x") == nil)
        try FileSystem.remove(path)
        let error = #expect(throws: SystemError.self) { try FileSystem.read(path, limit: 1) }
        #expect(error?.code == "storage.not-found")
    }

    @Test("makeDirectories makes all of a path, again without an error, and not over a file")
    func makeDirectories() throws {
        try FileSystem.makeDirectories(directory.file("a/b/c/"))
        try FileSystem.makeDirectories(directory.file("a/b/c"))
        #expect(try FileSystem.kind(of: directory.file("a/b/c")) == .directory)
        try FileSystem.replace(path, with: [])
        #expect(throws: SystemError.self) { try FileSystem.makeDirectories(path + "/below") }
    }

    @Test("list gives names sorted by their bytes")
    func list() throws {
        for name in ["b", "a", "Z", ".hidden", "\u{e9}"] { try FileSystem.replace(directory.file(name), with: []) }
        #expect(try directory.names() == [".hidden", "Z", "a", "b", "\u{e9}"])
    }

    @Test(
        "The directory part of a path",
        arguments: [
            ("/a/b", "/a"), ("b", "."), ("/a", "/"), ("/", "/"), ("a/b/", "a"), ("a//b", "a"), ("//a", "/"), ("", "."),
        ])
    func parent(of path: String, is expected: String) {
        #expect(FileSystem.parent(of: path) == expected)
    }
}
