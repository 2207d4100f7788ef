public import ArgumentParser
public import BundleFormat
internal import Packaging
internal import Platform
internal import Signing
internal import Trust

extension Identifier: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// `kedge trust init`.
struct TrustInitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Write the first trust root as a draft for several people to sign.")

    @Option(name: .shortAndLong, help: "Where to write it.", completion: .file())
    var output = "root.1.json"
    @Option(name: .customLong("root"), help: ArgumentHelp("A root key's public half; repeatable.", valueName: "file"))
    var rootKeys: [String]
    @Option(
        name: .customLong("release"), help: ArgumentHelp("A release key's public half; repeatable.", valueName: "file"))
    var releaseKeys: [String]
    @Option(help: "How many root keys must sign a trust root.")
    var rootThreshold = 1
    @Option(help: "How many release keys must sign a release.")
    var releaseThreshold = 1
    @Flag(
        help: """
            Hybrid: the thresholds must be met by the keys of each algorithm, so that releases stay safe when one \
            algorithm falls. Needs keys of two algorithms in both roles.
            """)
    var hybrid = false
    @Option(help: "Whom the trust root is for: prod (devices in the field) or dev.")
    var environment: TrustRoot.Environment = .prod

    func run() throws {
        if try FileSystem.kind(of: output) != nil { throw SigningError.exists(path: output) }
        var draft = RootDraft(
            environment: environment, created: SystemTime().realSeconds(), rootThreshold: rootThreshold,
            releaseThreshold: releaseThreshold)
        for (role, paths) in [(TrustRole.root, rootKeys), (.release, releaseKeys)] {
            for path in paths {
                try draft.add(try PublicKey.load(path: path), name: TrustDraftOptions.name(path), to: role)
            }
            if hybrid { try draft.requireEachAlgorithm(of: role) }
        }
        try TrustDraftOptions.write(RootSignatures(draft: draft.root()), to: output)
        StandardStream.output.line("\(output)  draft of version 1; sign it with kedge trust sign")
    }
}

/// `kedge trust add-key`.
struct TrustAddKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "add-key", abstract: "Give a key to a role.")

    @OptionGroup var draft: TrustDraftOptions
    @Argument(help: "The public half, NAME.key.pub.", completion: .file())
    var key: String
    @Option(help: "The role: root, release, channel or override.")
    var role: TrustRole
    @Option(help: "The group of the role; otherwise the one called like the key's algorithm. A new name makes a group.")
    var group: Identifier?
    @Option(help: "A name for people; otherwise that of the file.")
    var name: String?

    func run() throws {
        let loaded = try PublicKey.load(path: key)
        try draft.edit { try $0.add(loaded, name: name ?? TrustDraftOptions.name(key), to: role, group: group) }
    }
}

/// `kedge trust remove-key`.
struct TrustRemoveKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove-key", abstract: "Take a key from a role, or from all its roles.")

    @OptionGroup var draft: TrustDraftOptions
    @Argument(help: "The key's id, or its public half.", completion: .file())
    var key: String
    @Option(help: "Only from this role: root, release, channel or override.")
    var role: TrustRole?

    func run() throws {
        let id = try TrustDraftOptions.keyID(key)
        try draft.edit { try $0.remove(id, from: role) }
    }
}

/// `kedge trust rotate`.
struct TrustRotateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Put a new key in every place of an old one.",
        discussion: "The old key counts for nothing from then on; with --revoke it can never come back.")

    @OptionGroup var draft: TrustDraftOptions
    @Option(help: ArgumentHelp("The old key's id, or its public half.", valueName: "key"), completion: .file())
    var old: String
    @Option(help: ArgumentHelp("The new key's public half.", valueName: "file"), completion: .file())
    var new: String
    @Option(help: "The new key's name for people; otherwise that of the file.")
    var name: String?
    @Flag(help: "Revoke the old key.")
    var revoke = false

    func run() throws {
        let former = try TrustDraftOptions.keyID(old)
        let key = try PublicKey.load(path: new)
        try draft.edit {
            try $0.replace(former, by: key, name: name ?? TrustDraftOptions.name(new))
            if revoke { try $0.revoke(former) }
        }
    }
}

/// `kedge trust revoke`.
struct TrustRevokeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Take a key from its roles for ever.",
        discussion: "Use it for a key that was lost or stolen. No later root can take it back.")

    @OptionGroup var draft: TrustDraftOptions
    @Argument(help: "The key's id, or its public half.", completion: .file())
    var key: String

    func run() throws {
        let id = try TrustDraftOptions.keyID(key)
        try draft.edit { try $0.revoke(id) }
    }
}

/// `kedge trust set-threshold`.
struct TrustThresholdCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set-threshold", abstract: "Set how many keys of a role must sign.")

    @OptionGroup var draft: TrustDraftOptions
    @Argument(help: "The role: root, release, channel or override.")
    var role: TrustRole
    @Argument(help: "1 to the number of its keys.")
    var threshold: Int
    @Option(help: "The group, where the role has groups.")
    var group: Identifier?

    func run() throws { try draft.edit { try $0.setThreshold(threshold, of: role, group: group) } }
}

/// Whether the keys of a role stand for each other.
enum RolePolicy: String, ExpressibleByArgument, CaseIterable {
    case any, all
}

/// `kedge trust set-policy`.
struct TrustPolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set-policy", abstract: "Ask for signatures by any keys of a role, or by keys of each algorithm.",
        discussion: """
            With all the role's keys are parted into groups by their algorithm (ed25519, ml-dsa-65, …), and each group \
            must meet the threshold by itself: a hybrid. Leaving out one group's signatures is refused. With any the \
            groups become one list again, and as many signatures are needed as before.
            """)

    @OptionGroup var draft: TrustDraftOptions
    @Argument(help: "The role: root, release, channel or override.")
    var role: TrustRole
    @Argument(help: "any or all.")
    var policy: RolePolicy

    func run() throws {
        try draft.edit {
            switch policy {
            case .any: try $0.requireAny(of: role)
            case .all: try $0.requireEachAlgorithm(of: role)
            }
        }
    }
}

/// `kedge trust deny`.
struct TrustDenyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "deny", abstract: "Refuse one release for ever, although it is signed.")

    @OptionGroup var draft: TrustDraftOptions
    @Argument(help: "The bundle, or the digest of its manifest (kedge inspect).", completion: .file())
    var release: String

    func run() throws {
        let digest = try Digest(hex: release) ?? BundleReport(inspecting: release).manifestDigest
        try draft.edit { $0.deny(digest) }
    }
}

/// `kedge trust set-floor`.
struct TrustFloorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set-floor", abstract: "Refuse all releases below a security version for ever.",
        discussion: "The floor only rises: no later root can lower it.")

    @OptionGroup var draft: TrustDraftOptions
    @Argument(help: "The lowest security version that devices accept.")
    var floor: UInt32

    func run() throws { try draft.edit { try $0.setFloor(floor) } }
}
