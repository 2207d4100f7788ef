import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedge: keys and signatures")
struct KedgeKeysTests {
    private let work: KedgeWorkspace

    init() throws { work = try KedgeWorkspace(imageBytes: 200_000) }

    @Test("private keys are for their owner alone, in a directory that is too")
    func modes() throws {
        #expect(try FileSystem.mode(of: work.directory("keys")) == 0o700)
        #expect(try FileSystem.mode(of: work.directory("keys/root.key")) == 0o600)
        #expect(try FileSystem.mode(of: work.directory("keys/release.key")) == 0o600)
        #expect(try FileSystem.mode(of: work.directory("keys/release.key.pub")) == 0o644)
    }

    @Test(
        "OpenSSL reads the keys",
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl"), "needs openssl (apt: openssl)"))
    func openssl() throws {
        let outcome = try ChildProcess.run(
            ["openssl", "pkey", "-in", work.directory("keys/root.key"), "-noout", "-text"], milliseconds: 10_000)
        #expect(outcome.succeeded)
        #expect(outcome.output.contains("ED25519 Private-Key"))
    }

    @Test(
        "keys that exist are never overwritten, and a set with one taken name is not made",
        arguments: ["root.key", "root.key.pub", "release.key", "release.key.pub", "root.json"])
    func taken(name: String) throws {
        try FileSystem.makeDirectories(work.directory("other"))
        try FileSystem.replace(work.directory("other/\(name)"), with: [1])
        let outcome = try work.run(["keys", "new", "other"])
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: key.exists: "))
        #expect(try FileSystem.list(work.directory("other")) == [name])
    }

    @Test("an encrypted key signs with the passphrase from a file or from the environment")
    func encrypted() throws {
        try FileSystem.replace(work.directory("pass"), with: Array("correct horse\n".utf8))
        let made = try work.run(["keys", "new", "sealed", "--encrypt", "--passphrase-file", "pass"])
        #expect(made.status == 0, "\(made.errors)")
        let text = String(decoding: try work.directory.bytes("sealed/release.key"), as: UTF8.self)
        #expect(text.contains("BEGIN ENCRYPTED PRIVATE KEY"))
        try work.build(["--key", "sealed/release.key", "--passphrase-file", "pass"])
        try work.build(["--key", "sealed/release.key"], environment: ["KEDGE_PASSPHRASE": "correct horse"])
        #expect(try work.run(["verify", "out.kedge", "--root", "sealed/root.json"]).status == 0)
    }

    @Test("a wrong passphrase is exit status 3, and is not printed")
    func wrongPassphrase() throws {
        try work.run(["keys", "new", "sealed", "--encrypt"], environment: ["KEDGE_PASSPHRASE": "correct horse"])
        let outcome = try work.run(
            ["build", "recipe.toml", "-o", "out.kedge", "--key", "sealed/release.key"],
            environment: ["KEDGE_PASSPHRASE": "battery staple"])
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: key.passphrase: "))
        #expect(!outcome.errors.contains("battery"))
    }

    @Test(
        "an encrypted key without passphrase and terminal is exit status 3 and not a hang",
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/setsid"), "needs setsid (apt: util-linux)"))
    func noTerminal() throws {
        try work.run(["keys", "new", "sealed", "--encrypt"], environment: ["KEDGE_PASSPHRASE": "correct horse"])
        let detached = try BuiltCommand("kedge", startedBy: ["setsid", "--wait"])
        let outcome = try detached.run(
            ["build", "recipe.toml", "-o", "out.kedge", "--key", "sealed/release.key"], in: work.directory.path)
        #expect(outcome.status == 3)
        #expect(outcome.errors.contains("--passphrase-file"))
    }

    @Test("a release that needs two signatures is accepted after the second person signed")
    func twoPeople() throws {
        for (name, role) in [("boss", "root"), ("anna", "release"), ("ben", "release")] {
            #expect(try work.run(["keys", "new", name, "--role", role]).status == 0)
            #expect(try FileSystem.list(work.directory(name)) == ["\(role).key", "\(role).key.pub"])
        }
        let root = try work.run([
            "keys", "root", "-o", "root.json", "--root", "boss/root.key.pub", "--release", "anna/release.key.pub",
            "--release", "ben/release.key.pub", "--release-threshold", "2", "--key", "boss/root.key",
        ])
        #expect(root.status == 0, "\(root.errors)")
        try work.build(["--key", "anna/release.key"])
        let first = try work.run(["verify", "out.kedge", "--root", "root.json"])
        #expect(first.status == 4)
        #expect(first.errors.hasPrefix("kedge: trust.threshold: "))
        #expect(try work.run(["sign", "out.kedge", "--key", "ben/release.key"]).status == 0)
        #expect(try work.run(["verify", "out.kedge", "--root", "root.json"]).status == 0)
    }

    @Test("sign with an output leaves the bundle as it was")
    func signElsewhere() throws {
        try work.build([])
        let before = try work.directory.bytes("out.kedge")
        let outcome = try work.run(["sign", "out.kedge", "--key", "keys/release.key", "-o", "signed.kedge"])
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try work.directory.bytes("out.kedge") == before)
        #expect(try work.run(["verify", "signed.kedge", "--root", "keys/root.json"]).status == 0)
    }

    @Test("signing while building and afterwards give the same bytes")
    func sameSignature() throws {
        let environment = ["SOURCE_DATE_EPOCH": "1"]
        try work.build([], environment: environment)
        try work.run(["sign", "out.kedge", "--key", "keys/release.key", "-o", "signed.kedge"])
        try work.build(environment: environment)
        #expect(try work.directory.bytes("out.kedge") == work.directory.bytes("signed.kedge"))
    }

    @Test("ECDSA keys sign a bundle that a trust root of ECDSA keys accepts, and inspect names the algorithm")
    func ecdsa() throws {
        let made = try work.run(["keys", "new", "p256", "--algorithm", "ecdsa-p256", "--environment", "dev"])
        #expect(made.status == 0, "\(made.errors)")
        try work.build(["--key", "p256/release.key"])
        let verified = try work.run(["verify", "out.kedge", "--root", "p256/root.json"])
        #expect(verified.status == 0, "\(verified.errors)")
        let report = try work.json(work.run(["inspect", "out.kedge", "--json"]))
        #expect(report["signatures"]?.elements?.first?["algorithm"]?.text == "ecdsa-p256")
        #expect(try work.run(["verify", "out.kedge", "--root", "keys/root.json"]).status == 4)
    }

    @Test("an algorithm that Kedge does not have is a usage error that names those it has")
    func unknownAlgorithm() throws {
        let outcome = try work.run(["keys", "new", "other", "--algorithm", "rsa"])
        #expect(outcome.status == 2)
        #expect(outcome.errors.contains("ed25519") && outcome.errors.contains("ecdsa-p256"))
    }

    @Test("keys show prints the id that bundles and trust roots use")
    func show() throws {
        try work.build()
        let id = String(try work.run(["keys", "show", "keys/release.key.pub"]).output.prefix(64))
        let report = try work.json(work.run(["inspect", "out.kedge", "--json"]))
        #expect(report["signatures"]?.elements?.first?["keyID"]?.text == id)
    }
}
