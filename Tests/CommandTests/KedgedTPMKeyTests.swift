import Foundation
import Platform
import StrictJSON
import TestSupport
import Testing

/// A key in a software TPM behind a resource manager, as the kernel's /dev/tpmrm0 is one, for OpenSSL's provider tpm2.
private final class TPMIdentity {
    let tpm: SoftwareTPM
    private let directory: CommandDirectory
    private var helpers: [(process: Process, input: Pipe)] = []
    /// What a program needs to find the provider and the key's TPM.
    var environment: [String: String] {
        [
            "OPENSSL_CONF": directory("openssl.cnf"), "TPM2OPENSSL_TCTI": "tabrmd:bus_type=session",
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=\(directory("bus"))",
        ]
    }

    /// Why it cannot be had here; nil when it can.
    static let isUsable: Bool = {
        let programs = ["/usr/sbin/tpm2-abrmd", "/usr/bin/dbus-daemon", "/usr/bin/openssl"]
        let modules = ["ossl-modules/tpm2.so", "libtss2-tcti-tabrmd.so.0"]
        return SoftwareTPM.isUsable && programs.allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
            && ["x86_64-linux-gnu", "aarch64-linux-gnu"].contains { triple in
                modules.allSatisfy { FileManager.default.fileExists(atPath: "/usr/lib/\(triple)/\($0)") }
            }
    }()

    /// Transfer.md has the same file.
    private static let settings = """
        openssl_conf = kedge
        [kedge]
        providers = providers
        alg_section = algorithms
        random = random
        [providers]
        default = active
        tpm2 = active
        [active]
        activate = 1
        [algorithms]
        default_properties = ?tpm2.signature=yes,?tpm2.keymgmt!=yes,?tpm2.digest!=yes,?tpm2.cipher!=yes
        [random]
        properties = provider=default
        seed_properties = provider=default

        """

    init() throws {
        tpm = try SoftwareTPM()
        directory = try CommandDirectory()
        try FileSystem.replace(directory("openssl.cnf"), with: Array(Self.settings.utf8))
        let bus = directory("bus")
        try help("dbus-daemon --session --nofork --nopidfile --address=unix:path=\(bus)")
        for _ in 0..<500 where !FileManager.default.fileExists(atPath: bus) { usleep(10_000) }
        try help("tpm2-abrmd --session --allow-root --flush-all --tcti=\(tpm.tcti)")
    }

    deinit {
        for helper in helpers.reversed() {
            try? helper.input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
            try? helper.input.fileHandleForWriting.close()
            helper.process.waitUntilExit()
        }
    }

    /// Starts a program that ends with this object, and also when the tests crash.
    private func help(_ command: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", "\(command) & read _; kill -9 $!; wait $!"]
        process.environment = environment.merging(["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]) { given, _ in given }
        process.environment?["OPENSSL_CONF"] = nil
        let input = Pipe()
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        helpers.append((process, input))
    }

    /// Makes a key inside the TPM, and a request for its certificate. The first try may come before the resource
    /// manager is there.
    func makeKey(_ key: String, request: String) throws {
        // Before that, OpenSSL leaves the provider out and makes a key of its own.
        for _ in 0..<100 {
            try TestCertificates.run(
                [
                    "genpkey", "-propquery", "?provider=tpm2", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out",
                    key,
                ], environment: environment)
            if try String(contentsOfFile: key, encoding: .utf8).contains("TSS2") { break }
            usleep(100_000)
        }
        try TestCertificates.run(
            ["req", "-new", "-key", key, "-subj", "/CN=gateway", "-out", request], environment: environment)
    }
}

@Suite(
    "kedged: a client key that stays in the TPM", Needs.partitioner, Needs.nginx,
    .enabled(
        if: TPMIdentity.isUsable,
        "needs swtpm and OpenSSL's provider tpm2 (apt: swtpm tpm2-openssl tpm2-abrmd libtss2-tcti-tabrmd0 dbus-daemon)"),
    .timeLimit(.minutes(2)))
struct KedgedTPMKeyTests {
    @Test(
        "A server that asks for a certificate lets the gateway in by its TPM's key, and nobody without it",
        arguments: ["TLSv1.2", "TLSv1.3"])
    func install(version: String) throws {
        let gateway = try FieldGateway()
        let image = FieldGateway.image(megabytes: 3)
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", image)]))
        let certificates = try TestCertificates(in: gateway.directory.path)
        let identity = try TPMIdentity()
        let key = gateway.directory("tpm.key")
        try identity.makeKey(key, request: gateway.directory("tpm.csr"))
        #expect(try String(contentsOfFile: key, encoding: .utf8).hasPrefix("-----BEGIN TSS2 PRIVATE KEY-----"))
        try certificates.sign(gateway.directory("tpm.csr"), to: gateway.directory("tpm.pem"))
        let server = try BundleServer(serving: gateway.directory.path, identity: certificates, version: version)
        try gateway.configure {
            $0.replacing("[network]\n", with: "[network]\nca = \(certificates.authority)\n")
        }
        func install(_ environment: [String: String]) throws -> BuiltCommand.Outcome {
            try gateway.kedged.run(
                ["--config", gateway.configuration, "install", server.url(bundle)], in: gateway.directory.path,
                environment: environment)
        }
        // nginx answers 400 to whoever has no certificate.
        try install(identity.environment).expectFailure("transfer.unexpected-response", 7)
        try gateway.configure {
            $0.replacing(
                "[network]\n", with: "[network]\ncertificate = \(gateway.directory("tpm.pem"))\nkey = \(key)\n")
        }
        // Without the provider nobody can read the key.
        try install([:]).expectFailure("transfer.client-key", 7)
        let other = try TPMIdentity()
        try other.makeKey(gateway.directory("other.key"), request: gateway.directory("other.csr"))
        try install(other.environment).expectFailure("transfer.client-key", 7)
        let outcome = try install(identity.environment)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try gateway.holds("rootfs", "b", image))
        #expect(try gateway.record()["phase"]?.text == "trial")
    }
}
