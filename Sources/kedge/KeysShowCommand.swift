internal import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
internal import Trust

/// `kedge keys show`.
struct KeysShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print the id of a public key, as trust roots and bundles name it.")

    @Argument(help: "A public key file, NAME.key.pub.", completion: .file())
    var file: String

    func run() throws { StandardStream.output.line(try PublicKey.load(path: file).id.hex) }
}
