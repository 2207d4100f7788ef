import BundleFormat
import Foundation
import Packaging
import Platform
import Testing

@Suite("Building bundles")
struct BundleBuilderTests {
    private let scratch: ScratchDirectory

    init() throws { scratch = try ScratchDirectory() }

    /// Bytes of a bundle taken apart by the format's own decoder.
    private struct Parts {
        let header: BundleHeader
        let manifest: Manifest
        let tables: [ChunkTable]
        let bytes: [UInt8]

        init(_ path: String) throws {
            let bytes = try FileSystem.read(path, limit: 1 << 26)
            let header = try BundleHeader.decode(bytes.rawBytes)
            let manifest = try Manifest.decode(Array(bytes[header.manifestOffset..<header.tablesOffset]))
            var tables: [ChunkTable] = []
            for component in manifest.components {
                let start = header.tablesOffset + component.table.offset
                let part = Array(bytes[start..<(start + component.table.length)])
                tables.append(try ChunkTable.decode(part.rawBytes))
            }
            (self.header, self.manifest, self.tables, self.bytes) = (header, manifest, tables, bytes)
        }
    }

    private func recipe(_ text: String) throws -> Recipe {
        try scratch.write("recipe.toml", text)
        return try Recipe(contentsOf: scratch("recipe.toml"))
    }

    private func build(
        _ recipe: Recipe, to name: String = "out.kedge", level: Int = 3, jobs: Int = 2, created: Int64? = 1
    ) throws -> BuildResult {
        try BundleBuilder(recipe: recipe, level: level, jobs: jobs, created: created).build(to: scratch(name))
    }

    @Test("the number of jobs and a second run change no byte of the bundle")
    func deterministic() throws {
        var source = FixedBytes(seed: 1)
        var image: [UInt8] = []
        for part in 0..<12 {
            image += part % 3 == 0 ? source.noise(mebibyte) : source.text(mebibyte)
        }
        try scratch.write("rootfs.img", image + image.prefix(5 * mebibyte) + source.text(12345))
        let recipe = try recipe(recipeText())
        _ = try build(recipe, to: "one", jobs: 1)
        _ = try build(recipe, to: "four", jobs: 4)
        _ = try build(recipe, to: "again", jobs: 4)
        let one = try FileSystem.read(scratch("one"), limit: 1 << 26)
        #expect(try FileSystem.read(scratch("four"), limit: 1 << 26) == one)
        #expect(try FileSystem.read(scratch("again"), limit: 1 << 26) == one)
    }

    @Test("the given time goes into the manifest")
    func created() throws {
        try scratch.write("rootfs.img", "image")
        let result = try build(try recipe(recipeText()), created: 1_700_000_000)
        #expect(result.manifest.created == 1_700_000_000)
        #expect(try Parts(scratch("out.kedge")).manifest == result.manifest)
    }

