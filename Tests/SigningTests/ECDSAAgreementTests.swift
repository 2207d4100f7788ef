import BundleFormat
import Platform
import Testing
import Trust

@testable import Signing

@Suite(
    "Agreement with the openssl command on ECDSA P-256",
    .enabled(if: OpenSSLProgram.isAvailable, "needs openssl 3 (apt: openssl)"))
struct ECDSAAgreementTests {
    let directory: TemporaryDirectory
    let key: String
    let message: String
    let signature: String

    init() throws {
        directory = try TemporaryDirectory()
        key = directory.file("key")
        message = directory.file("message")
        signature = directory.file("signature")
        try FileSystem.replace(message, with: Array("some release".utf8))
    }

    /// A private key by openssl, and its public half in a file.
    private func makeKey(_ options: [String] = []) throws {
        let arguments = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key]
        try #require(try ChildProcess.run(arguments + options, milliseconds: 60_000).succeeded)
        try FileMode.set(0o600, key)
        try OpenSSLProgram.run("pkey", "-in", key, "-pubout", "-out", key + ".pub")
    }

    /// An INTEGER of 32 bytes in DER.
    private static func integer(_ number: ArraySlice<UInt8>) -> [UInt8] {
        let digits = Array(number.drop { $0 == 0 })
        let signed = digits[0] >= 0x80 ? [0] + digits : digits
        return [0x02, UInt8(signed.count)] + signed
    }

    private static func der(_ fixed: [UInt8]) -> [UInt8] {
        let numbers = integer(fixed[..<32]) + integer(fixed[32...])
        return [0x30, UInt8(numbers.count)] + numbers
    }

    @Test("openssl dgst verifies our signatures with our public key file, and no changed one")
    func verifiesOurs() throws {
        let ours = try SigningKey.generate(.ecdsaP256)
        try ours.write(to: key)
        for change in [UInt8(0), 1] {
            for _ in 0..<8 {
                var bytes = try ours.sign(FileSystem.bytes(message))
                #expect(bytes.count == 64)
                bytes[63] ^= change
                try FileSystem.replace(signature, with: Self.der(bytes))
                #expect(
                    try OpenSSLProgram.accepts(
                        "dgst", "-sha256", "-verify", key + ".pub", "-signature", signature, message) == (change == 0))
            }
        }
    }

    @Test("We verify what openssl dgst signed, with the low s whichever openssl chose")
    func verifiesTheirs() throws {
        try makeKey()
        let theirs = try PublicKey.load(path: key + ".pub")
        #expect(theirs.algorithm == .ecdsaP256)
        var high = 0
        for _ in 0..<24 {
            try OpenSSLProgram.run("dgst", "-sha256", "-sign", key, "-out", signature, message)
            let der = try FileSystem.bytes(signature)
            let fixed = try #require(P256Signature(der: der))
            try theirs.verify(fixed.bytes, over: FileSystem.bytes(message))
            if Self.der(fixed.bytes) != der { high += 1 }
        }
        // Half of them, but for one run in sixteen million.
        #expect(high > 0 && high < 24)
    }

    @Test("openssl pkeyutl verifies what the key that openssl made signs here")
    func theirKey() throws {
        try makeKey()
        let loaded = try SigningKey.load(path: key, passphrase: noPassphrase)
        #expect(try loaded.publicKey == PublicKey.load(path: key + ".pub"))
        try FileSystem.replace(signature, with: Self.der(loaded.sign(FileSystem.bytes(message))))
        #expect(
            try OpenSSLProgram.accepts(
                "pkeyutl", "-verify", "-rawin", "-digest", "sha256", "-pubin", "-inkey", key + ".pub", "-in", message,
                "-sigfile", signature))
    }

    @Test("A key file with a compressed point is the same key")
    func compressed() throws {
        try makeKey()
        let plain = try PublicKey.load(path: key + ".pub")
        try OpenSSLProgram.run(
            "ec", "-in", key, "-pubout", "-conv_form", "compressed", "-out", directory.file("short"))
        #expect(try FileSystem.bytes(directory.file("short")).count < FileSystem.bytes(key + ".pub").count)
        #expect(try PublicKey.load(path: directory.file("short")) == plain)
    }

    @Test("A key that brings its own curve is refused, even when it is the same curve")
    func explicitCurve() throws {
        try makeKey(["-pkeyopt", "ec_param_enc:explicit"])
        let refused = #expect(throws: SigningError.self) { try PublicKey.load(path: key + ".pub") }
        #expect(refused?.code == "key.invalid")
        let secret = #expect(throws: SigningError.self) { try SigningKey.load(path: key, passphrase: noPassphrase) }
        #expect(secret?.code == "key.invalid")
    }

    @Test("openssl reads our private key, open and encrypted", arguments: [false, true])
    func readsOurs(encrypted: Bool) throws {
        let ours = try SigningKey.generate(.ecdsaP256)
        try ours.write(to: key, passphrase: encrypted ? Array("a passphrase".utf8) : nil)
        let text = try OpenSSLProgram.run("pkey", "-in", key, "-passin", "pass:a passphrase", "-pubout")
        #expect(Array(text.utf8) == (try FileSystem.bytes(key + ".pub")))
        let again = try SigningKey.load(path: key) { () throws(SigningError) in Array("a passphrase".utf8) }
        #expect(again.publicKey == ours.publicKey)
    }

    @Test("A bundle that an ECDSA key signed is accepted by a trust root of ECDSA keys")
    func bundle() throws {
        let (root, release) = (try SigningKey.generate(.ecdsaP256), try SigningKey.generate(.ecdsaP256))
        let store = try trustStore(root: root, release: [release])
        let bundle = directory.file("release.kedge")
        try FileSystem.replace(bundle, with: try unsignedBundle())
        try BundleSigner.sign(bundle: bundle, with: [release])
        #expect(try store.verify(FileSystem.bytes(bundle)).signers == [release.publicKey.id])
    }
}

