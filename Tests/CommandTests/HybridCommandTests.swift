import BootControl
import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

/// The built programs with an OpenSSL that has ML-DSA, and the second reader beside them.
@Suite(
    "Hybrid trust: Ed25519 and ML-DSA must both sign",
    .enabled(if: NewerOpenSSL.prefix != nil, "needs OpenSSL 3.5 (tools/newer-openssl, KEDGE_NEWER_OPENSSL)"))
struct HybridCommandTests {
    private let work: KedgeWorkspace
    private let gateway: FieldGatewayFiles
    private let prefix: [String]

    init() throws {
        prefix = try #require(NewerOpenSSL.prefix)
        work = try KedgeWorkspace(imageBytes: 100_000, startedBy: prefix)
        gateway = try FieldGatewayFiles(in: work.directory.path)
        for (name, algorithm) in [("classic", "ed25519"), ("quantum", "ml-dsa-65")] {
            try host("keys", "new", name, "--algorithm", algorithm)
        }
    }

    @discardableResult
    private func host(_ arguments: String..., status: Int32 = 0) throws -> BuiltCommand.Outcome {
        let outcome = try work.run(arguments)
        #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
        return outcome
    }

    @discardableResult
    private func device(_ arguments: String..., status: Int32 = 0, native: Bool = false) throws
        -> BuiltCommand.Outcome
    {
        let kedged = try BuiltCommand("kedged", startedBy: native ? [] : prefix)
        let outcome = try kedged.run(["-c", "device.ini"] + arguments, in: work.directory.path)
        #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
        return outcome
    }

    /// The status of kedge verify and of the second reader, which must be the same.
    private func verdict(_ bundle: String, root: String = "pub/root.1.json") throws -> Int32 {
        let first = try work.run(["verify", bundle, "--root", root])
        let second = try SecondReader.run(
            [bundle, "--root", root], in: work.directory.path, environment: ["OPENSSL": NewerOpenSSL.program])
        #expect(first.status == second.status, "\(first.errors) and \(second.errors)")
        return first.status
    }

    private func hybridRoot() throws {
        try host(
            "trust", "init", "-o", "pub/root.1.json", "--root", "classic/root.key.pub", "--root",
            "quantum/root.key.pub", "--release", "classic/release.key.pub", "--release", "quantum/release.key.pub",
            "--hybrid")
        try host("trust", "sign", "pub/root.1.json", "--key", "classic/root.key", "--key", "quantum/root.key")
    }

    @Test("A release needs both signatures, for kedge verify, for the second reader and for a device")
    func bothNeeded() throws {
        try hybridRoot()
        #expect(try host("trust", "show", "pub/root.1.json").output.contains("and release, group ml-dsa-65  1 of 1"))
        for half in ["classic", "quantum"] {
            try work.build(["--key", "\(half)/release.key"])
            #expect(try verdict("out.kedge") == 4)
            let refused = try device("install", "out.kedge", status: 4)
            let missing = half == "classic" ? "ml-dsa-65" : "ed25519"
            #expect(
                refused.errors.contains(
                    "trust.threshold: 0 of 1 needed release signatures are there in the group \(missing)"))
            #expect(try gateway.spareIsUntouched())
        }
        try host("sign", "out.kedge", "--key", "classic/release.key")
        #expect(try verdict("out.kedge") == 0)
        try device("install", "out.kedge")
        #expect(try device("trust", "show").output.contains("and release, group ml-dsa-65: 1 of 1"))
    }

    @Test(
        "Both readers refuse a change of any part of a hybrid signature section, and the golden bundle without a half")
    func changed() throws {
        try hybridRoot()
        try work.build(["--key", "classic/release.key", "--key", "quantum/release.key"])
        let bytes = try work.directory.bytes("out.kedge")
        let header = try BundleHeader.decode(bytes.rawBytes)
        for place in [0, 2, 4, 6, 40, 102, 104, 106, 140, 1000, header.manifestOffset - header.envelopeOffset - 1] {
            var changed = bytes
            changed[header.envelopeOffset + place] ^= 1
            try FileSystem.replace(work.directory("changed.kedge"), with: changed)
            #expect(try verdict("changed.kedge") == 4, "byte \(place)")
        }
        let golden = SecondReader.fixture("bundle/hybrid.kedge")
        #expect(try verdict(golden, root: SecondReader.fixture("trust/hybrid-root.json")) == 0)
        #expect(
            try verdict(
                SecondReader.fixture("bundle/release.kedge"), root: SecondReader.fixture("trust/hybrid-root.json")) == 4
        )
    }

    @Test("A fleet with Ed25519 becomes hybrid by a root that its old keys and the new ones sign")
    func migration() throws {
        try FileSystem.replace(work.directory("pub/root.1.json"), with: work.directory.bytes("classic/root.json"))
        try host("trust", "add-key", "pub/root.1.json", "quantum/release.key.pub", "--role", "release")
        try host("trust", "set-policy", "pub/root.2.json", "release", "all")
        let draft = try host("trust", "verify", "pub/root.1.json", "pub/root.2.json", status: 4)
        #expect(draft.output.contains("release: 1 of 1 becomes 1 of 1 ed25519 and 1 of 1 ml-dsa-65"))
        try host("trust", "sign", "pub/root.2.json", "--key", "classic/root.key")
        if !NewerOpenSSL.isSystem {
            let refused = try device("trust", "update", "pub", status: 4, native: true)
            #expect(refused.errors.contains("kedged: trust.algorithm: ML-DSA-65 signatures are needed"))
            #expect(refused.errors.contains("OpenSSL to 3.5"))
            let shown = try work.json(device("trust", "show", "--json", native: true))
            #expect(shown["version"]?.number == 1)
        }
        try device("trust", "update", "pub")
        try work.build(["--key", "classic/release.key"])
        try device("install", "out.kedge", status: 4)
        try host("sign", "out.kedge", "--key", "quantum/release.key")
        try device("install", "out.kedge")
    }

    @Test("In a room without network, ML-DSA signatures are made by kedge or by openssl, and added")
    func offline() throws {
        try hybridRoot()
        try work.build([])
        try host("sign", "out.kedge", "--payload-out", "payload")
        try host("sign", "--payload", "payload", "--key", "classic/release.key", "--signature-out", "classic.sig")
        let made = try BuiltCommand("kedge").run(
            program: [
                NewerOpenSSL.program, "pkeyutl", "-sign", "-rawin", "-inkey", "quantum/release.key", "-in", "payload",
                "-out", "quantum.sig",
            ], in: work.directory.path)
        #expect(made.status == 0, "\(made.errors)")
        try host("sign", "out.kedge", "--add", "classic.sig", "--add", "quantum.sig", "--root", "pub/root.1.json")
        #expect(try verdict("out.kedge") == 0)
    }

    @Test(
        "Keys are encrypted and refused with a wrong passphrase as Ed25519 keys are",
        arguments: ["ml-dsa-65", "ml-dsa-87"])
    func encrypted(algorithm: String) throws {
        try FileSystem.replace(work.directory("secret"), with: Array("a passphrase\n".utf8), mode: 0o600)
        try FileSystem.replace(work.directory("wrong"), with: Array("another\n".utf8), mode: 0o600)
        try host("keys", "new", "sealed", "--algorithm", algorithm, "--encrypt", "--passphrase-file", "secret")
        try work.build([])
        let refused = try host(
            "sign", "out.kedge", "--key", "sealed/release.key", "--passphrase-file", "wrong", status: 3)
        #expect(refused.errors.hasPrefix("kedge: key.passphrase: "))
        try host("sign", "out.kedge", "--key", "sealed/release.key", "--passphrase-file", "secret")
        #expect(try verdict("out.kedge", root: "sealed/root.json") == 0)
    }
}

