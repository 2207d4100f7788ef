import BundleFormat
import Foundation
import Platform
import StrictJSON
import Testing

@testable import CloudExport

/// Golden documents (Fixtures/README.md). KEDGE_WRITE_FIXTURES=1 writes them again.
private enum Golden {
    private static var root: String {
        FileSystem.parent(of: FileSystem.parent(of: FileSystem.parent(of: #filePath))) + "/Fixtures"
    }
    static func path(_ name: String) -> String { "\(root)/\(name)" }

    static func check(_ document: JSONValue, _ name: String) throws {
        let text = document.prettyText + "\n"
        let path = path("cloud/\(name)")
        if ProcessInfo.processInfo.environment["KEDGE_WRITE_FIXTURES"] == "1" {
            try FileSystem.replace(path, with: Array(text.utf8))
        }
        let known = String(decoding: try FileSystem.read(path, limit: 1 << 20), as: UTF8.self)
        #expect(text == known)
    }
}

@Suite("Import manifests of Azure Device Update")
struct ImportManifestTests {
    private func manifest(_ change: (inout ImportManifest.Choice) -> Void = { _ in }) throws -> ImportManifest {
        var choice = ImportManifest.Choice()
        change(&choice)
        return try ImportManifest(bundle: Golden.path("bundle/bundle.kedge"), choice)
    }

    @Test("A bundle's manifest is the golden one")
    func golden() throws {
        try Golden.check(
            try manifest {
                $0.provider = "acme"
                $0.name = "edge-gateway"
                $0.version = "2.1.0"
                $0.compatibility = [("manufacturer", "acme"), ("model", "edge-gateway")]
            }.json, "import-manifest.json")
    }

    @Test("The hash is that of the whole file, in base64")
    func hash() throws {
        let bytes = try FileSystem.read(Golden.path("bundle/bundle.kedge"), limit: 1 << 24)
        let made = try manifest { $0.version = "1.0" }
        #expect(made.size == UInt64(bytes.count))
        let file = made.json["files"]?.elements?.first
        #expect(file?["hashes"]?["sha256"]?.text == Base64.encode(SHA256.digest(of: bytes).bytes))
    }

    @Test(
        "What the service would refuse after the upload is refused before it",
        arguments: [
            ("provider", "a b"), ("provider", ""), ("name", String(repeating: "n", count: 65)), ("version", "1"),
            ("version", "1.2.3.4.5"), ("version", "1.x"), ("version", "1..2"), ("version", "1.2147483648"),
            ("version", "1.-2"), ("description", String(repeating: "d", count: 513)),
        ])
    func refused(what: String, text: String) throws {
        let error = try #require(throws: ExportError.self) {
            _ = try manifest {
                $0.version = "1.0"
                switch what {
                case "provider": $0.provider = text
                case "name": $0.name = text
                case "version": $0.version = text
                default: $0.description = text
                }
            }
        }
        #expect(error.code == "export.value" && error.context.hasPrefix(what))
    }

    @Test("More than five properties, or one twice, are refused")
    func compatibility() {
        let six = (1...6).map { (name: "p\($0)", value: "v") }
        for entries in [six, [("a", "1"), ("a", "2")]] {
            #expect(throws: ExportError.self) {
                _ = try manifest {
                    $0.version = "1.0"
                    $0.compatibility = entries
                }
            }
        }
    }
}

@Suite("Deployment manifests of IoT Edge")
struct EdgeManifestTests {
    private func release(_ targets: [String] = ["gateway-app", "historian"]) throws -> Manifest {
        let table = TableReference(offset: 0, length: 0, digest: SHA256.digest(of: []))
        let components = try targets.map { name in
            let id = try #require(Identifier(name))
            return Component(
                id: id, kind: .container, target: id, version: name == "historian" ? "4.2+x" : nil, size: 1,
                digest: SHA256.digest(of: Array(name.utf8)), windowSize: 1 << 20, table: table, verityRoot: nil)
        }
        return Manifest(
            releaseID: "acme-2.1.0", version: "2.1.0", sequence: 1, securityVersion: 1,
            product: Product(vendor: "acme", deviceClass: "edge", hardware: 1...1),
            minimumUpdater: try #require(DottedVersion("1.0.0")), created: 0, notBefore: nil, expires: nil,
            update: .feature, advisories: [], sbomDigest: nil, sbomFormat: nil, components: components,
            reboot: .automatic, healthDeadline: 60, tablesLength: 0, payloadLength: 0, meta: [])
    }

