internal import ArgumentParser
internal import BundleFormat
internal import Packaging
internal import Platform
internal import Trust

/// `kedge extract`.
struct ExtractCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "extract",
        abstract: "Write one image of a bundle to a file.",
        discussion: """
            The bundle must be signed for the trust root, and every digest must hold. Zeros become holes. OUTPUT is \
            replaced as a whole at the end; on any error or signal it keeps what it held.
            """)

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String
    @Argument(help: "The component's id, as kedge inspect shows it.")
    var component: String
    @Option(name: .shortAndLong, help: "Where to write the image.", completion: .file())
    var output: String
    @Option(help: "The trust root that devices hold, root.json.", completion: .file(extensions: ["json"]))
    var root: String

    @Option(
        name: .customLong("base"),
        help: "Make it from this older image or bundle by a delta of the bundle, as a device would. May be repeated.",
        completion: .file())
    var bases: [String] = []

    func run() throws {
        let progress = ProgressLine("extracting", json: false)
        defer { progress.clear() }
        let found = try BundleExtractor.extract(
            bundle, component: component, to: output, trust: TrustStore.load(path: root),
            bases: bases.map { BaseSource(path: $0) }
        ) { done, total in
            progress.update(done, of: total)
        }
        progress.clear()
        var note = ""
        if let bytes = found.deltaBytes {
            note = ", \(ByteCount.text(bytes)) of the bundle read, \(found.fallbackWindows) windows in full"
        }
        let image = found.component
        StandardStream.output.line(
            "\(output)  \(ByteCount.text(image.size)), sha256 \(image.digest.hex)\(note)")
    }
}
