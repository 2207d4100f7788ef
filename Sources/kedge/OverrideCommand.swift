internal import ArgumentParser
internal import BundleFormat
internal import Platform
internal import Signing
internal import StrictJSON
internal import Trust

/// `kedge override`.
struct OverrideCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "override",
        abstract: "Let named devices install one older release, once.",
        discussion: """
            On the device:   kedged override request --json > gw-7.request
            In the office:   kedge override new gw-7.override --request gw-7.request --bundle r1.kedge --boots 5
                             kedge override sign gw-7.override --key anna.key
                             kedge override sign gw-7.override --key ben.key
            On the device:   kedged install r1.kedge --override gw-7.override
            The trust root's role override says whose signatures count, and how many. No override goes below the trust \
            root's floor or a TPM's.
            """,
        subcommands: [
            OverrideNewCommand.self, OverrideSignCommand.self, OverrideAddCommand.self, OverrideShowCommand.self,
        ])
}

/// `kedge override new`.
struct OverrideNewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Write an override for several people to sign.",
        discussion: "With --key it is signed at once.")

    @Argument(help: "Where to write it.", completion: .file())
    var output: String
    @Option(
        help: ArgumentHelp("What kedged override request --json printed; repeatable.", valueName: "file"),
        completion: .file())
    var request: [String] = []
    @Option(help: ArgumentHelp("A device's id and nonce, with a colon between; repeatable.", valueName: "id:nonce"))
    var device: [String] = []
    @OptionGroup var release: StatementReleaseOptions
    @Option(help: "Days until it is worth nothing.")
    var days: Int?
    @Option(help: "Boots of the device after its request, until it is worth nothing, 1 to 1000.")
    var boots: UInt32?
    @Option(help: "Why, for the people who sign.")
    var reason: String?
    @OptionGroup var keys: SigningKeyOptions

    func validate() throws {
        if request.isEmpty, device.isEmpty { throw ValidationError("Missing expected argument '--request <file>'") }
        if days == nil, boots == nil { throw ValidationError("An override must end: give --days, --boots or both.") }
        if let days, !(1...3660).contains(days) { throw ValidationError("--days must be 1 to 3660.") }
    }

    func run() throws {
        let devices = try request.map(Self.request) + device.map(Self.device)
        let head = try release.load()
        let now = SystemTime().realSeconds()
        guard
            let statement = OverrideStatement(
                devices: devices, manifest: head.manifestDigest, created: now,
                expires: days.map { now + Int64($0) * 86400 }, boots: boots, reason: reason)
        else {
            throw ValidationError(
                "The devices (each id once, at most 256), --boots (at most 1000) or --reason (at most 256 bytes) are wrong."
            )
        }
        let draft = StatementSignatures(draft: statement)
        try StatementFile.create(draft, at: output, signing: keys, replacing: false)
    }

    private static func request(_ path: String) throws -> OverrideStatement.Device {
        var reader = try JSONObjectReader(
            JSONValue.parse(FileSystem.read(path, limit: 65536), limit: 65536), at: "request")
        let id = try reader.string("device", limit: 128)
        let nonce = try reader.string("nonce", limit: 2 * OverrideStatement.nonceLength)
        try reader.finish()
        return try device("\(id):\(nonce)")
    }

    private static func device(_ text: String) throws -> OverrideStatement.Device {
        // Ids may have colons, nonces have none.
        guard let colon = text.lastIndex(of: ":"), let nonce = Hex.decode(String(text[text.index(after: colon)...])),
            nonce.count == OverrideStatement.nonceLength, colon > text.startIndex
        else { throw ValidationError("\(text) is not ID:NONCE, as kedged override request prints them.") }
        return OverrideStatement.Device(id: String(text[..<colon]), nonce: nonce)
    }
}

/// `kedge override sign`.
struct OverrideSignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign", abstract: "Print an override and add signatures to it.")

    @Argument(help: "The override; it is changed in place.", completion: .file())
    var statement: String
    @OptionGroup var keys: SigningKeyOptions

    func validate() throws {
        if keys.key.isEmpty { throw ValidationError("Missing expected argument '--key <file>'") }
    }
    func run() throws { try StatementFile.sign(OverrideStatement.self, statement, with: keys) }
}

/// `kedge override add`.
struct OverrideAddCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Bring the signatures of copies together, which people signed at the same time.")

    @Argument(help: "The override; it is changed in place.", completion: .file())
    var statement: String
    @Argument(help: "Signed copies of it.", completion: .file())
    var copies: [String]

    func run() throws { try StatementFile.add(OverrideStatement.self, statement, from: copies) }
}

/// `kedge override show`.
struct OverrideShowCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print an override, and check it with a trust root as a device does.")

    @Argument(help: "The override.", completion: .file())
    var statement: String
    @Option(help: "The trust root of the devices.", completion: .file(extensions: ["json"]))
    var root: String?
    @Flag(help: "Print the document as JSON.")
    var json = false

    func run() throws { try StatementFile.show(OverrideStatement.self, statement, root: root, json: json) }
}
