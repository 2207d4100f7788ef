internal import ArgumentParser

/// `kedge keys`.
struct KeysCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys",
        abstract: "Make keys and trust roots.",
        discussion: """
            The root key signs root.json, the trust root that devices hold; keep it offline. The release key signs \
            bundles. Private keys are PKCS#8 PEM files that only their owner may read.
            """,
        subcommands: [KeysNewCommand.self, KeysRootCommand.self, KeysShowCommand.self])
}
