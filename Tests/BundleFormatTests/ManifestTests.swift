import BundleFormat
import Platform
import StrictJSON
import Testing

@Suite("Manifests")
struct ManifestTests {
    private func code(of bytes: [UInt8]) -> String? {
        do throws(FormatError) {
            _ = try Manifest.decode(bytes)
            return nil
        } catch {
            guard case .manifest(let inner) = error else { return error.code }
            return inner.code
        }
    }

    @Test("The golden manifest is read with every member, and written byte for byte")
    func golden() throws {
        let bytes = try Fixture.bytes("manifest.json")
        let manifest = try Manifest.decode(bytes)
        #expect(manifest.releaseID == "2025.11-gateway")
        #expect(manifest.version == "2025.11 \"résumé\"")
        #expect(manifest.sequence == 9_007_199_254_740_991)
        #expect(manifest.securityVersion == .max)
        #expect(manifest.product == Product(vendor: "Example", deviceClass: "gateway", hardware: 0...UInt32.max))
        #expect(manifest.minimumUpdater == DottedVersion("0.1.0"))
        #expect(manifest.notBefore == 0 && manifest.expires == 253_402_300_799)
        #expect(manifest.update == .security && manifest.reboot == .automatic && manifest.healthDeadline == 300)
        #expect(manifest.advisories == ["CVE-2025-0001", "CVE-2025-0002"])
        #expect(manifest.sbomDigest == SHA256.digest(of: Array("sbom".utf8)))
        #expect(manifest.components.map(\.id.text) == ["rootfs"])
        #expect(manifest.components[0].verityRoot == SHA256.digest(of: Array("verity".utf8)))
        #expect(manifest.imageBytes == 8292)
        #expect(manifest.meta.map(\.name) == ["ticket", "note"])
        #expect(manifest.bytes == bytes)
    }

