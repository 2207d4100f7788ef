import Platform
import Testing

@Suite("Links, trees and absolute paths")
struct FileSystemLinksTests {
    /// Runs `body` with a fresh directory.
    private static func inDirectory(_ body: (String) throws -> Void) throws {
        let temporary = ProcessInformation.environment("TMPDIR") ?? "/tmp"
        let path = try FileSystem.absolute("\(temporary)/kedge-links-\(randomUUID(from: SystemRandom()))")
        try FileSystem.makeDirectories(path)
        defer { try? FileSystem.removeTree(path) }
        try body(path)
    }

    @Test("A link gives back its target, and can be pointed elsewhere")
    func replaceLink() throws {
        try Self.inDirectory { (path: String) throws -> Void in
            try FileSystem.replaceLink(path + "/link", target: "/dev/loop7")
            #expect(try FileSystem.linkTarget(of: path + "/link") == "/dev/loop7")
            try FileSystem.replaceLink(path + "/link", target: "x")
            #expect(try FileSystem.linkTarget(of: path + "/link") == "x")
        }
    }

    @Test("What is no link has no target")
    func noTarget() throws {
        try Self.inDirectory { (path: String) throws -> Void in
            #expect(try FileSystem.linkTarget(of: path) == nil)
            #expect(try FileSystem.linkTarget(of: path + "/absent") == nil)
        }
    }

    @Test("A tree is removed without following the links in it")
    func removeTree() throws {
        try Self.inDirectory { (path: String) throws -> Void in
            try FileSystem.makeDirectories(path + "/tree/deep/deeper")
            try FileSystem.makeDirectories(path + "/kept")
            try FileSystem.replace(path + "/kept/file", with: [1])
            try FileSystem.replaceLink(path + "/tree/deep/link", target: path + "/kept")
            try FileSystem.removeTree(path + "/tree")
            #expect(try FileSystem.list(path) == ["kept"])
            #expect(try FileSystem.list(path + "/kept") == ["file"])
            try FileSystem.removeTree(path + "/absent")
        }
    }

    @Test(
        "Paths are made absolute as text",
        arguments: [("/a/./b//c/../d", "/a/b/d"), ("/..", "/"), ("/", "/"), ("/x/", "/x")])
    func absolute(path: String, whole: String) throws {
        #expect(try FileSystem.absolute(path) == whole)
    }

    @Test("A relative path starts at the working directory")
    func relative() throws {
        let current = try #require(try FileSystem.linkTarget(of: "/proc/self/cwd"))
        #expect(try FileSystem.absolute("a/../b") == (current == "/" ? "" : current) + "/b")
    }
}
