import Foundation
import Platform
import Testing

@testable import HubEmulation

@Suite("The challenge for a TPM")
struct TPMChallengeTests {
    /// The parts of the blob: credential, its secret, the wrapped key, its secret, the public area; each with its size.
    private func parts(of blob: [UInt8]) throws -> [[UInt8]] {
        var parts: [[UInt8]] = []
        var rest = blob[...]
        while rest.count >= 2 {
            let size = 2 + (Int(rest[rest.startIndex]) << 8 | Int(rest[rest.startIndex + 1]))
            try #require(rest.count >= size)
            parts.append(Array(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        try #require(rest.isEmpty && parts.count == 5)
        return parts
    }

    private func run(_ tpm: SoftwareTPM, _ words: [String]) throws {
        let outcome = try tpm.tool(words)
        #expect(outcome.succeeded, "\(words.joined(separator: " ")): \(outcome.output)")
        // The simulator has no resource manager: what a tool leaves loaded would fill its memory.
        _ = try tpm.tool(["tpm2_flushcontext", "-t"])
    }

    @Test(
        "The right TPM opens it, imports the key and signs with it; another TPM cannot",
        .enabled(if: SoftwareTPM.isUsable && SoftwareTPM.hasTools, "needs swtpm and tpm2-tools"))
    func opens() throws {
        let scratch = FileManager.default.temporaryDirectory.path + "/kedge-challenge-\(UUID().uuidString.prefix(8))"
        try FileSystem.makeDirectories(scratch)
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        func file(_ name: String) -> String { "\(scratch)/\(name)" }
        let tpm = try SoftwareTPM()
        try run(tpm, ["tpm2_createek", "-c", "0x81010001", "-G", "rsa", "-u", file("ek.pub")])
        try run(tpm, ["tpm2_createprimary", "-C", "o", "-G", "rsa", "-c", file("srk.ctx")])
        try run(tpm, ["tpm2_evictcontrol", "-c", file("srk.ctx"), "0x81000001"])
        try run(tpm, ["tpm2_readpublic", "-c", "0x81000001", "-o", file("srk.pub")])

        let key = Array("the key that only the TPM may see".utf8)
        let random = { count in (try? SystemRandom().bytes(count)) ?? [] }
        let challenge = try #require(
            TPMChallenge(
                wrapping: key, endorsementKey: FileSystem.read(file("ek.pub"), limit: 4096),
                storageRootKey: FileSystem.read(file("srk.pub"), limit: 4096), random: random))
        let parts = try parts(of: challenge.blob)
        // The header that tpm2-tools put before a credential and its secret.
        try FileSystem.replace(file("credential"), with: [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1] + parts[0] + parts[1])
        for (name, part) in [("key.dup", 2), ("key.seed", 3), ("key.pub", 4)] {
            try FileSystem.replace(file(name), with: parts[part])
        }

        try run(tpm, ["tpm2_startauthsession", "--policy-session", "-S", file("session")])
        try run(tpm, ["tpm2_policysecret", "-S", file("session"), "-c", "e"])
        try run(
            tpm,
            [
                "tpm2_activatecredential", "-c", "0x81000001", "-C", "0x81010001", "-i", file("credential"), "-o",
                file("inner"), "-P", "session:\(file("session"))",
            ])
        _ = try tpm.tool(["tpm2_flushcontext", file("session")])
        try run(
            tpm,
            [
                "tpm2_import", "-C", "0x81000001", "-i", file("key.dup"), "-u", file("key.pub"), "-r", file("key.priv"),
                "-s", file("key.seed"), "-k", file("inner"),
            ])
        try run(
            tpm,
            ["tpm2_load", "-C", "0x81000001", "-u", file("key.pub"), "-r", file("key.priv"), "-c", file("key.ctx")])
        try FileSystem.replace(file("message"), with: Array("scope%2Fregistrations%2Fgw\n1700000000".utf8))
        try run(tpm, ["tpm2_hmac", "-c", file("key.ctx"), "-o", file("code"), file("message")])
        let code = try FileSystem.read(file("code"), limit: 64)
        #expect(code == MessageCode.sha256(key: key, try FileSystem.read(file("message"), limit: 100)))

        // Another TPM has other keys: its import fails.
        let other = try SoftwareTPM()
        try run(other, ["tpm2_createprimary", "-C", "o", "-G", "rsa", "-c", file("other.ctx")])
        let stolen = try other.tool([
            "tpm2_import", "-C", file("other.ctx"), "-i", file("key.dup"), "-u", file("key.pub"), "-r", file("stolen"),
            "-s", file("key.seed"), "-k", file("inner"),
        ])
        #expect(!stolen.succeeded)
    }

    @Test("What is no RSA key of a TPM is not challenged", arguments: [[], [0, 0], [0, 4, 0, 1, 0, 11]] as [[UInt8]])
    func noKeys(bytes: [UInt8]) {
        #expect(
            TPMChallenge(wrapping: [1], endorsementKey: bytes, storageRootKey: bytes) {
                [UInt8](repeating: 0, count: $0)
            } == nil)
    }
}