    private func choice(_ change: (inout EdgeManifest.Choice) -> Void = { _ in }) -> EdgeManifest.Choice {
        var choice = EdgeManifest.Choice()
        choice.registry = "registry.example/acme"
        change(&choice)
        return choice
    }

    @Test("A release's containers become the golden manifest")
    func golden() throws {
        let chosen = choice {
            $0.images["gateway-app"] = "registry.example/app@sha256:" + String(repeating: "a", count: 64)
            $0.createOptions["gateway-app"] = #"{"HostConfig":{"Privileged":true}}"#
            $0.pull = .never
        }
        try Golden.check(try EdgeManifest(release(), chosen).json, "edge-manifest.json")
    }

    @Test("A tag has only characters that a tag may have")
    func tag() throws {
        let modules = try EdgeManifest(release(), choice()).json["modulesContent"]?["$edgeAgent"]?[
            "properties.desired"]?[
                "modules"]
        #expect(modules?["historian"]?["settings"]?["image"]?.text == "registry.example/acme/historian:4.2-x")
    }

    @Test("Long create options are cut into pieces that give the whole again")
    func pieces() throws {
        let options = #"{"Env":[""# + String(repeating: "e", count: 1200) + #""]}"#
        let made = try EdgeManifest(release(["app"]), choice { $0.createOptions["app"] = options }).json
        let settings = made["modulesContent"]?["$edgeAgent"]?["properties.desired"]?["modules"]?["app"]?["settings"]
        let texts = ["createOptions", "createOptions01", "createOptions02"].map { settings?[$0]?.text ?? "" }
        #expect(texts.joined() == options)
        #expect(texts.allSatisfy { (1...512).contains($0.utf8.count) })
    }

    @Test("In a manifest that was given, only modules of the same name are replaced")
    func base() throws {
        let text = """
            {"modulesContent":{"$edgeAgent":{"properties.desired":{"schemaVersion":"1.0","modules":{
            "historian":{"old":true},"other":{"kept":true}}}},"other":{"properties.desired":{"x":1}}}}
            """
        let value = try JSONValue.parse(Array(text.utf8), limit: 1 << 16)
        let made = try EdgeManifest(release(["historian"]), choice(), base: ("b", value)).json
        let desired = made["modulesContent"]?["$edgeAgent"]?["properties.desired"]
        #expect(desired?["schemaVersion"]?.text == "1.0")
        #expect(desired?["modules"]?["other"]?["kept"] == .bool(true))
        #expect(desired?["modules"]?["historian"]?["old"] == nil)
        #expect(made["modulesContent"]?["other"]?["properties.desired"]?["x"]?.number == 1)
    }

    @Test("What cannot become a manifest is refused")
    func refused() throws {
        #expect(throws: ExportError.noContainers(release: "acme-2.1.0")) {
            _ = try EdgeManifest(release([]), choice())
        }
        #expect(throws: ExportError.noImage(target: "app")) {
            _ = try EdgeManifest(release(["app"]), choice { $0.registry = nil })
        }
        #expect(throws: ExportError.self) { _ = try EdgeManifest(release(), choice { $0.images["nobody"] = "x" }) }
        #expect(throws: ExportError.self) { _ = try EdgeManifest(release(["a"]), choice { $0.images["a"] = "a b" }) }
        #expect(throws: ExportError.self) {
            _ = try EdgeManifest(release(["a"]), choice { $0.createOptions["a"] = "{" })
        }
        #expect(throws: ExportError.base(path: "b", why: "modulesContent.$edgeAgent.properties.desired is missing")) {
            _ = try EdgeManifest(release(["a"]), choice(), base: ("b", .object([])))
        }
    }
}