    @Test("without a given time the newest modification time of the inputs is taken")
    func newestInput() throws {
        try scratch.write("rootfs.img", "image")
        let recipe = try recipe(recipeText())
        let set = { (name: String, seconds: Double) in
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: seconds)], ofItemAtPath: scratch(name))
        }
        try set("rootfs.img", 1_600_000_000)
        try set("recipe.toml", 1_500_000_000)
        #expect(try build(recipe, created: nil).manifest.created == 1_600_000_000)
        try set("recipe.toml", 1_650_000_000)
        #expect(try build(recipe, created: nil).manifest.created == 1_650_000_000)
    }

    @Test("a zero window costs one byte of the table and nothing of the payload")
    func zeroWindows() throws {
        let one = [UInt8](repeating: 0x61, count: 100)
        try scratch.write("rootfs.img", one)
        _ = try build(try recipe(recipeText()), to: "short")
        let short = try Parts(scratch("short"))
        try scratch.write("rootfs.img", one + [UInt8](repeating: 0, count: 9 * mebibyte - 100 + 17))
        _ = try build(try recipe(recipeText()), to: "long")
        let long = try Parts(scratch("long"))
        #expect(long.tables[0].windows.filter { $0.codec == .zero }.count == 9)
        #expect(long.header.tablesLength == short.header.tablesLength + 9)
        #expect(long.header.payloadLength < 200)
    }

    @Test("equal windows are stored once, within an image and across components")
    func deduplication() throws {
        var source = FixedBytes(seed: 2)
        let a = source.noise(mebibyte)
        let b = source.text(mebibyte)
        try scratch.write("rootfs.img", a + b + a + b + a)
        try scratch.write("kernel.img", b + a)
        let more = "[[component]]\nid = \"kernel\"\nkind = \"kernel\"\npath = \"kernel.img\""
        _ = try build(try recipe(recipeText(more: more)), jobs: 4)
        let parts = try Parts(scratch("out.kedge"))
        let entries = parts.tables.flatMap { $0.windows }
        #expect(entries.count == 7)
        #expect(Set(entries.map { $0.storedOffset }).count == 2)
        #expect(parts.header.payloadLength == UInt64(entries[0].storedLength + entries[1].storedLength))
    }

    @Test("windows that do not compress are stored as they are, others as zstd")
    func codecs() throws {
        var source = FixedBytes(seed: 3)
        try scratch.write("rootfs.img", source.noise(mebibyte) + source.text(mebibyte) + source.noise(1))
        _ = try build(try recipe(recipeText()))
        #expect(try Parts(scratch("out.kedge")).tables[0].windows.map { $0.codec } == [.stored, .zstd, .stored])
    }

    @Test(
        "every frame is a single one with content size, without checksum, and needs at most a 1 MiB window",
        arguments: [1, 12, 19, 22])
    func frames(level: Int) throws {
        var source = FixedBytes(seed: 4)
        try scratch.write("rootfs.img", source.text(mebibyte + 300_000))
        _ = try build(try recipe(recipeText()), level: level)
        let parts = try Parts(scratch("out.kedge"))
        for (index, entry) in parts.tables[0].windows.enumerated() {
            let start = Int(parts.header.payloadOffset + entry.storedOffset)
            // RFC 8878 section 3.1.1.1: the descriptor's single-segment bit makes the content size the window.
            let descriptor = parts.bytes[start + 4]
            #expect(entry.codec == .zstd)
            #expect(descriptor & 0x20 != 0, "single segment")
            #expect(descriptor & 0x04 == 0, "no checksum")
            #expect(descriptor & 0x03 == 0, "no dictionary")
            #expect(descriptor >> 6 == 2, "content size in four bytes")
            let size = (0..<4).reduce(0) { $0 | Int(parts.bytes[start + 5 + $1]) << (8 * $1) }
            #expect(size == parts.tables[0].plainLength(of: index))
        }
    }

    @Test("the digests in the manifest are those of the image and of the SBOM")
    func digests() throws {
        var source = FixedBytes(seed: 5)
        let image = source.text(2 * mebibyte + 7)
        try scratch.write("rootfs.img", image)
        try scratch.write("sbom.json", "{\"spdx\":1}")
        let text = recipeText(release: "sbom = { path = \"sbom.json\", format = \"spdx-json\" }")
        let manifest = try build(try recipe(text)).manifest
        #expect(manifest.components[0].digest == SHA256.digest(of: image))
        #expect(manifest.components[0].size == UInt64(image.count))
        #expect(manifest.sbomDigest == SHA256.digest(of: Array("{\"spdx\":1}".utf8)))
    }

    @Test("an unsigned bundle has a signature section with no signatures and nothing behind its end")
    func layout() throws {
        try scratch.write("rootfs.img", "image")
        let result = try build(try recipe(recipeText()))
        let parts = try Parts(scratch("out.kedge"))
        #expect(parts.header.envelopeLength == 2)
        #expect(UInt64(parts.bytes.count) == parts.header.totalLength)
        #expect(result.size == parts.header.totalLength)
        try parts.header.checkEnd(Array(parts.bytes.suffix(BundleHeader.endByteCount)).rawBytes)
        #expect(try scratch.names == ["out.kedge", "recipe.toml", "rootfs.img"])
    }

    @Test("an empty image is refused and leaves no file behind")
    func emptyImage() throws {
        try scratch.write("rootfs.img", "")
        let recipe = try recipe(recipeText())
        #expect(throws: PackagingError.imageEmpty(file: scratch("rootfs.img"))) { try build(recipe) }
        #expect(try scratch.names == ["recipe.toml", "rootfs.img"])
    }

    @Test("an image that grows while it is read is refused, and the old output stays")
    func growingImage() throws {
        var source = FixedBytes(seed: 6)
        try scratch.write("rootfs.img", source.text(8 * mebibyte))
        try scratch.write("out.kedge", "old")
        let recipe = try recipe(recipeText())
        let error = #expect(throws: PackagingError.self) {
            var grown = false
            _ = try BundleBuilder(recipe: recipe, level: 1, jobs: 1, created: 1).build(to: scratch("out.kedge")) { _ in
                if grown { return }
                grown = true
                let handle = try #require(FileHandle(forWritingAtPath: scratch("rootfs.img")))
                try handle.seekToEnd()
                try handle.write(contentsOf: Data([1]))
            }
        }
        #expect(error?.code == "build.image-changed")
        #expect(try FileSystem.read(scratch("out.kedge"), limit: 10) == Array("old".utf8))
        #expect(try scratch.names == ["out.kedge", "recipe.toml", "rootfs.img"])
    }

    @Test("an error of the progress callback ends the build and leaves nothing behind")
    func callbackError() throws {
        struct Stop: Error {}
        var source = FixedBytes(seed: 7)
        try scratch.write("rootfs.img", source.text(20 * mebibyte))
        let recipe = try recipe(recipeText())
        #expect(throws: Stop.self) {
            try BundleBuilder(recipe: recipe, level: 1, jobs: 2).build(to: scratch("out.kedge")) { _ in throw Stop() }
        }
        #expect(try scratch.names == ["recipe.toml", "rootfs.img"])
    }

    @Test("an existing bundle is replaced as a whole")
    func replaces() throws {
        try scratch.write("rootfs.img", "image")
        try scratch.write("out.kedge", [UInt8](repeating: 7, count: 100_000))
        _ = try build(try recipe(recipeText()))
        _ = try Parts(scratch("out.kedge"))
    }

    @Test("a directory or a device as output is refused", arguments: ["/dev/null", "."])
    func specialOutput(path: String) throws {
        try scratch.write("rootfs.img", "image")
        let recipe = try recipe(recipeText())
        let error = try #require(throws: PackagingError.self) {
            try BundleBuilder(recipe: recipe).build(to: path)
        }
        #expect(error.code == "output.refused")
    }

    @Test("progress reaches the total and names the component")
    func progress() throws {
        var source = FixedBytes(seed: 8)
        try scratch.write("rootfs.img", source.text(3 * mebibyte + 1))
        var seen: [BuildProgress] = []
        let builder = BundleBuilder(recipe: try recipe(recipeText()), level: 1, jobs: 2)
        let result = try builder.build(to: scratch("out.kedge")) { seen.append($0) }
        #expect(seen.count == 4)
        #expect(seen.map { $0.done } == seen.map { $0.done }.sorted())
        #expect(seen.last?.done == seen.last?.total)
        #expect(seen.last?.stored == result.manifest.payloadLength)
        #expect(seen.allSatisfy { $0.component == Identifier("rootfs") })
    }
}
