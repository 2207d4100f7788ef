import Foundation
import Platform
import Testing

@Suite(
    "kedge: keys that stay in a PKCS#11 token",
    .enabled(
        if: SoftToken.isUsable,
        "needs SoftHSM and OpenSSL's engine pkcs11 (apt: softhsm2 opensc libengine-pkcs11-openssl)"))
struct KedgeTokenTests {
    private let work: KedgeWorkspace
    private static let key = "pkcs11:token=kedge;object=release;type=private"
    private var environment: [String: String] { ["SOFTHSM2_CONF": work.directory("softhsm.conf")] }

    /// A token with a P-256 key that was made inside it, its public half by pkcs11-tool and openssl, and a trust root
    /// that takes releases of this key alone.
    init() throws {
        work = try KedgeWorkspace(imageBytes: 100_000)
        try FileSystem.makeDirectories(work.directory("tokens"))
        let settings = "directories.tokendir = \(work.directory("tokens"))\nobjectstore.backend = file\n"
        try FileSystem.replace(work.directory("softhsm.conf"), with: Array(settings.utf8))
        try FileSystem.replace(work.directory("pin"), with: Array("1234\n".utf8), mode: 0o600)
        let tool = ["pkcs11-tool", "--module", SoftToken.module, "--token-label", "kedge"]
        for program in [
            ["softhsm2-util", "--init-token", "--free", "--label", "kedge", "--so-pin", "5678", "--pin", "1234"],
            tool + ["--login", "--pin", "1234", "--keypairgen", "--key-type", "EC:prime256v1", "--label", "release"],
            tool + ["--read-object", "--type", "pubkey", "--label", "release", "-o", work.directory("der")],
            [
                "openssl", "pkey", "-pubin", "-inform", "DER", "-in", work.directory("der"), "-out",
                work.directory("pub"),
            ],
        ] {
            let outcome = try ChildProcess.run(
                program, environment: [("SOFTHSM2_CONF", work.directory("softhsm.conf"))], milliseconds: 60_000)
            try #require(outcome.succeeded, "\(outcome.output)")
        }
        let root = try work.run([
            "keys", "root", "-o", "root.json", "--root", "keys/root.key.pub", "--release", "pub", "--key",
            "keys/root.key",
        ])
        try #require(root.status == 0, "\(root.errors)")
    }

    private func sign(_ more: [String], key: String = key, environment: [String: String]? = nil) throws
        -> BuiltCommand.Outcome
    {
        try work.run(
            ["sign", "out.kedge", "--key", key] + more, environment: environment ?? self.environment)
    }

    @Test(
        "a release signed inside the token is accepted, with the module by p11-kit or by name",
        arguments: [false, true])
    func signed(named: Bool) throws {
        let module = named ? ["--pkcs11-module", SoftToken.module] : []
        try work.build(["--key", Self.key, "--pin-file", "pin"] + module, environment: environment)
        let verified = try work.run(["verify", "out.kedge", "--root", "root.json"])
        #expect(verified.status == 0, "\(verified.errors)")
        #expect(try work.run(["verify", "out.kedge", "--root", "keys/root.json"]).status == 4)
    }

    @Test("the PIN can come from the environment, and a payload is signed without the bundle")
    func payload() throws {
        try work.build([])
        #expect(try work.run(["sign", "out.kedge", "--payload-out", "payload"]).status == 0)
        let signed = try work.run(
            ["sign", "--payload", "payload", "--key", Self.key, "--signature-out", "token.sig"],
            environment: environment.merging(["KEDGE_PIN": "1234"]) { given, _ in given })
        #expect(signed.status == 0, "\(signed.errors)")
        #expect(try work.run(["sign", "out.kedge", "--add", "token.sig", "--root", "root.json"]).status == 0)
        #expect(try work.run(["verify", "out.kedge", "--root", "root.json"]).status == 0)
    }

    @Test("a wrong PIN, another key, another token and a missing module are exit status 3, and sign nothing")
    func refused() throws {
        try work.build([])
        try FileSystem.replace(work.directory("wrong"), with: Array("4321\n".utf8))
        let before = try work.directory.bytes("out.kedge")
        let outcomes = [
            try sign(["--pin-file", "wrong"]),
            try sign(["--pin-file", "pin"], key: "pkcs11:token=kedge;object=other"),
            try sign(["--pin-file", "pin"], key: "pkcs11:token=other;object=release"),
            try sign(["--pin-file", "pin", "--pkcs11-module", work.directory("none.so")]),
        ]
        for outcome in outcomes {
            #expect(outcome.status == 3)
            #expect(outcome.errors.contains("kedge: key.token: "), "\(outcome.errors)")
            #expect(!outcome.errors.contains("4321") && !outcome.errors.contains("1234"))
        }
        #expect(try work.directory.bytes("out.kedge") == before)
    }

    @Test(
        "a PIN in the command line is refused and not repeated", arguments: ["pin-value=1234", "pin-source=file:pin"])
    func pinInArguments(attribute: String) throws {
        try work.build([])
        let outcome = try sign([], key: "\(Self.key);\(attribute)")
        #expect(outcome.status == 3)
        #expect(outcome.errors.hasPrefix("kedge: key.token: "))
        #expect(!outcome.errors.contains("1234"))
    }
}

/// SoftHSM, a token in a directory.
enum SoftToken {
    /// Where Debian installs its PKCS#11 library.
    static let module = "/usr/lib/softhsm/libsofthsm2.so"

    static var isUsable: Bool {
        let programs = ["softhsm2-util", "pkcs11-tool", "openssl"].map { "/usr/bin/\($0)" }
        let engine = try? ChildProcess.run(["openssl", "engine", "pkcs11"], milliseconds: 10_000)
        return (programs + [module]).allSatisfy { FileManager.default.fileExists(atPath: $0) }
            && engine?.succeeded == true
    }
}
