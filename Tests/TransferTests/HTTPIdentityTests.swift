import Foundation
import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("Who the device is, to servers and proxies", .needsHostileServer, .timeLimit(.minutes(1)))
struct HTTPIdentityTests {
    private static let basic = "Basic " + Data("gateway:hunter2".utf8).base64EncodedString()

    private func options(_ host: String, _ secret: HostCredential.Secret, plain: Bool = true) throws -> HTTPOptions {
        var options = HTTPOptions.quick
        options.credentials = [HostCredential(host: host, secret: secret, allowsPlain: plain)]
        return options
    }

    /// The host of the shared server as a credential names it.
    private func host() throws -> String { "127.0.0.1:\(try #require(HostileServer.shared).port)" }

    @Test("Name and password, or a token, go to their host with every request")
    func sent() throws {
        for (secret, header) in [
            (HostCredential.Secret.basic(user: "gateway", password: "hunter2"), Self.basic),
            (.bearer(token: "hunter2"), "Bearer hunter2"),
        ] {
            let (url, key) = try HostileServer.url("cut/1000")
            try Reading.of(source(url, options(host(), secret)), 0..<2000).expect(0..<2000)
            #expect(try HostileServer.requests(key).map(\.authorization) == [header, header])
        }
    }

    @Test(
        "They go to no other host, port or scheme",
        arguments: ["127.0.0.1", "127.0.0.2:PORT", "127.0.0.1:1", "elsewhere.test:PORT"])
    func otherHost(host: String) throws {
        let port = try #require(HostileServer.shared).port
        let name = host.replacingOccurrences(of: "PORT", with: "\(port)")
        let (url, key) = try HostileServer.url("plain")
        try Reading.of(source(url, options(name, .bearer(token: "hunter2"))), 0..<10).expect(0..<10)
        #expect(try HostileServer.requests(key).map(\.authorization) == [nil])
    }

    @Test("They do not go over plain http unless their file says so")
    func plain() throws {
        let (url, key) = try HostileServer.url("plain")
        let options = try options(host(), .bearer(token: "hunter2"), plain: false)
        try Reading.of(source(url, options), 0..<10).expect(0..<10)
        #expect(try HostileServer.requests(key).map(\.authorization) == [nil])
    }

    @Test(
        "A redirect to another host takes neither password nor token along, one on the same host does",
        arguments: [HostCredential.Secret.basic(user: "gateway", password: "hunter2"), .bearer(token: "hunter2")])
    func redirect(secret: HostCredential.Secret) throws {
        for (target, keeps) in [("127.0.0.2", false), ("127.0.0.1", true)] {
            let (url, key) = try HostileServer.url("to/\(target)")
            try Reading.of(source(url, options(host(), secret)), 0..<10).expect(0..<10)
            let seen = try HostileServer.requests(key).map(\.authorization)
            try #require(seen.count == 2)
            #expect(seen[0] != nil && (seen[1] != nil) == keeps)
        }
    }

    @Test("No secret is in any description or error")
    func secrets() throws {
        let secret = HostCredential.Secret.basic(user: "gateway", password: "hunter2")
        var options = try options(host(), secret)
        options.clientKeySecret = "hunter2"
        let error = try #require(Reading.of(source(HostileServer.url("status/401").text, options), 0..<10).error)
        for text in ["\(options.credentials)", Failure(error).line, "\(HostCredential(host: "h", secret: secret))"] {
            #expect(!text.contains("hunter2"), "\(text)")
        }
    }

    @Test("A proxy is used, and gets its own password")
    func proxy() throws {
        let server = try #require(HostileServer.shared)
        var options = HTTPOptions.quick
        options.proxy = "http://127.0.0.1:\(server.port)"
        options.proxyCredential = .basic(user: "gateway", password: "tunnel")
        let key = UUID().uuidString
        try Reading.of(source("http://bundles.invalid/plain/\(key)", options), 0..<10).expect(0..<10)
        let seen = try HostileServer.requests(key)
        #expect(seen.map(\.authorization) == [nil])
        #expect(seen[0].proxyAuthorization == "Basic " + Data("gateway:tunnel".utf8).base64EncodedString())
    }

    @Test("Hosts of no-proxy are asked directly")
    func noProxy() throws {
        var options = HTTPOptions.quick
        options.proxy = "http://127.0.0.1:1"
        options.noProxy = "127.0.0.1"
        let (url, _) = try HostileServer.url("plain")
        try Reading.of(source(url, options), 0..<10).expect(0..<10)
    }

    @Test("A tunnel through the proxy works, and a refused one is denied at once", .needsNginx)
    func tunnel() throws {
        let server = try #require(HostileServer.shared)
        try LocalServer.run(files: ["object": ServedObject.bytes], tls: true) { nginx in
            var options = HTTPOptions.quick
            options.certificateAuthorities = nginx.certificate
            options.proxy = "http://127.0.0.1:\(server.port)"
            options.proxyCredential = .basic(user: "gateway", password: "tunnel")
            try Reading.of(source(nginx.secureURL("object"), options), 0..<200_000).expect(0..<200_000)
            options.proxyCredential = .basic(user: "gateway", password: "hunter2")
            let reading = try Reading.of(source(nginx.secureURL("object"), options), 0..<10)
            #expect(reading.error?.code == "transfer.denied")
            #expect(reading.error?.context.contains("proxy") == true)
        }
    }

