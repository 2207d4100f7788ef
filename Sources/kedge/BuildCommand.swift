internal import ArgumentParser
internal import BundleFormat
internal import Packaging
internal import Platform
internal import StrictJSON

/// `kedge build`.
struct BuildCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Build a bundle from a recipe, and sign it.",
        discussion: """
            The same recipe and files give the same bytes on every machine with the same libzstd, whatever --jobs is. \
            SOURCE_DATE_EPOCH sets the time in the manifest; without it the newest modification time of the recipe \
            and its files is taken. OUTPUT is replaced as a whole when everything is done; until then, and on any \
            error or signal, it keeps what it held.
            """)

    @Argument(help: "The recipe, a TOML file; kedge init writes one.", completion: .file(extensions: ["toml"]))
    var recipe: String
    @Option(name: .shortAndLong, help: "Where to write the bundle.", completion: .file())
    var output: String
    @OptionGroup var keys: SigningKeyOptions
    @Option(help: "How many threads compress; by default one for each processor.")
    var jobs: Int?
    @Option(help: "The zstd level, 1 (fast) to 22 (small), instead of the recipe's.")
    var level: Int?
    @Option(
        name: .customLong("delta-from"),
        help: ArgumentHelp(
            """
            A release that devices run now: they will fetch only what differs. An older bundle, or the older image \
            of one component as ID=PATH. May be given up to 16 times, beside the recipe's.
            """, valueName: "base"), completion: .file())
    var bases: [String] = []
    @Flag(
        inversion: .prefixedNo,
        help: "Carry a second, smaller form of every image for devices that fetch all of it over a network.")
    var solid: Bool?
    @Flag(
        inversion: .prefixedNo,
        help: "Carry a third form, of single blocks, for devices that run something else or were interrupted.")
    var blocks: Bool?
    @Flag(help: "Print one JSON object, and no progress.")
    var json = false

    func validate() throws {
        if let jobs, !(1...256).contains(jobs) { throw ValidationError("--jobs must be 1 to 256.") }
        if let level, !Recipe.levels.contains(level) { throw ValidationError("--level must be 1 to 22.") }
    }

    func run() throws {
        let created = try SourceDate.fromEnvironment()
        let recipe = try Recipe(contentsOf: recipe)
        let signers = try keys.load()
        let builder = BundleBuilder(
            recipe: recipe, level: level, jobs: jobs ?? ProcessInformation.processorCount, created: created,
            forms: FormRequest(bases: bases.map { BaseSource($0) }, solid: solid, blocks: blocks))
        let progress = ProgressLine("building", json: json)
        defer { progress.clear() }
        let result = try builder.build(to: output, keys: signers) { now in
            progress.update(now.done, of: now.total, note: "  \(ByteCount.text(now.stored)) stored")
        }
        progress.clear()
        if !json { for warning in result.warnings { StandardStream.error.line("warning: \(warning).") } }
        StandardStream.output.line(json ? result.json.prettyText : result.text)
    }
}
