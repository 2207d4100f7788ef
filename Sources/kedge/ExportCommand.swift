internal import ArgumentParser
internal import BundleFormat
internal import CloudExport
internal import Packaging
internal import Platform
internal import StrictJSON

/// `kedge export`.
struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Describe a bundle for a service that other people's agents use.",
        subcommands: [ExportADUCommand.self, ExportEdgeManifestCommand.self])
}

/// Where a document goes.
struct ExportOutput: ParsableArguments {
    @Option(name: .shortAndLong, help: "Where to write it, instead of standard output.", completion: .file())
    var output: String?
    @Flag(help: "Replace the file that is there.")
    var replace = false

    func write(_ document: JSONValue) throws {
        let text = document.prettyText + "\n"
        guard let output else { return StandardStream.output.write(text) }
        if !replace, try FileSystem.kind(of: output) != nil {
            throw ExportError.file(path: output, why: "it is there already; --replace replaces it")
        }
        try FileSystem.replace(output, with: Array(text.utf8))
    }

    /// `name=value`.
    static func pair(_ text: String, of option: String) throws -> (String, String) {
        let halves = text.split(separator: "=", maxSplits: 1)
        if halves.count != 2 { throw ValidationError("\(option) takes NAME=VALUE, not '\(text)'.") }
        return (String(halves[0]), String(halves[1]))
    }
}

/// `kedge export adu`.
struct ExportADUCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adu", abstract: "Write an import manifest (version 5) of Azure Device Update.",
        discussion: """
            Import it together with the bundle, with 'az iot du update import' for example. Devices need kedged with \
            its Device Update dialect, or an agent with a handler kedge/bundle:1. By default provider and name are the \
            product's vendor and class, and so is what a device must report as manufacturer and model.
            """)

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String
    @Option(help: "Provider of the update.") var provider: String?
    @Option(help: "Name of the update.") var name: String?
    @Option(name: .customLong("update-version"), help: "Its version, 2 to 4 numbers with dots between.")
    var version: String?
    @Option(help: "Text for people.") var description: String?
    @Option(
        name: .customLong("compatible"),
        help: ArgumentHelp("A property that a device must report; repeatable.", valueName: "name=value"))
    var compatible: [String] = []
    @OptionGroup var output: ExportOutput

    func run() throws {
        var choice = ImportManifest.Choice()
        (choice.provider, choice.name, choice.version, choice.description) = (provider, name, version, description)
        choice.compatibility = try compatible.map { try ExportOutput.pair($0, of: "--compatible") }
        try output.write(try ImportManifest(bundle: bundle, choice).json)
    }
}

/// `kedge export edge-manifest`.
struct ExportEdgeManifestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edge-manifest", abstract: "Write an IoT Edge deployment manifest for a release's containers.",
        discussion: """
            Each component of kind container becomes a module that is named like its target. Image names come from \
            --image, or are REGISTRY/TARGET:VERSION with --registry. With --base the modules are put into a manifest \
            of yours. Set it with 'az iot edge set-modules', or as a deployment at scale.
            """)

    @Argument(help: "The bundle.", completion: .file(extensions: ["kedge"]))
    var bundle: String
    @Option(
        name: .customLong("image"),
        help: ArgumentHelp("A container's image; repeatable.", valueName: "target=image"))
    var images: [String] = []
    @Option(help: "Registry (and path) of images without a name of their own.") var registry: String?
    @Option(
        name: .customLong("create-options"),
        help: ArgumentHelp("A container's create options as JSON; repeatable.", valueName: "target=json"))
    var createOptions: [String] = []
    @Option(help: "on-create, or never where kedged brings the images.") var pull = "on-create"
    @Option(help: "Image of edgeAgent.") var agentImage: String?
    @Option(help: "Image of edgeHub.") var hubImage: String?
    @Option(help: "A deployment manifest to put the modules into.", completion: .file(extensions: ["json"]))
    var base: String?
    @OptionGroup var output: ExportOutput

    func run() throws {
        var choice = EdgeManifest.Choice()
        guard let pull = EdgeManifest.Pull(rawValue: pull) else {
            throw ValidationError("--pull must be on-create or never.")
        }
        choice.pull = pull
        choice.registry = registry
        for text in images {
            let (target, image) = try ExportOutput.pair(text, of: "--image")
            choice.images[target] = image
        }
        for text in createOptions {
            let (target, options) = try ExportOutput.pair(text, of: "--create-options")
            choice.createOptions[target] = options
        }
        if let agentImage { choice.agentImage = agentImage }
        if let hubImage { choice.hubImage = hubImage }
        let report = try BundleReport(inspecting: bundle)
        let manifest = try EdgeManifest(report.manifest, choice, base: try base.map { try Self.read($0) })
        try output.write(manifest.json)
    }

    private static func read(_ path: String) throws -> (path: String, value: JSONValue) {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try FileSystem.read(path, limit: 1 << 20) } catch {
            throw ExportError.file(path: path, why: error.context)
        }
        do throws(JSONError) { return (path, try JSONValue.parse(bytes, limit: 1 << 20)) } catch {
            throw ExportError.base(path: path, why: error.context)
        }
    }
}
