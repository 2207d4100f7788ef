internal import ArgumentParser

/// `kedge trust`.
struct TrustCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trust",
        abstract: "Change whom devices trust: the next trust root.",
        discussion: """
            Devices follow root.1.json to root.2.json and so on, each signed by the thresholds of both. Publish them \
            beside the bundles and keep all of them for ever: a device that was away walks every one.

              init           root.1.json, as a draft to sign
              add-key        gives a key to a role
              remove-key     takes a key from its roles; it may come back later
              rotate         puts a new key in every place of an old one
              revoke         takes a key from its roles for ever
              set-threshold  how many keys of a role must sign
              set-policy     any keys of a role, or keys of each algorithm (hybrid)
              deny           refuses one release for ever
              set-floor      refuses all releases below a security version for ever
              sign           adds signatures, until both thresholds are met
              verify         checks a root against the former one, and prints what changes
              show           prints a root

            Changing a signed root N writes the draft root.(N+1).json beside it. Changing a draft that nobody has \
            signed changes the draft itself.
            """,
        subcommands: [
            TrustInitCommand.self, TrustAddKeyCommand.self, TrustRemoveKeyCommand.self, TrustRotateCommand.self,
            TrustRevokeCommand.self, TrustThresholdCommand.self, TrustPolicyCommand.self, TrustDenyCommand.self,
            TrustFloorCommand.self, TrustSignCommand.self, TrustVerifyCommand.self, TrustShowCommand.self,
        ])
}
