import Foundation
import Platform
import Testing

@Suite("kedge: usage")
struct KedgeUsageTests {
    private let directory: CommandDirectory
    private let kedge: BuiltCommand

    init() throws {
        directory = try CommandDirectory()
        kedge = try BuiltCommand("kedge")
    }

    static let helps: [(command: [String], words: [String])] = [
        ([], ["--version", "keys", "trust", "init", "build", "sign", "inspect", "verify", "extract", "Exit status"]),
        (["keys"], ["new", "root", "show"]),
        (["keys", "new"], ["--role", "--environment", "--encrypt", "--passphrase-file", "KEDGE_PASSPHRASE"]),
        (["keys", "root"], ["--root", "--release", "--root-threshold", "--release-threshold", "--key", "--output"]),
        (["keys", "show"], ["<file>"]),
        (
            ["trust"],
            [
                "init", "add-key", "remove-key", "rotate", "revoke", "set-threshold", "deny", "set-floor", "sign",
                "verify", "show",
            ]
        ),
        (["trust", "rotate"], ["--old", "--new", "--revoke", "--output"]),
        (["trust", "sign"], ["--key", "--former", "--passphrase-file"]),
        (["init"], ["recipe.toml"]),
        (["build"], ["--output", "--key", "--passphrase-file", "--jobs", "--level", "--json", "SOURCE_DATE_EPOCH"]),
        (["sign"], ["--key", "--output", "--passphrase-file"]),
        (["inspect"], ["--json"]),
        (["verify"], ["--root", "--json"]),
        (["extract"], ["--output", "--root"]),
        (
            ["simulate"],
            [
                "--device", "--from", "--scenario", "--seed", "--states", "--steps", "--seconds", "--json", "--junit",
                "--trace", "--replay", "bad-release", "full-disk",
            ]
        ),
    ]

    @Test("the help of every command goes to standard output and names its options", arguments: helps)
    func help(command: [String], words: [String]) throws {
        let outcome = try kedge.run(command + ["--help"], in: directory.path)
        #expect(outcome.status == 0)
        #expect(outcome.errors.isEmpty)
        for word in words { #expect(outcome.output.contains(word), "\(command) \(word)") }
    }

    static let mistakes: [[String]] = [
        ["bild"], ["build"], ["build", "recipe.toml"], ["build", "recipe.toml", "-o", "x", "--jobs", "0"],
        ["build", "recipe.toml", "-o", "x", "--jobs", "many"], ["build", "recipe.toml", "-o", "x", "--level", "23"],
        ["build", "recipe.toml", "-o", "x", "--nonsense"], ["sign", "x.kedge"], ["verify", "x.kedge"],
        ["extract", "x.kedge", "rootfs", "-o", "x"], ["simulate"], ["simulate", "x.kedge"],
        ["simulate", "--sample", "x"],
        ["simulate", "x.kedge", "--device", "d", "--scenario", "flood"], ["inspect"], ["keys", "new"],
        ["keys", "new", "k", "--role", "boss"], ["keys", "new", "k", "--passphrase-file", "p"],
        ["keys", "root", "-o", "root.json"],
    ]

    @Test("a wrong command line is exit status 2, and nothing is made", arguments: mistakes)
    func mistake(arguments: [String]) throws {
        let outcome = try kedge.run(arguments, in: directory.path)
        #expect(outcome.status == 2)
        #expect(outcome.errors.hasPrefix("kedge: command.usage: "))
        #expect(outcome.output.isEmpty)
        #expect(try directory.names.isEmpty)
    }

    @Test("the version is printed")
    func version() throws {
        let outcome = try kedge.run(["--version"], in: directory.path)
        #expect(outcome.status == 0)
        #expect(outcome.output == "0.1.0\n")
    }

    @Test("init writes a recipe that builds once its image is there")
    func initialize() throws {
        #expect(try kedge.run(["init", "new"], in: directory.path).status == 0)
        try FileSystem.replace(directory("new/rootfs.ext4"), with: [1, 2, 3])
        let built = try kedge.run(["build", "new/recipe.toml", "-o", "out.kedge"], in: directory.path)
        #expect(built.status == 0, "\(built.errors)")
    }

    @Test("init never overwrites a recipe")
    func initializeAgain() throws {
        try FileSystem.replace(directory("recipe.toml"), with: Array("mine".utf8))
        let outcome = try kedge.run(["init"], in: directory.path)
        #expect(outcome.status == 6)
        #expect(outcome.errors.hasPrefix("kedge: output.refused: "))
        #expect(try directory.bytes("recipe.toml") == Array("mine".utf8))
    }

    @Test("a recipe that is not there is a configuration error")
    func noRecipe() throws {
        let outcome = try kedge.run(["build", "none.toml", "-o", "out.kedge"], in: directory.path)
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: recipe.file: the recipe none.toml cannot be read"))
    }
}
