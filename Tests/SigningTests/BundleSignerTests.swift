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

    @Test("An output elsewhere leaves the original as it was, and an older output is replaced")
    func output() throws {
        let before = try FileSystem.bytes(path)
        let output = directory.file("signed.kedge")
        try FileSystem.replace(output, with: [1])
        try BundleSigner.sign(bundle: path, with: [key], output: output)
        #expect(try FileSystem.bytes(path) == before)
        #expect(try trustStore(root: key, release: [key]).verify(FileSystem.bytes(output)).signers.count == 1)
        #expect(try directory.names() == ["release.kedge", "signed.kedge"])
    }

    @Test("Several people sign one after the other, and signing again changes nothing")
    func oneAfterTheOther() throws {
        let other = try SigningKey.generate()
        let store = try trustStore(root: key, release: [key, other], threshold: 2)
        try BundleSigner.sign(bundle: path, with: [key])
        let once = try FileSystem.bytes(path)
        #expect(throws: TrustError.threshold(role: .release, present: 1, needed: 2)) { try store.verify(once) }
        try BundleSigner.sign(bundle: path, with: [key])
        #expect(try FileSystem.bytes(path) == once)
        try BundleSigner.sign(bundle: path, with: [other])
        #expect(try store.verify(FileSystem.bytes(path)).signers == [key.publicKey.id, other.publicKey.id])
        try BundleSigner.sign(bundle: path, with: [key, other, key])
        #expect(try UnverifiedHead(inspecting: FileSystem.bytes(path)).signatures.signatures.count == 2)
    }

    @Test("A payload of several pieces is copied whole")
    func largePayload() throws {
        var payload = [UInt8](repeating: 0, count: 3 * 1024 * 1024 + 17)
        for index in payload.indices { payload[index] = UInt8(truncatingIfNeeded: index &* 31 >> 5) }
        let before = try unsignedBundle(payload: payload)
        try FileSystem.replace(path, with: before)
        try BundleSigner.sign(bundle: path, with: [key])
        let after = try FileSystem.bytes(path)
        #expect(after.suffix(payload.count + 16).prefix(payload.count).elementsEqual(payload))
        #expect(after.count == before.count + 36 + 64)
    }

    @Test("Sixteen signatures fit, and the seventeenth is refused without touching the file")
    func overflow() throws {
        let keys = try (0..<16).map { _ in try SigningKey.generate() }
        try BundleSigner.sign(bundle: path, with: keys)
        try refused("bundle.too-large") { try BundleSigner.sign(bundle: path, with: [key]) }
        try BundleSigner.sign(bundle: path, with: [keys[3]])
    }

    @Test("Without a key nothing is signed")
    func noKeys() throws {
        try refused("key.none") { try BundleSigner.sign(bundle: path, with: []) }
    }

    @Test("A bundle that is cut off at any byte is refused and stays as it is")
    func truncated() throws {
        let whole = try unsignedBundle(payload: [UInt8](repeating: 1, count: 20))
        for count in whole.indices {
            try FileSystem.replace(path, with: Array(whole[0..<count]))
            try refused(count < 8 ? "bundle.not-a-bundle" : "bundle.truncated") {
                try BundleSigner.sign(bundle: path, with: [key])
            }
        }
    }

    @Test("Bytes behind the end are refused")
    func trailing() throws {
        try FileSystem.replace(path, with: try unsignedBundle() + [0])
        try refused("bundle.trailing") { try BundleSigner.sign(bundle: path, with: [key]) }
    }

    @Test("Another end marker is refused")
    func endMarker() throws {
        var bytes = try unsignedBundle()
        bytes[bytes.count - 1] ^= 1
        try FileSystem.replace(path, with: bytes)
        try refused("bundle.malformed") { try BundleSigner.sign(bundle: path, with: [key]) }
    }

    @Test("A manifest that devices would refuse is not signed")
    func badManifest() throws {
        var bytes = try unsignedBundle()
        let header = try BundleHeader.decode(bytes.rawBytes)
        bytes[header.manifestOffset] = 0x20
        try FileSystem.replace(path, with: bytes)
        try refused("bundle.manifest") { try BundleSigner.sign(bundle: path, with: [key]) }
    }

    @Test("An output that cannot be written leaves the original and nothing else")
    func unwritableOutput() throws {
        let before = try FileSystem.bytes(path)
        let blocked = directory.file("blocked")
        try FileSystem.makeDirectories(blocked)
        let error = #expect(throws: SigningError.self) {
            try BundleSigner.sign(bundle: path, with: [key], output: blocked)
        }
        #expect(error?.category == .storage)
        #expect(throws: SigningError.self) {
            try BundleSigner.sign(bundle: path, with: [key], output: directory.file("none/x"))
        }
        #expect(try FileSystem.bytes(path) == before)
        #expect(try directory.names() == ["blocked", "release.kedge"])
        try FileSystem.removeDirectory(blocked)
    }

    @Test(
        "A full disk is told as no space and leaves no piece behind",
        .enabled(if: FullDisk.isAvailable, "needs root and mount"))
    func fullDisk() throws {
        let disk = try FullDisk(directory.file("disk"))
        defer { disk.unmount() }
        let inside = directory.file("disk/release.kedge")
        let bytes = try unsignedBundle(payload: [UInt8](repeating: 3, count: 700_000))
        try FileSystem.replace(inside, with: bytes)
        let error = #expect(throws: SigningError.self) { try BundleSigner.sign(bundle: inside, with: [key]) }
        #expect(error?.code == "storage.no-space")
        #expect(try FileSystem.bytes(inside) == bytes)
        #expect(try FileSystem.list(directory.file("disk")) == ["release.kedge"])
    }

    @Test("A signed bundle keeps the mode of the original")
    func mode() throws {
        try FileMode.set(0o600, path)
        try BundleSigner.sign(bundle: path, with: [key])
        #expect(try FileSystem.mode(of: path) == 0o600)
    }

    /// Expects this error and an unchanged file with nothing beside it.
    private func refused(_ code: String, _ body: () throws -> Void) throws {
        let before = try FileSystem.bytes(path)
        let error = #expect(throws: SigningError.self) { try body() }
        #expect(error?.code == code)
        #expect(try FileSystem.bytes(path) == before)
        #expect(try directory.names() == ["release.kedge"])
    }
}

/// A file system in memory with room for 1 MiB.
struct FullDisk {
    static let isAvailable: Bool = {
        guard ProcessInformation.user == 0, let directory = try? TemporaryDirectory() else { return false }
        guard let disk = try? FullDisk(directory.file("probe")) else { return false }
        disk.unmount()
        return true
    }()

    let path: String

    init(_ path: String) throws {
        self.path = path
        try FileSystem.makeDirectories(path)
        let outcome = try ChildProcess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "kedge-test", path], milliseconds: 60_000)
        // Not a test's requirement: the probe asks too.
        if !outcome.succeeded { throw SystemError(number: 1, operation: "mount", subject: outcome.output) }
    }

    func unmount() {
        _ = try? ChildProcess.run(["umount", path], milliseconds: 60_000)
        try? FileSystem.removeDirectory(path)
    }
}