    @Test(
        "A signed address that is refused has expired, and an unsigned one is denied",
        arguments: [
            ("?sv=1&sig=x", "transfer.address-expired"), ("?X-Amz-Signature=x", "transfer.address-expired"),
            ("?Expires=1&Signature=x", "transfer.address-expired"), ("?version=2", "transfer.denied"),
            ("", "transfer.denied"),
        ])
    func expired(query: String, code: String) throws {
        let reading = try Reading.of(source(HostileServer.url("status/403").text + query), 0..<10)
        #expect(reading.error?.code == code)
    }
}

@Suite("A client certificate", .needsNginx, .timeLimit(.minutes(1)))
struct ClientCertificateTests {
    /// nginx that wants a client certificate of the test authority.
    private func run(_ body: (LocalServer, TestCertificates) throws -> Void) throws {
        try withTemporaryDirectory { directory in
            let certificates = try TestCertificates(in: directory)
            try LocalServer.run(files: ["object": ServedObject.bytes], identity: certificates) { server in
                try body(server, certificates)
            }
        }
    }

    private func options(_ certificates: TestCertificates) -> HTTPOptions {
        var options = HTTPOptions.quick
        options.certificateAuthorities = certificates.authority
        options.clientCertificate = certificates.client
        options.clientKey = certificates.clientKey
        return options
    }

    @Test("The server lets the device in by its certificate and key in files")
    func files() throws {
        try run { server, certificates in
            try Reading.of(source(server.secureURL("object"), options(certificates)), 0..<200_000).expect(0..<200_000)
        }
    }

    @Test("Without a certificate the server refuses")
    func without() throws {
        try run { server, certificates in
            var options = options(certificates)
            options.clientCertificate = nil
            let reading = try Reading.of(source(server.secureURL("object"), options), 0..<10)
            #expect(reading.error?.category == .network && reading.bytes.isEmpty)
        }
    }

    @Test("An encrypted key opens with its passphrase, and not with another one")
    func passphrase() throws {
        try run { server, certificates in
            var options = options(certificates)
            let key = certificates.directory + "/encrypted.key"
            try TestCertificates.run([
                "pkey", "-in", certificates.clientKey, "-aes256", "-passout", "pass:hunter2", "-out", key,
            ])
            options.clientKey = key
            options.clientKeySecret = "hunter2"
            try Reading.of(source(server.secureURL("object"), options), 0..<10).expect(0..<10)
            options.clientKeySecret = "wrong"
            let reading = try Reading.of(source(server.secureURL("object"), options), 0..<10)
            #expect(reading.error?.code == "transfer.client-key")
            #expect(reading.error?.context.contains("wrong") == false)
        }
    }

    @Test("A missing key, a key of another certificate and a missing certificate have a code of their own")
    func unusable() throws {
        try run { server, certificates in
            for (certificate, key) in [
                (certificates.client, certificates.directory + "/none"),
                (certificates.client, certificates.directory + "/ca.key"),
                (certificates.directory + "/none", certificates.clientKey),
            ] {
                var options = options(certificates)
                options.clientCertificate = certificate
                options.clientKey = key
                let reading = try Reading.of(source(server.secureURL("object"), options), 0..<10)
                #expect(reading.error?.code == "transfer.client-key", "\(certificate) \(key)")
            }
        }
    }

    @Test("HTTP/2 is used where the server offers it, and HTTP/1.1 where it is turned off", arguments: [true, false])
    func version(two: Bool) throws {
        try run { server, certificates in
            var options = options(certificates)
            options.allowsHTTP2 = two
            let source = try source(server.secureURL("object"), options)
            for first: UInt64 in [0, 100_000, 250_000] {
                Reading.of(source, first..<first + 10).expect(first..<first + 10)
            }
            let requests = try server.requests(3)
            #expect(Set(requests.map(\.connection)).count == 1)
            #expect(requests.allSatisfy { $0.version == (two ? "HTTP/2.0" : "HTTP/1.1") }, "\(requests)")
        }
    }

    @Test(
        "A key that stays in its PKCS#11 token signs the handshake, and a wrong PIN does not", .needsToken)
    func token() throws {
        try run { server, certificates in
            try SoftToken.withKey(in: certificates) { certificate in
                var options = options(certificates)
                options.clientCertificate = certificate
                options.clientKey = "pkcs11:token=kedge;object=device;type=private"
                options.clientKeySecret = "1234"
                try Reading.of(source(server.secureURL("object"), options), 0..<200_000).expect(0..<200_000)
                options.clientKey = "pkcs11:token=kedge;object=other;type=private"
                let reading = try Reading.of(source(server.secureURL("object"), options), 0..<10)
                #expect(reading.error?.code == "transfer.client-key")
            }
        }
    }
}
