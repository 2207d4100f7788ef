public import BundleFormat
internal import Platform
public import StrictJSON

/// "The newest release of this channel is this one": freshness, where a device follows a channel. It brings no release
/// in and keeps, by itself, none out; it lets a device notice that somebody withholds news from it.
public struct ChannelStatement: Statement {
    public static let role = TrustRole.channel
    public static let payloadType = "application/vnd.kedge.channel.v1+json"
    private static let documentType = "kedge.channel"

    /// The channel's name.
    public let channel: Identifier
    /// The newest release: its sequence, the digest of its manifest, and its id for people.
    public let sequence: UInt64
    public let manifest: Digest
    public let releaseID: String
    /// Seconds since 1970. A statement that was made later replaces one that was made earlier.
    public let created: Int64
    /// Behind this time, seconds since 1970, it is stale; later than `created`.
    public let expires: Int64

    /// Nil when the values cannot be in a statement.
    public init?(
        channel: Identifier, sequence: UInt64, manifest: Digest, releaseID: String, created: Int64, expires: Int64
    ) {
        self.channel = channel
        self.sequence = sequence
        self.manifest = manifest
        self.releaseID = releaseID
        self.created = created
        self.expires = expires
        do throws(JSONError) { _ = try Self.decode(bytes) } catch { return nil }
    }

    public var json: JSONValue {
        .members([
            ("type", .string(Self.documentType)), ("format", .integer(1)), ("channel", .string(channel.text)),
            ("sequence", .integer(Int64(clamping: sequence))), ("manifest", .string(manifest.hex)),
            ("release", .string(releaseID)), ("created", .integer(created)), ("expires", .integer(expires)),
        ])
    }

    public init(json: JSONValue) throws(JSONError) {
        var reader = try JSONObjectReader(json, at: "channel")
        try Self.header(&reader, type: Self.documentType)
        channel = try reader.identifier("channel")
        sequence = UInt64(try reader.integer("sequence", in: 0...StatementLimits.sequence))
        manifest = try reader.digest("manifest")
        releaseID = try reader.string("release", limit: 128)
        created = try reader.integer("created", in: 0...StatementLimits.time)
        expires = try reader.integer("expires", in: 0...StatementLimits.time)
        if expires <= created {
            throw JSONError(.outOfBounds, at: reader.path("expires"), "must be later than created")
        }
        try reader.finish()
    }
}
