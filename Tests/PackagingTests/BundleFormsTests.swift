import BundleFormat
import Packaging
import Platform
import Testing

@Suite("Other forms of an image in a bundle")
struct BundleFormsTests {
    private let scratch: ScratchDirectory
    private let trust: TestTrust

    init() throws {
        scratch = try ScratchDirectory()
        trust = try TestTrust()
    }

    /// An image of text, noise and zeros, and the one that came before it: shifted, changed here and there, and with a
    /// part that the new one does not have.
    private func images() throws -> (old: String, new: String) {
        var source = FixedBytes(seed: 21)
        let text = source.text(900_000)
        let noise = source.noise(600_000)
        let more = source.text(300_000)
        var changed = text
        for index in stride(from: 50_000, to: 400_000, by: 9_973) { changed[index] ^= 1 }
        let zeros = [UInt8](repeating: 0, count: mebibyte)
        let old = try scratch.write("old.img", source.noise(70_000) + text + noise)
        let new = try scratch.write("rootfs.img", noise + zeros + zeros + changed + more + noise.prefix(10_000))
        return (old: old, new: new)
    }

    private func build(
        _ component: String = "", forms: FormRequest = FormRequest(), jobs: Int = 2, to name: String = "out.kedge"
    ) throws -> BuildResult {
        try scratch.write("recipe.toml", recipeText(component: component))
        let builder = BundleBuilder(
            recipe: try Recipe(contentsOf: scratch("recipe.toml")), level: 3, jobs: jobs, created: 1, forms: forms)
        return try builder.build(to: scratch(name), keys: [trust.key])
    }

    private static let all = "base = [\"old.img\"]\nsolid = true\nblocks = true"

