import BundleFormat
import Platform
import Signing
import Testing
import Trust

@Suite("Signing bundles")
struct BundleSignerTests {
    let directory: TemporaryDirectory
    let path: String
    let key: SigningKey

    init() throws {
        directory = try TemporaryDirectory()
        path = directory.file("release.kedge")
        key = try SigningKey.generate()
        try FileSystem.replace(path, with: try unsignedBundle())
    }

    @Test("A bundle signed in place is accepted by a trust store with its key, and is otherwise unchanged")
    func inPlace() throws {
        let before = try FileSystem.bytes(path)
        try BundleSigner.sign(bundle: path, with: [key])
        let after = try FileSystem.bytes(path)
        let verified = try trustStore(root: key, release: [key]).verify(after)
        #expect(verified.manifest.releaseID == "release-1")
        #expect(verified.signers == [key.publicKey.id])
        let old = try BundleHeader.decode(before.rawBytes)
        let new = try BundleHeader.decode(after.rawBytes)
        #expect(before[old.manifestOffset..<Int(old.endOffset)] == after[new.manifestOffset..<Int(new.endOffset)])
        #expect(UInt64(after.count) == new.totalLength)
        try new.checkEnd(Array(after[Int(new.endOffset)...]).rawBytes)
        #expect(try directory.names() == ["release.kedge"])
    }
}
