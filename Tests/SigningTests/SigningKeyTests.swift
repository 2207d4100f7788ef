import Platform
import Signing
import Testing
import Trust

@Suite("Key files")
struct SigningKeyTests {
    let directory: TemporaryDirectory
    let path: String
    private let secret = Array("correct horse é".utf8)

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.file("release")
    }

    private func signingError(_ body: () throws -> Void) -> SigningError? {
        #expect(throws: SigningError.self) { try body() }
    }

    @Test("A written key is loaded again with its public half, and only its owner can read it")
    func roundTrip() throws {
        let key = try SigningKey.generate()
        try key.write(to: path)
        #expect(try SigningKey.load(path: path, passphrase: noPassphrase).publicKey == key.publicKey)
        #expect(try PublicKey.load(path: path + ".pub") == key.publicKey)
        #expect(try FileSystem.mode(of: path) == 0o600)
        #expect(try FileSystem.mode(of: path + ".pub") & 0o600 == 0o600)
        #expect(try directory.names() == ["release", "release.pub"])
    }

    @Test("Two generated keys differ")
    func distinct() throws {
        #expect(try SigningKey.generate().publicKey != SigningKey.generate().publicKey)
    }

    @Test("A signature is verified by the public half over the same bytes only", arguments: [0, 1, 100_000])
    func sign(length: Int) throws {
        let key = try SigningKey.generate()
        let message = [UInt8](repeating: 1, count: length)
        let signature = try key.sign(message)
        try key.publicKey.verify(signature, over: message)
        #expect(throws: TrustError.self) { try key.publicKey.verify(signature, over: message + [1]) }
    }

    @Test("A key with a passphrase is loaded with it, and not with another one or none")
    func passphrase() throws {
        let key = try SigningKey.generate()
        try key.write(to: path, passphrase: secret)
        let text = String(decoding: try FileSystem.bytes(path), as: UTF8.self)
        #expect(text.hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"))
        #expect(try SigningKey.load(path: path) { () throws(SigningError) in secret }.publicKey == key.publicKey)
        let wrong = signingError { _ = try SigningKey.load(path: path) { () throws(SigningError) in [1] } }
        #expect(wrong?.code == "key.passphrase")
        let empty = signingError { _ = try SigningKey.load(path: path) { () throws(SigningError) in [] } }
        #expect(empty?.code == "key.passphrase")
        let asked = signingError { _ = try SigningKey.load(path: path, passphrase: noPassphrase) }
        #expect(asked == .passphrase(path: "test", why: "it was asked for"))
        #expect(wrong.map { !$0.context.contains("horse") && !$0.remedy.contains("horse") } == true)
    }

    @Test("An empty passphrase does not make an open key")
    func emptyPassphrase() throws {
        let error = signingError { try SigningKey.generate().write(to: path, passphrase: []) }
        #expect(error?.code == "key.passphrase")
        #expect(try directory.names().isEmpty)
    }

    @Test(
        "A key file that is there is never overwritten, and nothing else is left",
        arguments: ["release", "release.pub"])
    func exists(name: String) throws {
        try FileSystem.replace(directory.file(name), with: [1, 2, 3])
        let error = signingError { try SigningKey.generate().write(to: path) }
        #expect(error == .exists(path: directory.file(name)))
        #expect(try FileSystem.bytes(directory.file(name)) == [1, 2, 3])
        #expect(try directory.names() == [name])
    }

    @Test(
        "A private key that group or others may use is refused",
        arguments: [0o640, 0o604, 0o610, 0o602, 0o777] as [UInt32])
    func permissions(mode: UInt32) throws {
        try SigningKey.generate().write(to: path)
        let bytes = try FileSystem.bytes(path)
        try FileMode.set(mode, path)
        let error = signingError { _ = try SigningKey.load(path: path, passphrase: noPassphrase) }
        #expect(error == .permissions(path: path, mode: mode))
        #expect(error?.remedy.contains("chmod 600 \(path)") == true)
        #expect(try FileSystem.bytes(path) == bytes)
        try FileMode.set(0o400, path)
        _ = try SigningKey.load(path: path, passphrase: noPassphrase)
    }

    @Test("What is no private key is refused as such")
    func invalid() throws {
        try SigningKey.generate().write(to: path)
        let text = String(decoding: try FileSystem.bytes(path), as: UTF8.self)
        let cases: [(String, String)] = [
            ("empty", ""), ("text", "hello\n"), ("cut", String(text.prefix(60))),
            ("damaged", text.replacing("MC4CAQAwBQYDK2Vw", with: "MC4CAQAwBQYDK2Vu")),
            ("public", String(decoding: try FileSystem.bytes(path + ".pub"), as: UTF8.self)),
            ("long", String(repeating: "#\n", count: 9000) + text),
        ]
        for (name, content) in cases {
            try FileSystem.replace(directory.file(name), with: Array(content.utf8), mode: 0o600)
            let error = signingError {
                _ = try SigningKey.load(path: directory.file(name), passphrase: noPassphrase)
            }
            #expect(error?.code == "key.invalid", "\(name)")
        }
        #expect(signingError { _ = try PublicKey.load(path: path) }?.code == "key.invalid")
        #expect(
            signingError { _ = try SigningKey.load(path: directory.path, passphrase: noPassphrase) }?.code
                == "key.invalid")
        let missing = signingError {
            _ = try SigningKey.load(path: directory.file("none"), passphrase: noPassphrase)
        }
        #expect(missing?.code == "storage.not-found")
    }
}

/// chmod for tests.
enum FileMode {
    static func set(_ mode: UInt32, _ path: String) throws {
        let outcome = try ChildProcess.run(["chmod", String(mode, radix: 8), path], milliseconds: 60_000)
        try #require(outcome.succeeded)
    }
}
