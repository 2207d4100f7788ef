import Foundation
import TestSupport
import Testing

/// Runs `body` with a fresh directory that is removed afterwards.
func withTemporaryDirectory<R>(_ body: (String) throws -> R) throws -> R {
    let path = FileManager.default.temporaryDirectory.appending(path: "kedge-transfer-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}

/// nginx on a free loopback port, serving the directory `www` of its own prefix.
struct LocalServer {
    static let program = "/usr/sbin/nginx"
    static let isAvailable = FileManager.default.isExecutableFile(atPath: program)

    let prefix: String
    let port: Int
    /// With TLS: the certificate to trust.
    var certificate: String { prefix + "/cert.pem" }

    func url(_ name: String) -> String { "http://127.0.0.1:\(port)/\(name)" }
    func secureURL(_ name: String) -> String { "https://127.0.0.1:\(port)/\(name)" }

    /// What nginx noted of a request: the number of its connection, its Range, and the body bytes that were sent.
    struct Served {
        let connection: String
        let range: String
        let version: String
        let bytes: UInt64
    }

    /// One entry for each request. nginx writes its log after the answer, so this waits until there are `count`.
    func requests(_ count: Int) throws -> [Served] {
        var lines: [Substring] = []
        for _ in 0..<500 {
            lines = try String(contentsOfFile: prefix + "/access.log", encoding: .utf8).split(separator: "\n")
            if lines.count >= count { break }
            usleep(10_000)
        }
        return lines.map {
            let words = $0.split(separator: " ")
            return Served(
                connection: String(words[0]), range: String(words[1]), version: String(words[2]),
                bytes: UInt64(words[3]) ?? 0)
        }
    }

    /// Starts nginx, waits until it listens, runs `body`, and ends nginx.
    /// With `identity` it speaks HTTP/2 and 1.1 over TLS with these certificates, and only to clients that have one.
    static func run<R>(
        files: [String: [UInt8]], tls: Bool = false, identity: TestCertificates? = nil,
        _ body: (LocalServer) throws -> R
    ) throws -> R {
        try withTemporaryDirectory { prefix in
            let server = LocalServer(prefix: prefix, port: try freePort())
            for name in ["www", "temp"] {
                try FileManager.default.createDirectory(
                    atPath: prefix + "/" + name, withIntermediateDirectories: true)
            }
            for (name, bytes) in files { try Data(bytes).write(to: URL(filePath: prefix + "/www/" + name)) }
            if tls { try server.makeCertificate() }
            try server.configuration(tls: tls, identity: identity).write(
                toFile: prefix + "/nginx.conf", atomically: true, encoding: .utf8)
            let process = Process()
            process.executableURL = URL(filePath: "/bin/bash")
            // The shell ends nginx when its input ends, and that also happens when the tests crash. SIGKILL: Foundation
            // starts processes with the other signals blocked (dash would need SIGCHLD to wait).
            process.arguments = [
                "-c", "\"$0\" -p \"$1\" -c \"$1/nginx.conf\" & read _; kill -9 $!; wait $!", program, prefix,
            ]
            process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
            let input = Pipe()
            process.standardInput = input
            process.standardError = FileHandle.nullDevice
            try process.run()
            defer {
                // A line and not only the end: another test's child may hold a copy of this pipe.
                try? input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
                try? input.fileHandleForWriting.close()
                process.waitUntilExit()
            }
            try server.awaitListening()
            return try body(server)
        }
    }

    private func configuration(tls: Bool, identity: TestCertificates?) -> String {
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map { "\($0)_temp_path temp/\($0);" }.joined(separator: " ")
        var certificates = tls ? "ssl_certificate cert.pem; ssl_certificate_key key.pem;" : ""
        if let identity {
            certificates = """
                ssl_certificate \(identity.server); ssl_certificate_key \(identity.server);
                ssl_client_certificate \(identity.authority); ssl_verify_client on;
                """
        }
        let kind = identity != nil ? "ssl http2" : tls ? "ssl" : ""
        // Small send buffers: what nginx counts as sent is then nearly what the client's socket took.
        return """
            daemon off; master_process off; pid nginx.pid; error_log error.log;
            events { worker_connections 64; }
            http {
                log_format plain '$connection $http_range $server_protocol $body_bytes_sent';
                access_log access.log plain;
                \(paths)
                server {
                    listen 127.0.0.1:\(port) \(kind) sndbuf=64k;
                    \(certificates)
                    root \(prefix)/www;
                    location /downgrade/ { return 302 http://127.0.0.1:\(port)/object; }
                }
            }
            """
    }

    private func makeCertificate() throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/openssl")
        process.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", prefix + "/key.pem", "-out", certificate, "-subj", "/CN=127.0.0.1", "-addext",
            "subjectAltName=IP:127.0.0.1",
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "openssl made no certificate")
    }

    private func awaitListening() throws {
        for _ in 0..<500 {
            if connects(to: port) { return }
            usleep(10_000)
        }
        Issue.record(
            "nginx does not listen: \((try? String(contentsOfFile: prefix + "/error.log", encoding: .utf8)) ?? "")")
    }
}

/// A port of 127.0.0.1 where nothing listens at this moment.
func freePort() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var address = loopback(port: 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
        }
    }
    try #require(bound)
    return Int(UInt16(bigEndian: address.sin_port))
}

/// The remote port of a connected IPv4 socket.
func peerPort(of descriptor: Int32) -> Int? {
    var address = loopback(port: 0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let found = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) == 0 }
    }
    guard found, address.sin_family == sa_family_t(AF_INET) else { return nil }
    return Int(UInt16(bigEndian: address.sin_port))
}

private func connects(to port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var address = loopback(port: UInt16(port))
    return withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

private func loopback(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}

extension Trait where Self == ConditionTrait {
    static var needsNginx: Self {
        .enabled(if: LocalServer.isAvailable, "needs nginx (apt: nginx-light)")
    }
}
