import BundleFormat
import Packaging
import Platform
import Testing

@Suite("Recipes")
struct RecipeTests {
    private let scratch: ScratchDirectory

    init() throws {
        scratch = try ScratchDirectory()
        try scratch.write("rootfs.img", "image")
        try scratch.write("sbom.spdx.json", "{}")
    }

    private func parse(_ text: String) throws -> Recipe {
        try Recipe(parsing: Array(text.utf8), path: scratch("recipe.toml"))
    }

    @Test("a recipe without optional keys gets the documented defaults")
    func defaults() throws {
        let recipe = try parse(recipeText())
        #expect(recipe.reboot == .automatic)
        #expect(recipe.healthDeadline == 300)
        #expect(recipe.minimumUpdater == DottedVersion("0.1.0"))
        #expect(recipe.level == Recipe.defaultLevel)
        #expect(recipe.images[0].target == recipe.images[0].id)
        #expect(recipe.images[0].path == scratch("rootfs.img"))
        #expect(recipe.advisories.isEmpty && recipe.meta.isEmpty && recipe.billOfMaterials == nil)
    }

    @Test("a recipe with every key keeps every value")
    func everyKey() throws {
        let recipe = try parse(
            recipeText(
                release: """
                    advisories = ["CVE-2026-1", "CVE-2026-2"]
                    sbom = { path = "sbom.spdx.json", format = "spdx-json" }
                    reboot = "manual"
                    health-deadline = 60
                    minimum-updater = "0.1"
                    not-before = 2026-05-01T02:00:00+02:00
                    expires = 2027-02-28T23:59:59Z
                    """,
                component: """
                    target = "system"
                    version = "12.4"
                    verity-root = "\(String(repeating: "0a", count: 32))"
                    """,
                more: "[compression]\nlevel = 3\n[meta]\nzeta = \"1\"\nalpha = \"2\""))
        #expect(recipe.advisories == ["CVE-2026-1", "CVE-2026-2"])
        #expect(recipe.billOfMaterials?.path == scratch("sbom.spdx.json"))
        #expect(recipe.reboot == .manual)
        #expect(recipe.healthDeadline == 60)
        #expect(recipe.notBefore == 1_777_593_600)
        #expect(recipe.expires == 1_803_859_199)
        #expect(recipe.images[0].target == Identifier("system"))
        #expect(recipe.images[0].verityRoot?.hex == String(repeating: "0a", count: 32))
        #expect(recipe.level == 3)
        #expect(recipe.meta.map { $0.name } == ["alpha", "zeta"])
    }

    @Test("the template is a valid recipe once its image is there")
    func template() throws {
        try scratch.write("rootfs.ext4", "image")
        let recipe = try parse(Recipe.template)
        #expect(recipe.releaseID == "acme-edge-1.0.0")
    }

    /// A recipe that must be refused, the code, and a word that the message must have.
    struct Refusal: CustomTestStringConvertible, Sendable {
        let why: String
        let text: String
        let code: String
        let word: String
        var testDescription: String { why }
    }

