import Foundation
import Platform
import StrictJSON
import Testing

@Suite("kedge: signing by several people in rooms without network")
struct KedgeOfflineSigningTests {
    private let work: KedgeWorkspace
    private static let people = ["anna", "ben", "cora"]
    private static let openssl = FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")

    /// A bundle that nobody signed, its payload, and a trust root that asks for two of three release keys, one of
    /// which is an ECDSA key.
    init() throws {
        work = try KedgeWorkspace(imageBytes: 100_000)
        for person in Self.people {
            let algorithm = person == "cora" ? "ecdsa-p256" : "ed25519"
            try succeed(["keys", "new", person, "--role", "release", "--algorithm", algorithm])
        }
        let release = Self.people.flatMap { ["--release", "\($0)/release.key.pub"] }
        try succeed(
            ["keys", "root", "-o", "root.json", "--root", "keys/root.key.pub", "--release-threshold", "2"] + release
                + ["--key", "keys/root.key"])
        try work.build([])
        try succeed(["sign", "out.kedge", "--payload-out", "payload"])
    }

    @discardableResult private func succeed(_ arguments: [String]) throws -> String {
        let outcome = try work.run(arguments)
        try #require(outcome.status == 0, "\(outcome.errors)")
        return outcome.output
    }

    @discardableResult private func sign(_ person: String) throws -> String {
        try succeed([
            "sign", "--payload", "payload", "--key", "\(person)/release.key", "--signature-out", "\(person).sig",
        ])
    }

    private func verify() throws -> BuiltCommand.Outcome {
        try work.run(["verify", "out.kedge", "--root", "root.json"])
    }

    @Test(
        "two of three signatures made apart from the bundle and added together are accepted",
        arguments: [["anna", "ben"], ["ben", "cora"], ["cora", "anna"]])
    func twoOfThree(signers: [String]) throws {
        for person in signers { try sign(person) }
        try succeed(["sign", "out.kedge", "--root", "root.json"] + signers.flatMap { ["--add", "\($0).sig"] })
        let verified = try verify()
        #expect(verified.status == 0, "\(verified.errors)")
    }

    @Test("one signature is not enough, the second completes it, and adding one again changes nothing")
    func oneByOne() throws {
        try sign("anna")
        try sign("cora")
        try succeed(["sign", "out.kedge", "--root", "root.json", "--add", "anna.sig"])
        let first = try verify()
        #expect(first.status == 4)
        #expect(first.errors.hasPrefix("kedge: trust.threshold: "))
        try succeed(["sign", "out.kedge", "--root", "root.json", "--add", "anna.sig"])
        #expect(try verify().status == 4)
        try succeed(["sign", "out.kedge", "--public-key", "cora/release.key.pub", "--add", "cora.sig"])
        #expect(try verify().status == 0)
    }

    @Test("both sides print what is signed and the same SHA-256 of the payload")
    func summary() throws {
        let offline = try sign("anna")
        let hash = SHA256Sum.of(try work.directory.bytes("payload"))
        try FileSystem.remove(work.directory("payload"))
        let online = try succeed(["sign", "out.kedge", "--payload-out", "payload"])
        for text in [offline, online] {
            #expect(text.contains("payload sha256    \(hash)\n"))
            #expect(text.contains("release           acme-edge-2.1.0, version 2.1.0\n"))
            #expect(text.contains("sequence          12\n"))
            #expect(text.contains("security version  3\n"))
            #expect(text.contains("component         rootfs: rootfs for slot rootfs, 100000 bytes, sha256 "))
        }
        let image = SHA256Sum.of(try work.directory.bytes("rootfs.img"))
        #expect(offline.contains(image))
    }

    @Test("taking the payload leaves the bundle as it was, and adding leaves all but the signatures")
    func unchanged() throws {
        let before = try work.directory.bytes("out.kedge")
        try sign("anna")
        try succeed(["sign", "out.kedge", "--root", "root.json", "--add", "anna.sig", "-o", "signed.kedge"])
        #expect(try work.directory.bytes("out.kedge") == before)
        // Ed25519 signs the same way each time: signing here and there gives one file.
        try succeed(["sign", "out.kedge", "--key", "anna/release.key"])
        #expect(try work.directory.bytes("out.kedge") == work.directory.bytes("signed.kedge"))
    }

    @Test(
        "what is no payload of a bundle is not signed",
        arguments: ["manifest", "root", "longer", "shorter", "number", "empty", "bundle"])
    func foreignPayload(kind: String) throws {
        let payload = try work.directory.bytes("payload")
        let type = "application/vnd.kedge.manifest.v1+json"
        let start = "DSSEv1 \(type.utf8.count) \(type) "
        let space = try #require(payload.dropFirst(start.utf8.count).firstIndex(of: 0x20))
        let manifest = Array(payload[(space + 1)...])
        let rootType = "application/vnd.kedge.root.v1+json"
        let bytes: [UInt8] =
            switch kind {
            case "manifest": manifest
            case "root": Array("DSSEv1 \(rootType.utf8.count) \(rootType) \(manifest.count) ".utf8) + manifest
            case "longer": payload + [0x20]
            case "shorter": payload.dropLast()
            case "number": Array("\(start)0\(manifest.count) ".utf8) + manifest
            case "empty": Array("\(start)2 {}".utf8)
            default: try work.directory.bytes("out.kedge")
            }
        try FileSystem.replace(work.directory("other"), with: bytes)
        let outcome = try work.run([
            "sign", "--payload", "other", "--key", "anna/release.key", "--signature-out", "anna.sig",
        ])
        #expect(outcome.status == 4)
        #expect(outcome.errors.hasPrefix("kedge: signature.payload: "))
        #expect(try FileSystem.kind(of: work.directory("anna.sig")) == nil)
    }

