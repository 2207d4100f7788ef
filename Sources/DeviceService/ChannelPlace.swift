internal import BundleFormat
internal import Platform
internal import Transfer
internal import UpdateEngine

/// The channel that the device follows: the section `[channel]` of device.ini.
struct ChannelPlace: Equatable, Sendable {
    let name: Identifier
    /// Where its statement is; nil for beside each bundle.
    let location: String?
    let policy: ChannelFollowing.Policy

    /// Nil when there is no such section.
    init?(_ reader: inout ConfigurationReader) throws(ServiceError) {
        if !reader.sectionNames.contains("channel") { return nil }
        let text = try reader.required("channel", "name")
        guard let name = Identifier(text) else {
            throw reader.problem("[channel] name = \(text) must be 1 to 32 of a-z, 0-9 and -")
        }
        self.name = name
        location = reader.optional("channel", "url")
        if let location, location.isEmpty { throw reader.problem("[channel] url is empty") }
        let policy = reader.optional("channel", "policy") ?? ChannelFollowing.Policy.report.rawValue
        guard let known = ChannelFollowing.Policy(rawValue: policy) else {
            throw reader.problem("[channel] policy = \(policy) must be report or newest")
        }
        self.policy = known
    }

    /// With the statement kept in the data directory.
    func following(data: String, _ network: DeviceNetwork) -> ChannelFollowing {
        var options = network.options
        // News that does not come at once is looked for again with the next attempt.
        options.attemptsWithoutProgress = 1
        options.connectTimeoutMilliseconds = min(options.connectTimeoutMilliseconds, 10_000)
        options.stallMilliseconds = min(options.stallMilliseconds, 10_000)
        return ChannelFollowing(
            name: name, location: location, policy: policy,
            sources: ConfiguredSources(network, options: options), kept: FileDocument(data + "/channel"))
    }
}
