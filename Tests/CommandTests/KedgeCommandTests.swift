import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedge: building and checking bundles")
struct KedgeCommandTests {
    private let work: KedgeWorkspace

    init() throws { work = try KedgeWorkspace() }

    @Test("an image comes out of a built, signed and verified bundle as it went in")
    func wholeWay() throws {
        try work.build()
        let verified = try work.run(["verify", "out.kedge", "--root", "keys/root.json"])
        #expect(verified.status == 0, "\(verified.errors)")
        #expect(verified.output.contains("acme-edge-2.1.0 is intact and signed"))
        let extracted = try work.run(["extract", "out.kedge", "rootfs", "-o", "back.img", "--root", "keys/root.json"])
        #expect(extracted.status == 0, "\(extracted.errors)")
        #expect(try work.directory.bytes("back.img") == work.directory.bytes("rootfs.img"))
    }

    @Test("the same recipe gives the same bytes with one and four jobs, and SOURCE_DATE_EPOCH in the manifest")
    func reproducible() throws {
        let environment = ["SOURCE_DATE_EPOCH": "1700000000"]
        try work.build(["--jobs", "1"], environment: environment)
        let one = try work.directory.bytes("out.kedge")
        try work.build(["--jobs", "4"], environment: environment)
        #expect(try work.directory.bytes("out.kedge") == one)
        let report = try work.json(work.run(["inspect", "out.kedge", "--json"]))
        #expect(report["manifest"]?["created"]?.number == 1_700_000_000)
    }

    @Test("a SOURCE_DATE_EPOCH that is no number is a configuration error")
    func badSourceDate() throws {
        let outcome = try work.run(
            ["build", "recipe.toml", "-o", "out.kedge"], environment: ["SOURCE_DATE_EPOCH": "yesterday"])
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: build.source-date: "))
    }

    @Test("build, inspect and verify with --json print one object and no progress")
    func json() throws {
        let built = try work.run(["build", "recipe.toml", "-o", "out.kedge", "--key", "keys/release.key", "--json"])
        #expect(built.status == 0)
        #expect(built.errors.isEmpty)
        let result = try work.json(built)
        #expect(result["release"]?.text == "acme-edge-2.1.0")
        #expect(result["bundleBytes"]?.number == Int64(try work.directory.bytes("out.kedge").count))
        let inspected = try work.json(work.run(["inspect", "out.kedge", "--json"]))
        #expect(inspected["manifestDigest"]?.text == result["manifestDigest"]?.text)
        let verified = try work.run(["verify", "out.kedge", "--root", "keys/root.json", "--json"])
        #expect(verified.errors.isEmpty)
        let report = try work.json(verified)
        #expect(report["verified"] == JSONValue.bool(true))
        #expect(report["signers"]?.elements?.first?.text == result["signers"]?.elements?.first?.text)
    }

    @Test("a failure with --json is an object with code and status, beside the line on standard error")
    func jsonFailure() throws {
        try work.build([])
        let outcome = try work.run(["verify", "out.kedge", "--root", "keys/root.json", "--json"])
        #expect(outcome.status == 4)
        #expect(outcome.errors.hasPrefix("kedge: trust.unsigned: "))
        let error = try work.json(outcome)["error"]
        #expect(error?["code"]?.text == "trust.unsigned")
        #expect(error?["status"]?.number == 4)
    }

    @Test("a bundle signed by another key fails with exit status 4, and nothing is extracted from it")
    func wrongKey() throws {
        try work.run(["keys", "new", "others"])
        try work.build(["--key", "others/release.key"])
        let verified = try work.run(["verify", "out.kedge", "--root", "keys/root.json"])
        #expect(verified.status == 4)
        #expect(verified.errors.hasPrefix("kedge: trust.unknown-key: "))
        let extracted = try work.run(["extract", "out.kedge", "rootfs", "-o", "back.img", "--root", "keys/root.json"])
        #expect(extracted.status == 4)
        #expect(try !work.directory.names.contains("back.img"))
    }

    @Test("a damaged bundle fails with exit status 4")
    func damaged() throws {
        try work.build()
        var bytes = try work.directory.bytes("out.kedge")
        bytes[bytes.count - 100] ^= 1
        try FileSystem.replace(work.directory("out.kedge"), with: bytes)
        let outcome = try work.run(["verify", "out.kedge", "--root", "keys/root.json"])
        #expect(outcome.status == 4)
        #expect(outcome.errors.contains("kedge: payload.damaged: "))
    }

