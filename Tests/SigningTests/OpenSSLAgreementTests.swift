import BundleFormat
import Platform
import Signing
import Testing
import Trust

@Suite(
    "Agreement with the openssl command",
    .enabled(if: OpenSSLProgram.isAvailable, "needs openssl 3 (apt: openssl)"))
struct OpenSSLAgreementTests {
    let directory: TemporaryDirectory
    let key: String
    let message: String
    let signature: String
    private let secret = Array("a passphrase".utf8)

    init() throws {
        directory = try TemporaryDirectory()
        key = directory.file("key")
        message = directory.file("message")
        signature = directory.file("signature")
        try FileSystem.replace(message, with: Array("some release".utf8))
    }

    private func open(_ passphrase: [UInt8]) -> () throws(SigningError) -> [UInt8] {
        { () throws(SigningError) in passphrase }
    }

    @Test("openssl verifies our signature with our public key file, and no changed one")
    func verifiesOurs() throws {
        let ours = try SigningKey.generate()
        try ours.write(to: key)
        var bytes = try ours.sign(FileSystem.bytes(message))
        func accepted() throws -> Bool {
            try FileSystem.replace(signature, with: bytes)
            return try OpenSSLProgram.accepts(
                "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", key + ".pub", "-in", message, "-sigfile",
                signature)
        }
        #expect(try accepted())
        bytes[0] ^= 1
        #expect(try !accepted())
    }

    @Test("We verify openssl's signature with the public key file that openssl wrote")
    func verifiesTheirs() throws {
        try OpenSSLProgram.run("genpkey", "-algorithm", "ed25519", "-out", key)
        try OpenSSLProgram.run("pkey", "-in", key, "-pubout", "-out", key + ".pub")
        try OpenSSLProgram.run("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", message, "-out", signature)
        let theirs = try PublicKey.load(path: key + ".pub")
        try theirs.verify(FileSystem.bytes(signature), over: FileSystem.bytes(message))
        try FileMode.set(0o600, key)
        let loaded = try SigningKey.load(path: key, passphrase: noPassphrase)
        #expect(loaded.publicKey == theirs)
        // Ed25519 signatures are the same each time, whoever makes them.
        #expect(try loaded.sign(FileSystem.bytes(message)) == FileSystem.bytes(signature))
    }

    @Test("openssl reads our private key, open and encrypted", arguments: [false, true])
    func readsOurs(encrypted: Bool) throws {
        let ours = try SigningKey.generate()
        try ours.write(to: key, passphrase: encrypted ? secret : nil)
        let text = try OpenSSLProgram.run("pkey", "-in", key, "-passin", "pass:a passphrase", "-pubout")
        #expect(Array(text.utf8) == (try FileSystem.bytes(key + ".pub")))
        if encrypted {
            #expect(try !OpenSSLProgram.accepts("pkey", "-in", key, "-passin", "pass:another", "-noout"))
        }
    }

    @Test("Our encrypted key uses scrypt and AES-256-CBC, with another salt each time")
    func encryption() throws {
        let ours = try SigningKey.generate()
        try ours.write(to: key, passphrase: secret)
        try ours.write(to: key + "2", passphrase: secret)
        let dump = try OpenSSLProgram.run("asn1parse", "-in", key)
        #expect(dump.contains(":scrypt") && dump.contains(":aes-256-cbc") && dump.contains(":PBES2"))
        #expect(try FileSystem.bytes(key) != FileSystem.bytes(key + "2"))
    }

    @Test(
        "We load keys that openssl encrypted",
        arguments: [
            ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"], ["-v2", "aes-128-cbc"], ["-scrypt"],
        ])
    func loadsEncrypted(options: [String]) throws {
        let ours = try SigningKey.generate()
        try ours.write(to: key)
        let sealed = directory.file("sealed")
        let outcome = try ChildProcess.run(
            ["openssl", "pkcs8", "-topk8", "-in", key, "-out", sealed, "-passout", "pass:a passphrase"] + options,
            milliseconds: 60_000)
        try #require(outcome.succeeded, "\(outcome.output)")
        try FileMode.set(0o600, sealed)
        #expect(try SigningKey.load(path: sealed, passphrase: open(secret)).publicKey == ours.publicKey)
        let wrong = #expect(throws: SigningError.self) {
            try SigningKey.load(path: sealed, passphrase: open([0x61]))
        }
        #expect(wrong?.code == "key.passphrase")
    }

    @Test(
        "Keys of other algorithms are refused as such",
        arguments: [
            ["EC", "ec_paramgen_curve:P-384"], ["EC", "ec_paramgen_curve:secp256k1"], ["X25519"], ["ED448"],
            ["RSA", "rsa_keygen_bits:2048"],
        ])
    func otherAlgorithms(kind: [String]) throws {
        var arguments = ["openssl", "genpkey", "-algorithm", kind[0], "-out", key]
        if kind.count > 1 { arguments += ["-pkeyopt", kind[1]] }
        try #require(try ChildProcess.run(arguments, milliseconds: 60_000).succeeded)
        try FileMode.set(0o600, key)
        try OpenSSLProgram.run("pkey", "-in", key, "-pubout", "-out", key + ".pub")
        let secret = #expect(throws: SigningError.self) { try SigningKey.load(path: key, passphrase: noPassphrase) }
        let why = "only Ed25519, ECDSA P-256, ML-DSA-65 and ML-DSA-87 keys are supported"
        #expect(secret == .invalid(path: key, why: why))
        let open = #expect(throws: SigningError.self) { try PublicKey.load(path: key + ".pub") }
        #expect(open == .invalid(path: key + ".pub", why: why))
    }

    @Test("openssl verifies the signature in a signed bundle over the pre-authentication encoding")
    func verifiesBundle() throws {
        let ours = try SigningKey.generate()
        try ours.write(to: key)
        let bundle = directory.file("release.kedge")
        try FileSystem.replace(bundle, with: try unsignedBundle())
        try BundleSigner.sign(bundle: bundle, with: [ours])
        let head = try UnverifiedHead(inspecting: FileSystem.bytes(bundle))
        let kind = "application/vnd.kedge.manifest.v1+json"
        try FileSystem.replace(
            message,
            with: Array("DSSEv1 \(kind.utf8.count) \(kind) \(head.manifestBytes.count) ".utf8) + head.manifestBytes)
        try FileSystem.replace(signature, with: head.signatures.signatures[0].signature)
        #expect(
            try OpenSSLProgram.accepts(
                "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", key + ".pub", "-in", message, "-sigfile",
                signature))
    }
}