    @Test("A manifest that is cut off at any byte is a typed error")
    func truncated() throws {
        let bytes = try Fixture.bytes("manifest.json")
        for count in 0..<bytes.count { #expect(code(of: Array(bytes[0..<count])) == "json.syntax") }
    }

    @Test(
        "What need not be there may be missing",
        arguments: [
            "notBefore", "expires", "advisories", "sbom", "meta", "components/0/version", "components/0/verity",
        ])
    func optional(path: String) throws {
        let bytes = try Fixture.manifest { try $0.set(path, nil) }
        #expect(try Manifest.decode(bytes).bytes == bytes)
    }

    @Test(
        "What must be there must be there",
        arguments: [
            "type", "format", "release", "release/id", "release/version", "sequence", "securityVersion", "product",
            "product/vendor", "product/class", "product/hardware", "minimumUpdater", "created", "update",
            "sbom/sha256", "sbom/format", "components", "components/0/id", "components/0/kind",
            "components/0/target", "components/0/size", "components/0/sha256", "components/0/window",
            "components/0/table", "components/0/table/offset", "components/0/table/length",
            "components/0/table/sha256", "reboot", "health", "health/deadline", "layout", "layout/tables",
            "layout/payload",
        ])
    func required(path: String) throws {
        #expect(code(of: try Fixture.manifest { try $0.set(path, nil) }) == "json.missing")
    }

    @Test(
        "An unknown member is refused at every level, because an old device cannot know what it asks for",
        arguments: ["", "release/", "product/", "sbom/", "components/0/", "components/0/table/", "health/", "layout/"])
    func unknown(level: String) throws {
        #expect(code(of: try Fixture.manifest { try $0.set(level + "critical", .integer(1)) }) == "json.unknown")
    }

    @Test("A member that starts with x- is left alone", arguments: ["x-note", "components/0/x-note", "health/x-note"])
    func extensions(path: String) throws {
        let bytes = try Fixture.manifest { try $0.set(path, .array([.null])) }
        #expect(try Manifest.decode(bytes) == Fixture.manifest())
    }

    @Test(
        "Values out of bounds are refused",
        arguments: [
            ("type", .string("kedge.root")), ("format", .integer(2)), ("sequence", .integer(-1)),
            ("sequence", .integer(9_007_199_254_740_992)), ("securityVersion", .integer(4_294_967_296)),
            ("release/id", .string("")), ("release/id", .string(String(repeating: "r", count: 129))),
            ("release/version", .string("1\u{1b}[2J")), ("product/hardware", .array([.integer(2), .integer(1)])),
            ("product/hardware", .array([.integer(0), .integer(4_294_967_296)])),
            ("product/hardware", .array([.integer(0)])), ("minimumUpdater", .string("1.x")),
            ("created", .integer(253_402_300_800)), ("update", .string("Security")), ("reboot", .string("never")),
            ("components", .array([])), ("components/0/id", .string("../etc")), ("components/0/kind", .string("file")),
            ("components/0/size", .integer(0)), ("components/0/size", .integer(1 << 44 + 1)),
            ("components/0/window", .integer(4095)), ("components/0/window", .integer(1_048_577)),
            ("components/0/sha256", .string("")), ("components/0/sha256", .string(String(repeating: "A", count: 64))),
            ("components/0/table/offset", .integer(1)), ("components/0/table/length", .integer(186)),
            ("health/deadline", .integer(0)), ("health/deadline", .integer(86401)), ("layout/tables", .integer(188)),
            ("layout/payload", .integer(-1)), ("advisories", .array([.string("")])),
            ("meta/ticket", .string("\u{7f}")), ("meta/bad\u{1b}name", .string("x")),
        ] as [(String, JSONValue)])
    func bounds(path: String, value: JSONValue) throws {
        #expect(code(of: try Fixture.manifest { try $0.set(path, value) }) == "json.bounds")
    }

    @Test(
        "Values of another type are refused",
        arguments: [
            ("release", .string("x")), ("sequence", .string("1")), ("sequence", .real("1.5")), ("created", .bool(true)),
            ("notBefore", .null), ("components", .members([])), ("components/0", .integer(1)),
            ("components/0/sha256", .integer(0)), ("meta", .array([])), ("meta/ticket", .integer(1)),
        ] as [(String, JSONValue)])
    func types(path: String, value: JSONValue) throws {
        #expect(code(of: try Fixture.manifest { try $0.set(path, value) }) == "json.type")
    }

    @Test("Two components with one id, or with one target, are refused", arguments: ["id", "target"])
    func duplicates(member: String) throws {
        let bytes = try Fixture.manifest { document in
            var second = try #require(document["components"]?.elements?.first)
            try second.set("id", .string("second"))
            try second.set("target", .string("second"))
            try second.set(member, .string("rootfs"))
            try document.set("components/1", second)
        }
        #expect(code(of: bytes) == "json.duplicate")
    }

    @Test("The same member twice is refused")
    func duplicateMember() throws {
        let text = String(decoding: try Fixture.bytes("manifest.json"), as: UTF8.self)
        let twice = text.dropLast() + ",\"sequence\":1}"
        #expect(code(of: Array(twice.utf8)) == "json.duplicate")
    }

    @Test("Tables must lie one behind the other: a gap, an overlap or a swap is refused", arguments: [0, 186, 188])
    func tables(offset: Int64) throws {
        let bytes = try Fixture.manifest { document in
            var second = try #require(document["components"]?.elements?.first)
            try second.set("id", .string("second"))
            try second.set("target", .string("second"))
            try second.set("table/offset", .integer(offset))
            try document.set("components/1", second)
            try document.set("layout/tables", .integer(2 * 187))
        }
        #expect(code(of: bytes) == "json.bounds")
    }

    @Test("More bytes than a manifest may have are not parsed")
    func tooLarge() {
        #expect(code(of: [UInt8](repeating: 0x20, count: BundleLimits.manifest + 1)) == "json.too-large")
    }
}
