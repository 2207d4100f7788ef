import Foundation
import Platform
import Testing

@Suite(
    "kedge: signing by another program",
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl"), "needs openssl (apt: openssl)"))
struct KedgeSignerTests {
    private let work: KedgeWorkspace
    private static let openssl = "openssl dgst -sha256 -sign p256/release.key"

    init() throws {
        work = try KedgeWorkspace(imageBytes: 100_000)
        try #require(try work.run(["keys", "new", "p256", "--algorithm", "ecdsa-p256"]).status == 0)
        try work.build([])
    }

    private func sign(_ command: String, key: String = "p256/release.key.pub") throws -> BuiltCommand.Outcome {
        try work.run(["sign", "out.kedge", "--signer", command, "--public-key", key])
    }

    private func script(_ name: String, _ text: String) throws {
        try FileSystem.replace(work.directory(name), with: Array("#!/bin/sh\n\(text)\n".utf8), mode: 0o755)
    }

    @Test("a program that prints a DER signature signs a release, and so does one that prints base64")
    func signs() throws {
        try script("encoded", "\(Self.openssl) | base64")
        for command in [Self.openssl, "./encoded"] {
            try work.build([])
            let outcome = try sign(command)
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try work.run(["verify", "out.kedge", "--root", "p256/root.json"]).status == 0)
        }
    }

    @Test("the program reads the payload and finds the key's id and algorithm in its environment")
    func given() throws {
        try script("look", "cat > seen; echo $KEDGE_KEY_ID $KEDGE_ALGORITHM > names; cat seen | \(Self.openssl)")
        #expect(try sign("./look").status == 0)
        #expect(try work.run(["sign", "out.kedge", "--payload-out", "payload"]).status == 0)
        #expect(try work.directory.bytes("seen") == work.directory.bytes("payload"))
        let id = try work.run(["keys", "show", "p256/release.key.pub"]).output.prefix(64)
        #expect(String(decoding: try work.directory.bytes("names"), as: UTF8.self) == "\(id) ecdsa-p256\n")
    }

    @Test(
        "what is no signature of the named key is refused and not written",
        arguments: ["echo hello", "true", "cat", "openssl dgst -sha256 -sign p256/root.key"])
    func refused(command: String) throws {
        let before = try work.directory.bytes("out.kedge")
        let outcome = try sign(command)
        #expect(outcome.status == 4)
        #expect(outcome.errors.hasPrefix("kedge: signature.refused: "), "\(outcome.errors)")
        #expect(try work.directory.bytes("out.kedge") == before)
    }

    @Test("a program that fails, is missing or is killed is exit status 3", arguments: ["false", "./none", "./killed"])
    func failing(command: String) throws {
        try script("killed", "kill -9 $$")
        let outcome = try sign(command)
        #expect(outcome.status == 3)
        #expect(outcome.errors.contains("kedge: key.signer: "), "\(outcome.errors)")
    }

    @Test("there is no shell: signs of one are words")
    func noShell() throws {
        let outcome = try sign("echo hello ; touch made $(touch made)")
        #expect(outcome.status == 4)
        #expect(try FileSystem.kind(of: work.directory("made")) == nil)
    }

    @Test(
        "a signer without its public key, or beside another way to sign, is a usage error",
        arguments: [
            [], ["--root", "keys/root.json"], ["--public-key", "p256/release.key.pub", "--key", "keys/release.key"],
            ["--public-key", "p256/release.key.pub", "--public-key", "keys/release.key.pub"],
        ])
    func usage(more: [String]) throws {
        #expect(try work.run(["sign", "out.kedge", "--signer", "cat"] + more).status == 2)
    }
}
