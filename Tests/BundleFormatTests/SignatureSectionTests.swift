import BundleFormat
import Platform
import Testing

@Suite("The signature section")
struct SignatureSectionTests {
    private let keyID = SHA256.digest(of: Array("key".utf8))

    @Test("The golden section is read and written again")
    func golden() throws {
        let bytes = try Fixture.bytes("signatures.bin")
        let section = try SignatureSection.decode(bytes.rawBytes)
        #expect(section.signatures.map(\.algorithm) == [1, 1])
        #expect(section.signatures.allSatisfy { $0.signature.count == 64 })
        #expect(section.encode() == bytes)
    }

    @Test("A section that is cut off at any byte is a typed error")
    func truncated() throws {
        let bytes = try Fixture.bytes("signatures.bin")
        for count in 0..<bytes.count {
            #expect(throws: FormatError.self) { try SignatureSection.decode(Array(bytes[0..<count]).rawBytes) }
        }
    }

    @Test("Bytes behind the last signature are refused")
    func trailing() throws {
        let bytes = try Fixture.bytes("signatures.bin") + [0]
        #expect(throws: FormatError.self) { try SignatureSection.decode(bytes.rawBytes) }
    }

    @Test("Sixteen signatures are read and seventeen are not")
    func count() throws {
        let signature = ManifestSignature(algorithm: 1, keyID: keyID, signature: [1])
        let most = try SignatureSection([ManifestSignature](repeating: signature, count: 16))
        #expect(try SignatureSection.decode(most.encode().rawBytes) == most)
        #expect(throws: FormatError.self) {
            try SignatureSection([ManifestSignature](repeating: signature, count: 17))
        }
        var claim = most.encode()
        claim[0] = 17
        let error = #expect(throws: FormatError.self) { try SignatureSection.decode(claim.rawBytes) }
        #expect(error?.code == "bundle.too-large")
    }

    @Test("A signature of an unknown algorithm and any length is kept as it is")
    func unknownAlgorithm() throws {
        let section = try SignatureSection([
            ManifestSignature(algorithm: 200, keyID: keyID, signature: [UInt8](repeating: 3, count: 4627)),
            ManifestSignature(algorithm: 0, keyID: keyID, signature: []),
        ])
        #expect(try SignatureSection.decode(section.encode().rawBytes) == section)
    }

    @Test("A signature longer than its length field can say is refused")
    func tooLong() {
        let signature = ManifestSignature(
            algorithm: 1, keyID: keyID, signature: [UInt8](repeating: 0, count: 65_536))
        #expect(throws: FormatError.self) { try SignatureSection([signature]) }
    }

    @Test("The pre-authentication encoding is that of the DSSE specification's example")
    func preAuthentication() {
        // secure-systems-lab/dsse, protocol.md, "Test vectors".
        let encoded = SignatureSection.preAuthentication(
            type: "http://example.com/HelloWorld", payload: Array("hello world".utf8))
        #expect(encoded == Array("DSSEv1 29 http://example.com/HelloWorld 11 hello world".utf8))
    }

    @Test("Algorithms are found by the name in documents, and others are not", arguments: ["ed25519", "Ed25519", ""])
    func names(name: String) {
        #expect(SignatureAlgorithm(name: name) == (name == "ed25519" ? .ed25519 : nil))
    }
}
