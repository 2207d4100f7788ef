import Platform
import Testing
import Transfer

@testable import DeviceService

@Suite("Files with secrets")
struct SecretFilesTests {
    private let directory: ServiceDirectory

    init() throws { directory = try ServiceDirectory() }

    private func write(_ text: String, mode: UInt32 = 0o600) throws -> String {
        let path = directory("secret")
        try FileSystem.replace(path, with: Array(text.utf8), mode: mode)
        return path
    }

    @Test("A secret is the first line", arguments: ["1234\n", "1234", "1234\r\nnot this\n"])
    func firstLine(text: String) throws { #expect(try SecretFiles.secret(write(text)) == "1234") }

    @Test(
        "A file that others may use is refused, whatever they may do with it", arguments: [0o640, 0o604, 0o601])
    func exposed(mode: UInt32) throws {
        let path = try write("hunter2", mode: mode)
        let error = #expect(throws: ServiceError.self) { try SecretFiles.secret(path) }
        #expect(error?.code == "config.secret" && error?.category == .configuration)
        #expect(error?.remedy.contains("600") == true)
        #expect(throws: ServiceError.self) { try SecretFiles.credentials(path) }
    }

    @Test("A missing file and an empty line are refused")
    func unusable() throws {
        #expect(throws: ServiceError.secret(path: "/none", why: "No such file or directory")) {
            try SecretFiles.secret("/none")
        }
        let path = try write("\nhunter2\n")
        #expect(throws: ServiceError.self) { try SecretFiles.secret(path) }
    }

    @Test("Credentials by host, and the proxy's")
    func credentials() throws {
        let path = try write(
            """
            [updates.example.test]
            user = gateway
            password = hunter2
            [cdn.example.test:8443]
            token = abc
            plain = yes
            [proxy]
            user = p
            password = q

            """)
        let found = try SecretFiles.credentials(path)
        #expect(
            found.hosts == [
                HostCredential(host: "updates.example.test", secret: .basic(user: "gateway", password: "hunter2")),
                HostCredential(host: "cdn.example.test:8443", secret: .bearer(token: "abc"), allowsPlain: true),
            ])
        #expect(found.proxy == .basic(user: "p", password: "q"))
    }

    @Test(
        "What is wrong in them is named without repeating a secret",
        arguments: [
            "[h]\nuser = hunter2\n", "[h]\npassword = hunter2\n", "[h]\ntoken = hunter2\nuser = x\n", "[h]\ntoken =\n",
            "[h]\ntokn = hunter2\n", "[h]\nplain = hunter2\ntoken = x\n", "[proxy]\ntoken = hunter2\n", "hunter2\n",
            "[h]\ntoken = hunter2\ntoken = hunter2\n", "[h]\n",
        ])
    func wrong(text: String) throws {
        let path = try write(text)
        let error = try #require(throws: ServiceError.self) { try SecretFiles.credentials(path) }
        #expect(error.code == "config.secret")
        #expect(!Failure(error).line.contains("hunter2"))
    }
}