    static let refusals: [Refusal] = [
        Refusal(why: "no TOML", text: "[release\nid = 1", code: "recipe.syntax", word: "line 1"),
        Refusal(
            why: "no TOML later", text: recipeText(more: "[meta]\na = = 2"), code: "recipe.syntax", word: "line 18"),
        Refusal(why: "empty", text: "", code: "recipe.missing", word: "release"),
        Refusal(
            why: "unknown table", text: recipeText(more: "[compresion]\nlevel = 3"), code: "recipe.unknown-key",
            word: "compresion"),
        Refusal(
            why: "unknown key in a table", text: recipeText(release: "reeboot = \"manual\""),
            code: "recipe.unknown-key", word: "release.reeboot"),
        Refusal(
            why: "unknown key in a component", text: recipeText(component: "knd = 1"), code: "recipe.unknown-key",
            word: "component[0].knd"),
        Refusal(
            why: "unknown key in an inline table",
            text: recipeText(release: "sbom = { path = \"sbom.spdx.json\", format = \"x\", sha = 1 }"),
            code: "recipe.unknown-key", word: "release.sbom.sha"),
        Refusal(
            why: "number for text", text: recipeText(component: "version = 12"), code: "recipe.type",
            word: "component[0].version"),
        Refusal(
            why: "fraction for an integer", text: recipeText(release: "health-deadline = 1.5"), code: "recipe.type",
            word: "release.health-deadline"),
        Refusal(
            why: "text for a table", text: recipeText(more: "compression = 3"), code: "recipe.unknown-key",
            word: "component[0].compression"),
        Refusal(
            why: "text for a time", text: recipeText(release: "expires = \"tomorrow\""), code: "recipe.type",
            word: "date-time"),
        Refusal(
            why: "time without offset", text: recipeText(release: "expires = 2026-01-01T00:00:00"),
            code: "recipe.value", word: "release.expires"),
        Refusal(
            why: "expires before it starts",
            text: recipeText(release: "expires = 2026-01-01T00:00:00Z\nnot-before = 2026-01-02T00:00:00Z"),
            code: "recipe.value", word: "release.expires"),
        Refusal(
            why: "wrong choice", text: recipeText(release: "reboot = \"maybe\""), code: "recipe.value",
            word: "automatic, manual"),
        Refusal(
            why: "deadline of zero", text: recipeText(release: "health-deadline = 0"), code: "recipe.value",
            word: "1 to 86400"),
        Refusal(
            why: "level too high", text: recipeText(more: "[compression]\nlevel = 23"), code: "recipe.value",
            word: "1 to 22"),
        Refusal(
            why: "target that is a path", text: recipeText(component: "target = \"../etc\""), code: "recipe.value",
            word: "component[0].target"),
        Refusal(
            why: "verity root too short", text: recipeText(component: "verity-root = \"0a\""), code: "recipe.value",
            word: "64"),
        Refusal(
            why: "control character", text: recipeText(release: "advisories = [\"a\\u0007b\"]"),
            code: "recipe.value", word: "advisories[0]"),
        Refusal(
            why: "zero character", text: recipeText(release: "advisories = [\"a\\u0000b\"]"), code: "recipe.syntax",
            word: "zero"),
        Refusal(
            why: "empty text", text: recipeText(component: "version = \"\""), code: "recipe.value", word: "1 to 64"),
        Refusal(
            why: "updater that is no version", text: recipeText(release: "minimum-updater = \"new\""),
            code: "recipe.value", word: "dotted"),
        Refusal(
            why: "same id twice",
            text: recipeText(
                more: "[[component]]\nid = \"rootfs\"\nkind = \"kernel\"\npath = \"rootfs.img\"\ntarget = \"b\""),
            code: "recipe.duplicate", word: "component[1].id"),
        Refusal(
            why: "same target twice",
            text: recipeText(
                more: "[[component]]\nid = \"b\"\nkind = \"kernel\"\npath = \"rootfs.img\"\ntarget = \"rootfs\""),
            code: "recipe.duplicate", word: "component[1].target"),
        Refusal(
            why: "missing image", text: recipeText(image: "nothing.img"), code: "recipe.file", word: "nothing.img"),
        Refusal(why: "directory as image", text: recipeText(image: "."), code: "recipe.file", word: "directory"),
        Refusal(
            why: "missing SBOM", text: recipeText(release: "sbom = { path = \"none\", format = \"x\" }"),
            code: "recipe.file", word: "release.sbom.path"),
        Refusal(
            why: "hardware upside down",
            text: recipeText().replacing("hardware = [1, 3]", with: "hardware = [3, 1]"), code: "recipe.value",
            word: "product.hardware"),
        Refusal(
            why: "negative sequence", text: recipeText().replacing("sequence = 12", with: "sequence = -1"),
            code: "recipe.value", word: "release.sequence"),
        Refusal(
            why: "missing sequence", text: recipeText().replacing("sequence = 12", with: ""), code: "recipe.missing",
            word: "release.sequence"),
        Refusal(
            why: "bad component id", text: recipeText().replacing("id = \"rootfs\"", with: "id = \"Root FS\""),
            code: "recipe.value", word: "component[0].id"),
        Refusal(
            why: "unknown kind", text: recipeText().replacing("kind = \"rootfs\"", with: "kind = \"firmware\""),
            code: "recipe.value", word: "rootfs, kernel, bios, container"),
    ]

    @Test("a wrong recipe is refused with its code and the place of the mistake", arguments: refusals)
    func refused(_ refusal: Refusal) throws {
        let error = try #require(throws: PackagingError.self) { try parse(refusal.text) }
        #expect(error.code == refusal.code)
        #expect(error.category == .configuration)
        #expect(Failure(error).line.contains(refusal.word), "\(Failure(error).line)")
    }

    @Test("bytes that are not UTF-8 are refused")
    func notText() throws {
        let error = try #require(throws: PackagingError.self) {
            try Recipe(parsing: [0x61, 0xff, 0xfe], path: "recipe.toml")
        }
        #expect(error.code == "recipe.syntax")
    }

    @Test("a recipe that is not there is a recipe.file error")
    func noRecipe() throws {
        let error = try #require(throws: PackagingError.self) { try Recipe(contentsOf: scratch("none.toml")) }
        #expect(error.code == "recipe.file")
    }
}