@Suite("DER signatures")
struct DERSignatureTests {
    private static func bytes(_ text: String) -> [UInt8] { Hex.decode(text.filter { $0 != " " }) ?? [] }

    @Test("Numbers of any length come out with 32 bytes")
    func lengths() throws {
        let short = try #require(P256Signature(der: Self.bytes("3006 020101 020102")))
        #expect(short.bytes == Array(repeating: 0, count: 31) + [1] + Array(repeating: 0, count: 31) + [2])
        let signed = try #require(P256Signature(der: Self.bytes("3008 02020080 020200ff")))
        #expect(signed.bytes[31] == 0x80 && signed.bytes[63] == 0xff)
    }

    @Test(
        "What is not the one DER form of two numbers from 1 to n - 1 is refused",
        arguments: [
            "", "30", "3000", "3003 020101",
            // Trailing bytes, behind the sequence, within it, and lengths that lie.
            "3006 020101 020102 00", "3007 020101 020102 00", "3009 020101 020102 020103", "3005 020101 020102",
            "3007 020101 020102", "3006 020201 020102", "3006 020101 020202",
            // Lengths of two bytes, the indefinite one, other tags, empty numbers.
            "308106 020101 020102", "3080 020101 020102 0000", "3007 02810101 020102", "3106 020101 020102",
            "3006 030101 020102", "3006 020101 030102", "3005 0200 020102", "3005 020101 0200",
            // Zero, negative numbers, and needless zeros.
            "3006 020100 020102", "3006 020101 020100", "3006 0201ff 020102", "3006 020101 020180",
            "3007 02020001 020102", "3007 020101 02020001",
            // n and 2^256, and a number of 33 bytes.
            "3026 022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551 020101",
            "3026 020101 022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
            "3026 02210100000000000000000000000000000000000000000000000000000000000000 00 020101",
            "3026 022101ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550 020101",
            "3027 02220080ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550 020101",
        ])
    func refused(text: String) {
        #expect(P256Signature(der: Self.bytes(text)) == nil)
    }
}