    @Test("a key that the group may read is refused with exit status 3 before anything is built")
    func openKey() throws {
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o640], ofItemAtPath: work.directory("keys/release.key"))
        let outcome = try work.run(["build", "recipe.toml", "-o", "out.kedge", "--key", "keys/release.key"])
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: key.permissions: "))
        #expect(try !work.directory.names.contains("out.kedge"))
    }

    @Test("a key file that is not there is refused before anything is built")
    func missingKey() throws {
        let outcome = try work.run(["build", "recipe.toml", "-o", "out.kedge", "--key", "keys/none.key"])
        #expect(outcome.status == 6)
        #expect(outcome.errors.hasPrefix("kedge: storage.not-found: "))
        #expect(try !work.directory.names.contains("out.kedge"))
    }

    @Test("an unknown key in the recipe is one line with its path, and the old bundle stays")
    func badRecipe() throws {
        try work.build()
        let before = try work.directory.bytes("out.kedge")
        let text = KedgeWorkspace.recipe.replacing("kind = ", with: "knd = 1\nkind = ")
        try FileSystem.replace(work.directory("recipe.toml"), with: Array(text.utf8))
        let outcome = try work.run(["build", "recipe.toml", "-o", "out.kedge"])
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: recipe.unknown-key: recipe.toml: component[0].knd is not"))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(try work.directory.bytes("out.kedge") == before)
    }

    @Test("a bundle that exists is replaced")
    func replaces() throws {
        try FileSystem.replace(work.directory("out.kedge"), with: [1, 2, 3])
        try work.build()
        #expect(try work.run(["verify", "out.kedge", "--root", "keys/root.json"]).status == 0)
    }

    @Test("a directory as output is refused with exit status 6")
    func directoryAsOutput() throws {
        let outcome = try work.run(["build", "recipe.toml", "-o", "keys"])
        #expect(outcome.status == 6)
        #expect(outcome.errors.hasPrefix("kedge: output.refused: keys is a directory"))
    }

    @Test("an unknown component is a usage error that names the known ones")
    func unknownComponent() throws {
        try work.build()
        let outcome = try work.run(["extract", "out.kedge", "bios", "-o", "b", "--root", "keys/root.json"])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("It has rootfs"))
    }

    @Test("progress in a log is one line for each ten percent, up to the last")
    func loggedProgress() throws {
        let outcome = try work.run(["build", "recipe.toml", "-o", "out.kedge"])
        let lines = outcome.errors.split(separator: "\n")
        #expect((1...10).contains(lines.count))
        #expect(lines.last?.hasPrefix("building: 100 % of 2.86 MiB") == true)
        #expect(!outcome.errors.contains("\r"))
    }

    @Test(
        "progress on a terminal is a drawn line that is taken away at the end",
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script"), "needs script (apt: bsdutils)"))
    func drawnProgress() throws {
        let kedge = try BuiltCommand("kedge")
        let outcome = try kedge.run(
            program: ["script", "-qec", "'\(kedge.path)' build recipe.toml -o out.kedge", "/dev/null"],
            in: work.directory.path)
        #expect(outcome.output.contains("building [########################] 100.0 %"))
        #expect(outcome.output.contains("\r\u{1b}[Kout.kedge  acme-edge-2.1.0"))
    }

    @Test("a signal during the build leaves the old bundle and no other file", arguments: [SIGINT, SIGTERM])
    func interrupted(by signal: Int32) throws {
        let work = try KedgeWorkspace(imageBytes: 24 << 20)
        try FileSystem.replace(work.directory("out.kedge"), with: [1, 2, 3])
        let before = try work.directory.names
        let outcome = try work.run(["build", "recipe.toml", "-o", "out.kedge", "--level", "22", "--jobs", "1"]) {
            process, errors in
            if !errors.contains("10 %") { return false }
            kill(process.processIdentifier, signal)
            return true
        }
        #expect(outcome.signaled)
        #expect(outcome.status == signal)
        #expect(try work.directory.names == before)
        #expect(try work.directory.bytes("out.kedge") == [1, 2, 3])
    }
}
