internal import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
internal import Trust

/// `kedge channel`.
struct ChannelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "channel",
        abstract: "Say which release of a channel is the newest, for devices that follow it.",
        discussion: """
            A statement NAME.channel.json, signed by the role channel, stands beside the bundles or at the url of \
            [channel] in device.ini. It expires soon, so that a device notices when news is withheld from it; sign a \
            new one before that, for the same release when there is none newer.
            """,
        subcommands: [ChannelNewCommand.self, ChannelSignCommand.self, ChannelAddCommand.self, ChannelShowCommand.self])
}

/// `kedge channel new`.
struct ChannelNewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Write a channel's statement for its newest release.",
        discussion: "With --key it is signed at once. A statement made later replaces the former one on devices.")

    @Argument(help: "The channel: 1 to 32 of a-z, 0-9 and -.")
    var channel: String
    @OptionGroup var release: StatementReleaseOptions
    @Option(help: "Days until it is stale, 1 to 366.")
    var days = 7
    @Option(name: .shortAndLong, help: "Where to write it, instead of NAME.channel.json.", completion: .file())
    var output: String?
    @Flag(help: "Replace the file that is there.")
    var replace = false
    @OptionGroup var keys: SigningKeyOptions

    func validate() throws {
        if Identifier(channel) == nil { throw ValidationError("A channel is 1 to 32 of a-z, 0-9 and -.") }
        if !(1...366).contains(days) { throw ValidationError("--days must be 1 to 366.") }
    }

    func run() throws {
        let head = try release.load()
        let now = SystemTime().realSeconds()
        guard let name = Identifier(channel),
            let statement = ChannelStatement(
                channel: name, sequence: head.manifest.sequence, manifest: head.manifestDigest,
                releaseID: head.manifest.releaseID, created: now, expires: now + Int64(days) * 86400)
        else { throw ValidationError("The release or this machine's clock cannot be in a statement.") }
        let path = output ?? "\(name).channel.json"
        try StatementFile.create(StatementSignatures(draft: statement), at: path, signing: keys, replacing: replace)
    }
}

/// `kedge channel sign`.
struct ChannelSignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign", abstract: "Add signatures to a channel's statement.")

    @Argument(help: "The statement; it is changed in place.", completion: .file(extensions: ["json"]))
    var statement: String
    @OptionGroup var keys: SigningKeyOptions

    func validate() throws {
        if keys.key.isEmpty { throw ValidationError("Missing expected argument '--key <file>'") }
    }
    func run() throws { try StatementFile.sign(ChannelStatement.self, statement, with: keys) }
}

/// `kedge channel add`.
struct ChannelAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Bring the signatures of copies together, which people signed at the same time.")

    @Argument(help: "The statement; it is changed in place.", completion: .file(extensions: ["json"]))
    var statement: String
    @Argument(help: "Signed copies of it.", completion: .file(extensions: ["json"]))
    var copies: [String]

    func run() throws { try StatementFile.add(ChannelStatement.self, statement, from: copies) }
}

/// `kedge channel show`.
struct ChannelShowCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print a channel's statement, and check it with a trust root as a device does.")

    @Argument(help: "The statement.", completion: .file(extensions: ["json"]))
    var statement: String
    @Option(help: "The trust root of the devices.", completion: .file(extensions: ["json"]))
    var root: String?
    @Flag(help: "Print the document as JSON.")
    var json = false

    func run() throws { try StatementFile.show(ChannelStatement.self, statement, root: root, json: json) }
}
