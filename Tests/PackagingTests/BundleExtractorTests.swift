import BundleFormat
import Packaging
import Platform
import Signing
import StrictJSON
import Testing
import Trust

@Suite("Extracting and inspecting")
struct BundleExtractorTests {
    private let scratch: ScratchDirectory
    private let trust: TestTrust
    private let image: [UInt8]
    private let bundle: String

    init() throws {
        scratch = try ScratchDirectory()
        trust = try TestTrust()
        var source = FixedBytes(seed: 21)
        image =
            source.text(mebibyte) + source.noise(mebibyte) + [UInt8](repeating: 0, count: 3 * mebibyte)
            + source.text(mebibyte + 4097)
        try scratch.write("rootfs.img", image)
        try scratch.write("kernel.img", Array(image.prefix(mebibyte)))
        let more = "[[component]]\nid = \"kernel\"\nkind = \"kernel\"\npath = \"kernel.img\"\n[meta]\nbuild = \"77\""
        try scratch.write("recipe.toml", recipeText(more: more))
        bundle = scratch("out.kedge")
        let builder = BundleBuilder(recipe: try Recipe(contentsOf: scratch("recipe.toml")), level: 3, created: 1)
        _ = try builder.build(to: bundle, keys: [trust.key])
    }

    @Test("an extracted image is the built one, with its last partial window and holes for zeros")
    func roundTrip() throws {
        try BundleExtractor.extract(bundle, component: "rootfs", to: scratch("back.img"), trust: trust.store)
        #expect(try FileSystem.read(scratch("back.img"), limit: 1 << 24) == image)
        let facts = try ChildProcess.run(["stat", "-c", "%b", scratch("back.img")], milliseconds: 10_000)
        let blocks = try #require(Int(facts.output.prefix { $0.isNumber }))
        #expect(blocks * 512 <= image.count - 2 * mebibyte)
    }

    @Test("an unknown component is refused and the ones that are there are named")
    func unknownComponent() throws {
        let error = try #require(throws: PackagingError.self) {
            try BundleExtractor.extract(bundle, component: "bios", to: scratch("back.img"), trust: trust.store)
        }
        #expect(error == .noComponent(id: "bios", known: ["rootfs", "kernel"]))
    }

    @Test("nothing is extracted from a bundle of another trust root, and the output keeps what it held")
    func untrusted() throws {
        try scratch.write("back.img", "old")
        let stranger = try TestTrust().store
        #expect(throws: TrustError.self) {
            try BundleExtractor.extract(bundle, component: "rootfs", to: scratch("back.img"), trust: stranger)
        }
        #expect(try FileSystem.read(scratch("back.img"), limit: 10) == Array("old".utf8))
    }

    @Test("a damaged window ends the extraction and leaves no file")
    func damaged() throws {
        let bytes = try FileSystem.read(bundle, limit: 1 << 24)
        let header = try BundleHeader.decode(bytes.rawBytes)
        let file = try Descriptor(open: bundle, [.read, .write])
        try file.write([0xee, 0xee].rawBytes, at: header.endOffset - 2)
        let before = try scratch.names
        let error = #expect(throws: (any Error).self) {
            try BundleExtractor.extract(bundle, component: "rootfs", to: scratch("back.img"), trust: trust.store)
        }
        #expect((error as? any StableError)?.code == "payload.damaged")
        #expect(try scratch.names == before)
    }

    @Test("inspecting counts windows by their codec, and shared ones once")
    func inspect() throws {
        let report = try BundleReport(inspecting: bundle)
        let rootfs = report.images[0]
        #expect(rootfs.zero == 3)
        #expect(rootfs.plain == 1)
        #expect(rootfs.compressed == 3)
        #expect(rootfs.shared == 0)
        #expect(rootfs.windows == 7)
        #expect(report.images[1].shared == 1)
        #expect(report.images[1].storedBytes == 0)
        #expect(rootfs.storedBytes == report.header.payloadLength)
        #expect(report.signatures.map { $0.keyID } == [trust.key.publicKey.id])
        #expect(report.json["verified"] == JSONValue.bool(false))
        #expect(report.json["manifest"]?.bytes == report.manifest.bytes)
    }

    @Test("the readable report names release, key, component and meta, and says that it is unverified")
    func text() throws {
        let text = try BundleReport(inspecting: bundle).text
        for word in [
            "acme-edge-2.1.0", trust.key.publicKey.id.hex, "3 zero", "build = 77", "1970-01-01T00:00:01Z",
            "Nothing of this is verified",
        ] {
            #expect(text.contains(word), "\(word)")
        }
    }

    @Test("what is no bundle is refused", arguments: ["", "short", String(repeating: "x", count: 5000)])
    func noBundle(text: String) throws {
        let path = try scratch.write("not.kedge", text)
        let error = try #require(throws: FormatError.self) { _ = try BundleReport(inspecting: path) }
        #expect(error.code == "bundle.not-a-bundle")
    }
}