    private func code(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "ok"
        } catch let error as any StableError {
            return error.code
        } catch {
            return "\(error)"
        }
    }

    private func codeOfBase(_ text: String) -> String {
        code { _ = try build(forms: FormRequest(bases: [BaseSource(text)])) }
    }

    /// The size of a delta between noise and the same with bytes that grew here and there, as addresses in programs do.
    private func moved(_ magic: [UInt8], at place: Int) throws -> UInt64 {
        var source = FixedBytes(seed: 5)
        var old = source.noise(mebibyte)
        old.replaceSubrange(place..<(place + magic.count), with: magic)
        var new = old
        let gaps = source.noise(20_000)
        var index = 200_000
        for gap in gaps where index < 900_000 {
            // What the old bytes are decides by how much they grow.
            new[index] = old[index] &+ (old[index - 1] & 15) &+ 1
            index += 40 + Int(gap % 64)
        }
        try scratch.write("old.img", old)
        try scratch.write("rootfs.img", new)
        let built = try build("base = [\"old.img\"]")
        let report = try BundleVerifier.verify(
            scratch("out.kedge"), trust: trust.store, bases: [BaseSource(path: scratch("old.img"))])
        #expect(report.decodedForms == 1)
        let form = try #require(built.manifest.components[0].deltas.first)
        return form.payload
    }

    @Test("differences are modelled where the old bytes are sure, and not where a mount changes them")
    func modelled() throws {
        let erofs = try moved([0xE2, 0xE1, 0xF5, 0xE0], at: 1024)
        let ext4 = try moved([0x53, 0xEF], at: 1080)
        #expect(erofs * 3 < ext4 * 2)
    }

    @Test("every form of an image is in the bundle, is verified and gives the image")
    func allForms() throws {
        let images = try images()
        let component = try build(Self.all).manifest.components[0]
        #expect(component.deltas.count == 1 && component.solid != nil && component.blocks != nil)
        let old = try FileSystem.read(images.old, limit: 1 << 24)
        #expect(component.deltas[0].base == DeltaBase(digest: SHA256.digest(of: old), size: UInt64(old.count)))
        let report = try BundleVerifier.verify(
            scratch("out.kedge"), trust: trust.store, bases: [BaseSource(path: images.old)])
        #expect(report.forms == 3 && report.decodedForms == 3)
        let blind = try BundleVerifier.verify(scratch("out.kedge"), trust: trust.store)
        #expect(blind.forms == 3 && blind.decodedForms == 2)
    }

    @Test("a delta is much smaller than the image, and the solid form no larger than the windows")
    func sizes() throws {
        _ = try images()
        let component = try build(Self.all).manifest.components[0]
        let windows = try BundleReport(inspecting: scratch("out.kedge")).images[0].storedBytes
        let delta = try #require(component.deltas.first)
        let solid = try #require(component.solid)
        #expect((delta.payload + UInt64(delta.table.length)) * 5 < windows)
        #expect(solid.payload + UInt64(solid.table.length) <= windows)
    }

    @Test("the bytes are the same whatever the number of threads")
    func deterministic() throws {
        _ = try images()
        _ = try build(Self.all, jobs: 1, to: "one")
        _ = try build(Self.all, jobs: 5, to: "five")
        let one = try FileSystem.read(scratch("one"), limit: 1 << 26)
        #expect(try FileSystem.read(scratch("five"), limit: 1 << 26) == one)
    }

    private func codeOfVerification(_ path: String, base: String) -> String {
        code { _ = try BundleVerifier.verify(path, trust: trust.store, bases: [BaseSource(path: base)]) }
    }

    /// Flips one bit of a file.
    private func flip(_ path: String, at place: UInt64) throws {
        let file = try Descriptor(open: path, [.read, .write])
        let byte = try file.readBytes(at: place, count: 1)
        try file.write([byte[0] ^ 0x20].rawBytes, at: place)
    }

    @Test("a flipped bit anywhere in the forms is found")
    func flipped() throws {
        let images = try images()
        let manifest = try build(Self.all).manifest
        let component = manifest.components[0]
        let path = scratch("out.kedge")
        let bytes = try FileSystem.read(path, limit: 1 << 24)
        let header = try BundleHeader.decode(bytes.rawBytes)
        let delta = try #require(component.deltas.first)
        let first = delta.table.offset - delta.payload
        for offset in stride(from: first, to: manifest.payloadLength, by: 4_001) {
            try flip(path, at: header.payloadOffset + offset)
            #expect(codeOfVerification(path, base: images.old) == "payload.damaged", "at \(offset)")
            try flip(path, at: header.payloadOffset + offset)
        }
        #expect(codeOfVerification(path, base: images.old) == "ok")
    }

    @Test("an older bundle is as good a base as its image, and both are the same base")
    func bundleBase() throws {
        let images = try images()
        let new = try FileSystem.read(images.new, limit: 1 << 24)
        try FileSystem.replace(images.new, with: FileSystem.read(images.old, limit: 1 << 24))
        _ = try build(to: "old.kedge")
        try FileSystem.replace(images.new, with: new)
        let bases = [BaseSource(path: scratch("old.kedge")), BaseSource("rootfs=\(images.old)")]
        let result = try build(forms: FormRequest(bases: bases))
        #expect(result.manifest.components[0].deltas.count == 1)
        for base in [scratch("old.kedge"), images.old] {
            let found = try BundleExtractor.extract(
                scratch("out.kedge"), component: "rootfs", to: scratch("back.img"), trust: trust.store,
                bases: [BaseSource(path: base)])
            #expect(try FileSystem.read(scratch("back.img"), limit: 1 << 24) == new)
            #expect(found.fallbackWindows == 0)
            let bytes = try #require(found.deltaBytes)
            #expect(bytes * 5 < result.manifest.payloadLength)
        }
    }

    @Test("extracting with a base that no delta is from says so, and leaves the output alone")
    func noDelta() throws {
        let images = try images()
        _ = try build(Self.all)
        try scratch.write("back.img", "old")
        let found = code {
            _ = try BundleExtractor.extract(
                scratch("out.kedge"), component: "rootfs", to: scratch("back.img"), trust: trust.store,
                bases: [BaseSource(path: images.new)])
        }
        #expect(found == "bundle.no-delta")
        #expect(try FileSystem.read(scratch("back.img"), limit: 10) == Array("old".utf8))
    }

    @Test("a base that cannot be one is refused before anything is built")
    func badBases() throws {
        let images = try images()
        #expect(codeOfBase("kernel=\(images.old)") == "build.base")
        #expect(codeOfBase(scratch("missing.img")) == "storage.not-found")
        try scratch.write("empty.img", "")
        #expect(codeOfBase(scratch("empty.img")) == "build.image-empty")
        _ = try build(to: "old.kedge")
        #expect(codeOfBase("rootfs=" + scratch("old.kedge")) == "build.base")
        #expect(code { _ = try build("base = [\"nothing.img\"]") } == "recipe.file")
        #expect(code { _ = try build("base = \"old.img\"") } == "recipe.type")
        #expect(code { _ = try build("solid = 1") } == "recipe.type")
        #expect(try scratch.names.contains("out.kedge") == false)
    }

    @Test("the command line overrides the recipe's forms")
    func overrides() throws {
        _ = try images()
        let none = try build(Self.all, forms: FormRequest(solid: false, blocks: false)).manifest.components[0]
        #expect(none.deltas.count == 1 && none.solid == nil && none.blocks == nil)
        let plain = try build(forms: FormRequest(solid: true)).manifest.components[0]
        #expect(plain.deltas.isEmpty && plain.solid != nil && plain.blocks == nil)
    }

    @Test("an image that is compressed inside is built with a warning that says what to do")
    func warnings() throws {
        var squashfs = Array("hsqs".utf8) + [UInt8](repeating: 0, count: 4000)
        squashfs[20] = 6
        let cases: [([UInt8], String)] = [
            ([0x1f, 0x8b, 0x08, 0, 1, 2, 3], "gzip"), (squashfs, "squashfs compressed with zstd"),
            ([0x28, 0xb5, 0x2f, 0xfd, 0], "zstd"), (Array("070701".utf8) + [UInt8](repeating: 0x30, count: 100), ""),
        ]
        for (bytes, expected) in cases {
            try scratch.write("rootfs.img", bytes)
            let text = try build().warnings.joined()
            #expect(text.isEmpty == expected.isEmpty)
            if !expected.isEmpty { #expect(text.contains(expected)) }
        }
        squashfs[24] = 2
        try scratch.write("rootfs.img", squashfs)
        #expect(try build().warnings.isEmpty)
    }

    @Test("progress goes up to its total over all forms")
    func progress() throws {
        _ = try images()
        try scratch.write("recipe.toml", recipeText(component: Self.all))
        var seen: [BuildProgress] = []
        let builder = BundleBuilder(recipe: try Recipe(contentsOf: scratch("recipe.toml")), level: 1, jobs: 2)
        let result = try builder.build(to: scratch("out.kedge")) { seen.append($0) }
        #expect(seen.map { $0.done } == seen.map { $0.done }.sorted())
        #expect(seen.last?.done == seen.last?.total)
        #expect(seen.last?.total == 4 * result.manifest.imageBytes)
    }
}
