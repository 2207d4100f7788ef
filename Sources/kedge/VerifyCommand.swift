internal import ArgumentParser
internal import Packaging
internal import Platform
internal import StrictJSON
internal import Trust

/// `kedge verify`.
struct VerifyCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Check a whole bundle against a trust root.",
        discussion: """
            Checks the signatures, every digest, that every image comes back whole, and that the bundle holds nothing \
            else. Exit status 4 when it is not to be trusted.
            """)

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String
    @Option(help: "The trust root that devices hold, root.json.", completion: .file(extensions: ["json"]))
    var root: String
    @Option(
        name: .customLong("base"),
        help: "A base that the bundle has a delta from, to decode it too: an image or a bundle. May be repeated.",
        completion: .file())
    var bases: [String] = []
    @Flag(help: "Print one JSON object, and no progress.")
    var json = false

    func run() throws {
        let progress = ProgressLine("verifying", json: json)
        defer { progress.clear() }
        let report = try BundleVerifier.verify(
            bundle, trust: TrustStore.load(path: root), bases: bases.map { BaseSource(path: $0) }
        ) { done, total in
            progress.update(done, of: total)
        }
        progress.clear()
        StandardStream.output.line(json ? report.json.prettyText : report.text)
    }
}
