internal import ArgumentParser
internal import BundleFormat
internal import Platform

/// What release engineers and their CI run. Devices run `kedged`.
@main struct Kedge: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kedge",
        abstract: "Build, sign and check updates for gateways.",
        discussion: """
            A first release:
              kedge keys new keys                 makes keys and a trust root
              kedge init                          writes recipe.toml
              kedge build recipe.toml -o release.kedge --key keys/release.key
              kedge verify release.kedge --root keys/root.json

            Errors are one line on standard error, with a code that never changes \
            its meaning. Exit status: 0 done, 1 unexpected, 2 usage, \
            3 configuration, 4 trust, 5 policy, 6 storage, 7 network, 8 boot, \
            9 state, 10 canceled, 11 health, 12 a simulation found a broken rule.
            """,
        version: KedgeVersion.text,
        subcommands: [
            KeysCommand.self,
            TrustCommand.self,
            ChannelCommand.self,
            OverrideCommand.self,
            RolloutCommand.self,
            ExportCommand.self,
            InitCommand.self,
            BuildCommand.self,
            SignCommand.self,
            InspectCommand.self,
            VerifyCommand.self,
            ExtractCommand.self,
            SimulateCommand.self,
            GatewayCommand.self,
            ImageCommand.self,
        ])

    static func main() {
        var asked: (any ParsableCommand)?
        do {
            var command = try parseAsRoot()
            asked = command
            try command.run()
        } catch {
            CommandFailure.end(error, of: asked)
        }
    }
}
