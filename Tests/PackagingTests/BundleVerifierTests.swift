import BundleFormat
import Packaging
import Platform
import Signing
import Testing
import Trust

@Suite("Verifying bundles")
struct BundleVerifierTests {
    private let scratch: ScratchDirectory
    private let trust: TestTrust

    init() throws {
        scratch = try ScratchDirectory()
        trust = try TestTrust()
    }

    /// A signed bundle with zstd, stored and zero windows and two components.
    private func build(noise: Int = 3000, text: Int = 30_000) throws -> String {
        var source = FixedBytes(seed: 11)
        try scratch.write(
            "rootfs.img",
            source.text(text) + [UInt8](repeating: 0, count: 2 * mebibyte - text) + source.noise(noise))
        try scratch.write("kernel.img", source.noise(noise))
        let more = "[[component]]\nid = \"kernel\"\nkind = \"kernel\"\npath = \"kernel.img\""
        try scratch.write("recipe.toml", recipeText(more: more))
        let builder = BundleBuilder(
            recipe: try Recipe(contentsOf: scratch("recipe.toml")), level: 3, jobs: 2, created: 1)
        _ = try builder.build(to: scratch("out.kedge"), keys: [trust.key])
        return scratch("out.kedge")
    }

    private func code(_ path: String) -> String {
        do {
            _ = try BundleVerifier.verify(path, trust: trust.store)
            return "ok"
        } catch let error as any StableError {
            return error.code
        } catch {
            return "\(error)"
        }
    }

    @Test("a signed bundle is verified as a whole")
    func good() throws {
        let path = try build()
        var last: UInt64 = 0
        let report = try BundleVerifier.verify(path, trust: trust.store) { done, _ in last = done }
        #expect(report.signers == [trust.key.publicKey.id])
        #expect(report.windows == 4)
        #expect(report.imageBytes == last)
        #expect(report.imageBytes == report.manifest.imageBytes)
    }

    @Test("every flipped bit in any section of a bundle is found")
    func flippedBytes() throws {
        let path = try build()
        let bytes = try FileSystem.read(path, limit: 1 << 24)
        let header = try BundleHeader.decode(bytes.rawBytes)
        let file = try Descriptor(open: path, [.read, .write])
        // All of what is not payload, and a sample of the payload that meets each window many times.
        var places = Array(0..<Int(header.payloadOffset)) + Array(Int(header.endOffset)..<bytes.count)
        places += stride(from: Int(header.payloadOffset), to: Int(header.endOffset), by: 23)
        var missed: [Int] = []
        for (turn, place) in places.enumerated() {
            let flipped = bytes[place] ^ (1 << UInt8(turn % 8))
            try file.write([flipped].rawBytes, at: UInt64(place))
            if code(path) == "ok" { missed.append(place) }
            try file.write([bytes[place]].rawBytes, at: UInt64(place))
        }
        #expect(missed.isEmpty, "\(missed.count) of \(places.count), first \(missed.first ?? -1)")
        #expect(code(path) == "ok")
    }

    @Test("a bundle that was cut off anywhere is refused")
    func truncated() throws {
        let path = try build()
        let bytes = try FileSystem.read(path, limit: 1 << 24)
        let lengths = Array(0..<80) + Array(stride(from: 80, to: bytes.count, by: 61)) + [bytes.count - 1]
        for length in lengths {
            try scratch.write("cut.kedge", Array(bytes.prefix(length)))
            #expect(code(scratch("cut.kedge")) != "ok", "\(length) bytes")
        }
    }

    @Test("one byte behind the end is refused")
    func trailing() throws {
        let bytes = try FileSystem.read(try build(), limit: 1 << 24)
        try scratch.write("long.kedge", bytes + [0])
        #expect(code(scratch("long.kedge")) == "bundle.trailing")
    }

