internal import ArgumentParser
internal import Packaging
internal import Platform

/// `kedge init`.
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Write a commented recipe to start from.",
        discussion: "Writes recipe.toml. A recipe that exists is never overwritten.")

    @Argument(help: "The directory for it; made when it is not there.", completion: .directory)
    var directory = "."

    func run() throws {
        let path = try Recipe.writeTemplate(in: directory)
        StandardStream.output.line("\(path)  edit it, then run kedge build \(path) -o release.kedge")
    }
}
