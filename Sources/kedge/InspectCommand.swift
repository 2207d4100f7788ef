internal import ArgumentParser
internal import Packaging
internal import Platform
internal import StrictJSON

/// `kedge inspect`.
struct InspectCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show what a bundle says about itself.",
        discussion: "Nothing is verified: use kedge verify before you rely on any of it.")

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String
    @Flag(help: "Print one JSON object with the whole manifest.")
    var json = false

    func run() throws {
        let report = try BundleReport(inspecting: bundle)
        StandardStream.output.line(json ? report.json.prettyText : report.text)
    }
}
