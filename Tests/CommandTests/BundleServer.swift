import Foundation
import Platform
import TestSupport
import Testing

/// nginx on a free loopback port, serving a directory and noting the body bytes of every answer.
final class BundleServer {
    let port: Int
    private let directory: CommandDirectory
    private let isSecure: Bool
    private let process = Process()
    private let input = Pipe()

    /// `rate` in bytes per second for each request; nil: as fast as it goes. With `identity` it speaks TLS of one
    /// version, and only to whoever has a certificate of this authority.
    init(
        serving root: String, rate: Int? = nil, identity: TestCertificates? = nil, version: String = "TLSv1.3"
    ) throws {
        isSecure = identity != nil
        directory = try CommandDirectory()
        port = try Loopback.freePort()
        try FileSystem.makeDirectories(directory("temp"))
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map { "\($0)_temp_path temp/\($0);" }.joined(separator: " ")
        // Small send buffers: what nginx counts as sent is then nearly what the client took.
        let text = """
            daemon off; master_process off; pid nginx.pid; error_log error.log;
            events { worker_connections 64; }
            http {
                log_format bytes '$status $body_bytes_sent';
                access_log access.log bytes;
                \(paths)
                server {
                    listen 127.0.0.1:\(port) \(isSecure ? "ssl" : "") sndbuf=64k;
                    \(identity.map { Self.certificates($0, version) } ?? "")
                    root \(root);
                    \(rate.map { "limit_rate \($0);" } ?? "")
                    location = /portal.kedge { default_type text/html; return 200 "<html>log in first</html>"; }
                }
            }
            """
        try FileSystem.replace(directory("nginx.conf"), with: Array(text.utf8))
        process.executableURL = URL(filePath: "/bin/bash")
        // The shell ends nginx when its input ends, and that also happens when the tests crash.
        process.arguments = [
            "-c", "nginx -p \"$0\" -c \"$0/nginx.conf\" & read _; kill -9 $!; wait $!", directory.path,
        ]
        process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
        process.standardInput = input
        process.standardError = FileHandle.nullDevice
        try process.run()
        for _ in 0..<1000 where !Loopback.connects(to: port) { SystemTime().sleep(nanoseconds: 10_000_000) }
        try #require(Loopback.connects(to: port), "nginx does not listen")
    }

    private static func certificates(_ identity: TestCertificates, _ version: String) -> String {
        """
        ssl_protocols \(version);
        ssl_certificate \(identity.server); ssl_certificate_key \(identity.server);
        ssl_client_certificate \(identity.authority); ssl_verify_client on;
        """
    }

    deinit {
        // A line and not only the end: another test's child may hold a copy of this pipe.
        try? input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    func url(_ path: String) -> String {
        "\(isSecure ? "https" : "http")://127.0.0.1:\(port)/\(path.split(separator: "/").last.map(String.init) ?? "")"
    }

    /// Body bytes sent so far. nginx notes an answer when it ended, so this waits until no more come.
    func bytesSent() throws -> UInt64 {
        var last: UInt64 = .max
        for _ in 0..<500 {
            let text = String(decoding: try FileSystem.read(directory("access.log"), limit: 1 << 24), as: UTF8.self)
            // The page of a 404 is no part of a bundle: kedged looks for the next trust root beside it.
            let sum = text.split(separator: "\n").filter { !$0.hasPrefix("404 ") }
                .reduce(UInt64(0)) { $0 + (UInt64($1.split(separator: " ").last ?? "") ?? 0) }
            if sum == last { break }
            last = sum
            SystemTime().sleep(nanoseconds: 50_000_000)
        }
        return last
    }
}

/// Sockets of 127.0.0.1.
enum Loopback {
    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        return address
    }

    /// A listening socket that never answers, and its port.
    static func listen() throws -> (descriptor: Int32, port: Int) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        try #require(descriptor >= 0)
        var address = address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        try #require(bound && Glibc.listen(descriptor, 16) == 0)
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// A port where nothing listens at this moment.
    static func freePort() throws -> Int {
        let (descriptor, port) = try listen()
        close(descriptor)
        return port
    }

    static func connects(to port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = address(UInt16(port))
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