    @Test("stored bytes swapped between two windows of the same length are found")
    func swapped() throws {
        var source = FixedBytes(seed: 12)
        try scratch.write("rootfs.img", source.noise(2 * mebibyte))
        try scratch.write("recipe.toml", recipeText())
        let builder = BundleBuilder(recipe: try Recipe(contentsOf: scratch("recipe.toml")), level: 1, created: 1)
        _ = try builder.build(to: scratch("out.kedge"), keys: [trust.key])
        #expect(code(scratch("out.kedge")) == "ok")
        let bytes = try FileSystem.read(scratch("out.kedge"), limit: 1 << 24)
        let start = Int(try BundleHeader.decode(bytes.rawBytes).payloadOffset)
        var swapped = bytes
        for offset in 0..<mebibyte { swapped.swapAt(start + offset, start + mebibyte + offset) }
        try scratch.write("swapped.kedge", swapped)
        #expect(code(scratch("swapped.kedge")) == "payload.damaged")
    }

    @Test("a bundle without a signature, or signed by a stranger, is refused")
    func untrusted() throws {
        let path = try build()
        #expect(
            throws: TrustError.unknownKey(role: .release),
            performing: { try BundleVerifier.verify(path, trust: TestTrust().store) })
        let builder = BundleBuilder(recipe: try Recipe(contentsOf: scratch("recipe.toml")), level: 3, created: 1)
        _ = try builder.build(to: path)
        #expect(code(path) == "trust.unsigned")
    }

    @Test("a well-formed handmade bundle passes, so that the next tests fail for their own reason")
    func handmade() throws {
        try HandmadeBundle().write(to: scratch("hand"), key: trust.key)
        #expect(code(scratch("hand")) == "ok")
    }

    @Test("payload bytes that no window uses are refused although they are signed", arguments: [0, 4096, 8192])
    func gap(at place: Int) throws {
        var bundle = HandmadeBundle()
        bundle.payload.insert(contentsOf: [1, 2, 3], at: place)
        bundle.windows = bundle.windows.map {
            let moved = $0.storedOffset >= UInt64(place) ? $0.storedOffset + 3 : $0.storedOffset
            return WindowEntry(
                codec: $0.codec, plainDigest: $0.plainDigest, storedDigest: $0.storedDigest, storedOffset: moved,
                storedLength: $0.storedLength)
        }
        try bundle.write(to: scratch("hand"), key: trust.key)
        #expect(code(scratch("hand")) == "bundle.malformed")
    }

    @Test("windows that overlap in the payload are refused although their digests hold")
    func overlap() throws {
        var bundle = HandmadeBundle()
        // The same byte everywhere, so that both windows can be true.
        let part = [UInt8](repeating: 7, count: 4096)
        bundle.image = part + part
        bundle.digest = SHA256.digest(of: bundle.image)
        bundle.payload = [UInt8](repeating: 7, count: 6000)
        bundle.windows = [0, 1904].map {
            WindowEntry(
                codec: .stored, plainDigest: SHA256.digest(of: part), storedDigest: SHA256.digest(of: part),
                storedOffset: $0, storedLength: 4096)
        }
        try bundle.write(to: scratch("hand"), key: trust.key)
        #expect(code(scratch("hand")) == "bundle.malformed")
    }

    @Test("an image digest that does not fit its windows is found")
    func wrongImageDigest() throws {
        var bundle = HandmadeBundle()
        bundle.digest = SHA256.digest(of: [1])
        try bundle.write(to: scratch("hand"), key: trust.key)
        #expect(code(scratch("hand")) == "bundle.damaged")
    }

    @Test("authentic stored bytes that are no zstd frame are refused")
    func noFrame() throws {
        var bundle = HandmadeBundle()
        let noise = Array(bundle.payload.prefix(100))
        let first = WindowEntry(
            codec: .zstd, plainDigest: bundle.windows[0].plainDigest, storedDigest: SHA256.digest(of: noise),
            storedOffset: 0, storedLength: 100)
        let second = WindowEntry(
            codec: .stored, plainDigest: bundle.windows[1].plainDigest, storedDigest: bundle.windows[1].plainDigest,
            storedOffset: 100, storedLength: 4096)
        bundle.payload = noise + bundle.image.suffix(4096)
        bundle.windows = [first, second]
        try bundle.write(to: scratch("hand"), key: trust.key)
        #expect(code(scratch("hand")) == "payload.undecodable")
    }
}
