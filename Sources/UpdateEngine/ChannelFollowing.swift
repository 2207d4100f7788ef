public import BundleFormat
public import Platform
public import Trust

/// How a device follows a channel.
public struct ChannelFollowing: Sendable {
    /// What a statement that names a newer release does to an older one.
    public enum Policy: String, Sendable, CaseIterable {
        /// Nothing: it is reported.
        case report
        /// A release that is not the newest is refused while the statement is fresh.
        case newest
    }
    /// The channel.
    public let name: Identifier
    /// Where its statement is; nil for `NAME.channel.json` beside each bundle.
    public let location: String?
    public let policy: Policy
    /// Opens that place, without much patience: news that does not come is no reason to wait.
    public let sources: any SourceOpener
    /// Where the newest statement is kept.
    public let kept: any KeptDocument

    public init(
        name: Identifier, location: String?, policy: Policy, sources: any SourceOpener, kept: any KeptDocument
    ) {
        self.name = name
        self.location = location
        self.policy = policy
        self.sources = sources
        self.kept = kept
    }
}

/// What a device knows of its channel.
public struct ChannelStatus: Equatable, Sendable {
    public let name: Identifier
    public let policy: ChannelFollowing.Policy
    /// The newest statement that was verified; nil when there never was one.
    public let statement: ChannelStatement?
    /// Whether that one expired.
    public let isStale: Bool
    /// Seconds since it was made, at least; nil without one.
    public let age: Int64?
    /// Why there is none that is newer, if something was wrong.
    public let problem: Failure?

    public init(
        name: Identifier, policy: ChannelFollowing.Policy, statement: ChannelStatement?, isStale: Bool, age: Int64?,
        problem: Failure?
    ) {
        self.name = name
        self.policy = policy
        self.statement = statement
        self.isStale = isStale
        self.age = age
        self.problem = problem
    }
}