    @Test("a signature for another release, by a stranger or with a changed bit is not added, and nothing is written")
    func refused() throws {
        try sign("anna")
        try sign("ben")
        try succeed(["sign", "--payload", "payload", "--key", "keys/release.key", "--signature-out", "stranger.sig"])
        let text = String(decoding: try work.directory.bytes("ben.sig"), as: UTF8.self)
        let member = try #require(text.firstRange(of: "\"sig\": \""))
        let first = text[member.upperBound]
        let changed = text.replacingCharacters(
            in: member.upperBound..<text.index(after: member.upperBound), with: first == "A" ? "B" : "A")
        try FileSystem.replace(work.directory("changed.sig"), with: Array(changed.utf8))
        try FileSystem.replace(work.directory("text.sig"), with: Array("{}".utf8))
        let before = try work.directory.bytes("out.kedge")
        for file in ["stranger.sig", "changed.sig", "text.sig", "root.json", "payload"] {
            let outcome = try work.run([
                "sign", "out.kedge", "--root", "root.json", "--add", "anna.sig", "--add", file,
            ])
            #expect(outcome.status == 4, "\(file)")
            #expect(outcome.errors.hasPrefix("kedge: signature.refused: "), "\(file): \(outcome.errors)")
            #expect(try work.directory.bytes("out.kedge") == before)
        }
        let recipe = String(decoding: try work.directory.bytes("recipe.toml"), as: UTF8.self)
        try FileSystem.replace(
            work.directory("recipe.toml"), with: Array(recipe.replacing("sequence = 12", with: "sequence = 13").utf8))
        try work.build([])
        let other = try work.run(["sign", "out.kedge", "--root", "root.json", "--add", "anna.sig"])
        #expect(other.status == 4)
        #expect(other.errors.contains("another release"))
    }

    @Test("files that are there are not overwritten by a payload or a signature")
    func existing() throws {
        let key = try work.directory.bytes("anna/release.key")
        let payload = try work.run(["sign", "out.kedge", "--payload-out", "anna/release.key"])
        let signature = try work.run([
            "sign", "--payload", "payload", "--key", "ben/release.key", "--signature-out", "anna/release.key",
        ])
        for outcome in [payload, signature] {
            #expect(outcome.status == 3)
            #expect(outcome.errors.hasPrefix("kedge: key.exists: "))
        }
        #expect(try work.directory.bytes("anna/release.key") == key)
    }

    @Test(
        "a signature that openssl made over the payload is added",
        .enabled(if: openssl, "needs openssl (apt: openssl)"), arguments: ["anna", "cora"])
    func opensslSigned(person: String) throws {
        let key = work.directory("\(person)/release.key")
        let (payload, out) = (work.directory("payload"), work.directory("raw.sig"))
        let arguments =
            person == "cora"
            ? ["dgst", "-sha256", "-sign", key, "-out", out, payload]
            : ["pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", payload, "-out", out]
        let outcome = try ChildProcess.run(["openssl"] + arguments, milliseconds: 60_000)
        try #require(outcome.succeeded, "\(outcome.output)")
        try sign("ben")
        try succeed(["sign", "out.kedge", "--root", "root.json", "--add", "raw.sig", "--add", "ben.sig"])
        #expect(try verify().status == 0)
    }

    @Test(
        "options that do not go together are usage errors",
        arguments: [
            ["sign", "out.kedge"], ["sign", "out.kedge", "--payload-out", "p", "--key", "anna/release.key"],
            ["sign", "out.kedge", "--payload", "payload", "--key", "anna/release.key", "--signature-out", "s"],
            ["sign", "--payload", "payload", "--key", "anna/release.key"],
            ["sign", "--payload", "payload", "--signature-out", "s"], ["sign", "--key", "anna/release.key"],
            ["sign", "out.kedge", "--add", "s"], ["sign", "out.kedge", "--root", "root.json"],
            ["sign", "out.kedge", "--key", "anna/release.key", "--signature-out", "s"],
            ["sign", "out.kedge", "--payload-out", "p", "-o", "o"],
        ])
    func usage(arguments: [String]) throws {
        let outcome = try work.run(arguments)
        #expect(outcome.status == 2, "\(outcome.errors)")
        #expect(outcome.errors.hasPrefix("kedge: command.usage: "))
    }
}

/// SHA-256 by the sha256sum command.
private enum SHA256Sum {
    static func of(_ bytes: [UInt8]) -> String {
        guard let directory = try? CommandDirectory() else { return "" }
        try? FileSystem.replace(directory("bytes"), with: bytes)
        let outcome = try? ChildProcess.run(["sha256sum", directory("bytes")], milliseconds: 60_000)
        return String(outcome?.output.prefix(64) ?? "")
    }
}
