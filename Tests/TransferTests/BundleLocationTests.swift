import Foundation
import Platform
import TestSupport
import Testing

@testable import Transfer

@Suite("A bundle's location")
struct BundleLocationTests {
    @Test(
        "Paths and file URLs are files",
        arguments: [
            ("/srv/release.kedge", "/srv/release.kedge"), ("release.kedge", "release.kedge"),
            ("odd:name", "odd:name"), ("./a://b", "./a://b"), ("file:///srv/a%20b", "/srv/a b"),
            ("file://localhost/srv/x", "/srv/x"), ("FILE:/srv/x", "/srv/x"), ("file:///a%25", "/a%"),
        ])
    func files(text: String, path: String) throws {
        #expect(try BundleLocation.parse(text) == .file(path: path))
    }

    @Test(
        "HTTP URLs are shown without credentials, query and fragment",
        arguments: [
            ("http://host", "http://host/", false),
            ("https://user:secret@host:8443/a/b?sig=secret#secret", "https://host:8443/a/b", true),
            ("HTTPS://[::1]:1/x", "https://[::1]:1/x", true),
        ])
    func urls(text: String, shown: String, secure: Bool) throws {
        let location = try BundleLocation.parse(text)
        #expect(location.displayName == shown)
        guard case .http(let address) = location else {
            Issue.record("not http")
            return
        }
        #expect("\(address)" == shown)
        #expect(address.isSecure == secure)
    }

    @Test(
        "All else is an error that repeats no secret",
        arguments: [
            "", "ftp://user:secret@host/x", "http:/secret", "http:///secret/x", "http://", "https://user:secret@",
            "http://host:99999/secret",
            "http://host/a secret", "http://host/\u{e4}secret", "http://ho\nst/secret", "file://secret.host/x",
            "file:secret", "file:///secret%", "file:///secret%0", "file:///secret%00x", "file:///x?secret", "a\0secret",
            "http://host/" + String(repeating: "secret", count: 2000),
        ])
    func refused(text: String) {
        let error = #expect(throws: TransferError.self) { try BundleLocation.parse(text) }
        #expect(error?.code == "transfer.location")
        #expect(error?.category == .usage)
        #expect(error?.context.contains("secret") == false)
    }

    @Test("A file location opens a file source")
    func opensFile() throws {
        try withTemporaryDirectory { directory in
            try Data([1, 2, 3]).write(to: URL(filePath: directory + "/a b"))
            let source = try BundleLocation.parse("file://\(directory)/a%20b").open()
            #expect(Reading.of(source, 1..<3).bytes == [2, 3])
        }
    }

    @Test("An http location opens an HTTP source, and nothing is sent before the first read", .needsHostileServer)
    func opensHTTP() throws {
        let (url, key) = try HostileServer.url("plain")
        let source = try BundleLocation.parse(url).open(options: .quick)
        #expect(source.totalLength == nil)
        #expect(try HostileServer.requests(key).isEmpty)
        Reading.of(source, 3..<5).expect(3..<5)
    }
}
