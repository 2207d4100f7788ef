import Foundation

/// A small certificate authority in a directory, made with openssl: a server certificate for 127.0.0.1, and a client's.
public struct TestCertificates {
    public let directory: String
    /// The authority's certificate.
    public var authority: String { directory + "/ca.pem" }
    /// Key and certificate of the server in one file.
    public var server: String { directory + "/server.pem" }
    /// The client's certificate and its key.
    public var client: String { directory + "/client.pem" }
    public var clientKey: String { directory + "/client.key" }

    /// openssl failed.
    public struct Failure: Error {
        public let arguments: [String]
    }

    public init(in directory: String) throws {
        self.directory = directory
        let extensions = "subjectAltName=IP:127.0.0.1\n"
        try extensions.write(toFile: directory + "/server.ext", atomically: true, encoding: .utf8)
        try Self.run(
            ["req", "-x509"] + Self.newKey(directory + "/ca.key") + ["-out", authority, "-subj", "/CN=test authority"])
        for name in ["server", "client"] {
            try Self.run(
                ["req", "-new"] + Self.newKey("\(directory)/\(name).key")
                    + ["-out", "\(directory)/\(name).csr", "-subj", "/CN=\(name)"])
            try sign("\(directory)/\(name).csr", to: "\(directory)/\(name).pem", isServer: name == "server")
        }
        let both =
            try String(contentsOfFile: directory + "/server.key", encoding: .utf8)
            + String(contentsOfFile: server, encoding: .utf8)
        try both.write(toFile: server, atomically: true, encoding: .utf8)
    }

    /// Signs a request as the authority.
    public func sign(_ request: String, to certificate: String, isServer: Bool = false) throws {
        try Self.run(
            [
                "x509", "-req", "-in", request, "-CA", authority, "-CAkey", directory + "/ca.key", "-CAcreateserial",
                "-days", "2", "-out", certificate,
            ]
                + (isServer ? ["-extfile", directory + "/server.ext"] : []))
    }

    private static func newKey(_ path: String) -> [String] {
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", path]
    }

    /// Runs openssl with these arguments and this environment besides PATH.
    public static func run(_ arguments: [String], environment: [String: String] = [:]) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = arguments
        process.environment = environment.merging(["PATH": "/usr/bin:/bin"]) { given, _ in given }
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        if process.terminationStatus != 0 { throw Failure(arguments: arguments) }
    }
}