/// The same programs where OpenSSL is older.
@Suite(
    "ML-DSA where OpenSSL lacks it: commands",
    .enabled(if: !NewerOpenSSL.isSystem, "needs an OpenSSL before 3.5"))
struct MissingAlgorithmCommandTests {
    private let work: KedgeWorkspace

    init() throws { work = try KedgeWorkspace(imageBytes: 100_000) }

    @Test("kedge makes no ML-DSA key, and leaves nothing behind")
    func keys() throws {
        let outcome = try work.run(["keys", "new", "quantum", "--algorithm", "ml-dsa-65"])
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: key.algorithm: ML-DSA-65 keys cannot be made or used with OpenSSL 3."))
        #expect((try? work.directory.bytes("quantum/root.key")) == nil)
    }

    @Test("A hybrid root is refused by kedge verify and by the second reader, and never passes silently")
    func verify() throws {
        let bundle = SecondReader.fixture("bundle/hybrid.kedge")
        let root = SecondReader.fixture("trust/hybrid-root.json")
        let outcome = try work.run(["verify", bundle, "--root", root])
        #expect(outcome.status == 4)
        #expect(outcome.errors.hasPrefix("kedge: trust.algorithm: ML-DSA-87 signatures are needed"))
        // A Python whose cryptography knows ML-DSA may accept what this OpenSSL cannot.
        let second = try SecondReader.run(
            [bundle, "--root", root], in: work.directory.path, environment: ["OPENSSL": "/nonexistent"])
        #expect(second.status == 4 && second.errors.contains("cannot be verified here") || second.status == 0)
    }
}

/// A gateway of two files of zeros, as `device.ini` in a directory.
private struct FieldGatewayFiles {
    private let path: String

    init(in path: String) throws {
        self.path = path
        try FileSystem.makeDirectories(path + "/pub")
        try FileSystem.replace(path + "/cmdline", with: Array("quiet kedge.slot=a\n".utf8))
        try SimulatedBootHome.create(path: path + "/record", record: BootRecord())
        for set in ["a", "b"] {
            try FileSystem.replace("\(path)/slot.\(set)", with: [UInt8](repeating: 0, count: 1 << 20))
        }
        let text = """
            [device]
            id = gw
            vendor = acme
            class = edge-gateway
            hardware = 1
            data = \(path)/data
            [trust]
            root = \(path)/pub/root.1.json
            [boot]
            backend = simulated
            record = \(path)/record
            cmdline = \(path)/cmdline
            reboot = none
            [slot rootfs a]
            type = block
            path = \(path)/slot.a
            [slot rootfs b]
            type = block
            path = \(path)/slot.b

            """
        try FileSystem.replace(path + "/device.ini", with: Array(text.utf8))
    }

    func spareIsUntouched() throws -> Bool {
        try FileSystem.read(path + "/slot.b", limit: 1 << 20).allSatisfy { $0 == 0 }
    }
}
