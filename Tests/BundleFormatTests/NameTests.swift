import BundleFormat
import Platform
import Testing

@Suite("Identifiers, versions and digests")
struct NameTests {
    @Test("Names of components and slots", arguments: ["a", "0", "-", "rootfs-2", "abcdefghijklmnopqrstuvwxyz-01234"])
    func identifiers(text: String) {
        #expect(Identifier(text)?.text == text)
    }

    @Test(
        "What could be a path, or look like another name, is no identifier",
        arguments: [
            "", ".", "..", "a/b", "A", "a_b", "a b", "a\u{0}", "é", "а", "a\n", "abcdefghijklmnopqrstuvwxyz-012345",
        ])
    func notIdentifiers(text: String) {
        #expect(Identifier(text) == nil)
    }

    @Test(
        "Versions are compared number by number",
        arguments: [
            ("1", "2"), ("1.2", "1.10"), ("0.9.9", "1"), ("1", "1.0.0.1"), ("1.2.3", "1.2.3.1"),
            ("1.4294967294", "1.4294967295"),
        ])
    func order(lower: String, higher: String) throws {
        let low = try #require(DottedVersion(lower))
        let high = try #require(DottedVersion(higher))
        #expect(low < high && !(high < low) && low != high)
    }

    @Test("Missing numbers count as zero")
    func equal() {
        #expect(DottedVersion("1") == DottedVersion("1.0.0.0"))
        #expect(DottedVersion("1.0.1") != DottedVersion("1"))
    }

    @Test("A version is written as it was read", arguments: ["0", "1.2", "10.20.30", "1.2.3.4294967295"])
    func description(text: String) {
        #expect(DottedVersion(text)?.description == text)
    }

    @Test(
        "What is no dotted version",
        arguments: ["", ".", "1.", ".1", "1..2", "1.2.3.4.5", "v1", "1.-2", "1.+2", "01", "1.02", "4294967296", "1 "])
    func notVersions(text: String) {
        #expect(DottedVersion(text) == nil)
    }

    @Test("This program's version is the same as text and as numbers")
    func current() {
        #expect(DottedVersion(KedgeVersion.text) == KedgeVersion.current)
    }

    @Test(
        "SHA-256 gives the values of FIPS 180-4's examples, in one piece and byte by byte",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
        ])
    func sha256(message: String, expected: String) {
        let bytes = Array(message.utf8)
        #expect(SHA256.digest(of: bytes).hex == expected)
        var hash = SHA256()
        // The second round shows that finish leaves an empty hash behind.
        for _ in 0..<2 {
            for byte in bytes { hash.update([byte].rawBytes) }
            #expect(hash.finish().hex == expected)
        }
    }

    @Test("A digest is read from exactly 64 lower-case digits or from 32 bytes, and from nothing else")
    func digests() throws {
        let digest = SHA256.digest(of: [])
        #expect(Digest(hex: digest.hex) == digest)
        #expect(Digest(hex: digest.hex.uppercased()) == nil)
        #expect(Digest(hex: "") == nil)
        #expect(Digest(hex: digest.hex + "00") == nil)
        #expect(Digest(bytes: digest.bytes.rawBytes) == digest)
        #expect(Digest(bytes: ([0] + digest.bytes).rawBytes, at: 1) == digest)
        #expect(Digest(bytes: digest.bytes.rawBytes, at: 1) == nil)
        #expect(Digest(bytes: digest.bytes.rawBytes, at: -1) == nil)
    }
}
