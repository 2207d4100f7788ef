import Foundation
import Platform
import TestSupport
import Testing

/// SoftHSM: a PKCS#11 token in a directory.
enum SoftToken {
    private static let module = "/usr/lib/softhsm/libsofthsm2.so"

    static var isUsable: Bool {
        let programs = ["softhsm2-util", "pkcs11-tool", "openssl"].map { "/usr/bin/\($0)" }
        let engine = try? ChildProcess.run(["openssl", "engine", "pkcs11"], milliseconds: 10_000)
        return (programs + [module]).allSatisfy { FileManager.default.fileExists(atPath: $0) }
            && engine?.succeeded == true
    }

    /// Makes a token with a key that never leaves it and a certificate for that key, and gives the certificate's path.
    static func withKey(in certificates: TestCertificates, _ body: (String) throws -> Void) throws {
        let directory = certificates.directory
        let configuration = directory + "/softhsm.conf"
        try FileManager.default.createDirectory(atPath: directory + "/tokens", withIntermediateDirectories: true)
        try "directories.tokendir = \(directory)/tokens\nobjectstore.backend = file\n"
            .write(toFile: configuration, atomically: true, encoding: .utf8)
        let environment = [(name: "SOFTHSM2_CONF", value: configuration)]
        for program in [
            ["softhsm2-util", "--init-token", "--free", "--label", "kedge", "--so-pin", "5678", "--pin", "1234"],
            [
                "pkcs11-tool", "--module", module, "--token-label", "kedge", "--login", "--pin", "1234", "--keypairgen",
                "--key-type", "EC:prime256v1", "--label", "device", "--id", "01",
            ],
        ] {
            let outcome = try ChildProcess.run(program, environment: environment, milliseconds: 60_000)
            try #require(outcome.succeeded, "\(outcome.output)")
        }
        // The token's module reads its settings from this process's environment.
        setenv("SOFTHSM2_CONF", configuration, 1)
        defer { unsetenv("SOFTHSM2_CONF") }
        try TestCertificates.run(
            [
                "req", "-new", "-engine", "pkcs11", "-keyform", "engine", "-key",
                "pkcs11:token=kedge;object=device;type=private;pin-value=1234", "-subj", "/CN=token", "-out",
                directory + "/token.csr",
            ], environment: ["SOFTHSM2_CONF": configuration])
        try certificates.sign(directory + "/token.csr", to: directory + "/token.pem")
        try body(directory + "/token.pem")
    }
}

extension Trait where Self == ConditionTrait {
    static var needsToken: Self {
        .enabled(
            if: SoftToken.isUsable,
            "needs SoftHSM and OpenSSL's engine pkcs11 (apt: softhsm2 opensc libengine-pkcs11-openssl)")
    }
}
