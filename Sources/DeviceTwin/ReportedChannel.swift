internal import BundleFormat
internal import Platform
public import StrictJSON
internal import Trust
public import UpdateEngine

/// The channel as reports give it.
public enum ReportedChannel {
    /// What is known of the newest release; null where the device follows no channel.
    public static func json(_ channel: ChannelStatus?) -> JSONValue {
        guard let channel else { return .null }
        var members: [(String, JSONValue)] = [
            ("name", .string(channel.name.text)), ("policy", .string(channel.policy.rawValue)),
        ]
        if let statement = channel.statement {
            members += [
                ("sequence", .integer(Int64(clamping: statement.sequence))),
                ("release", .string(statement.releaseID)), ("manifest", .string(statement.manifest.hex)),
                ("created", .integer(statement.created)), ("expires", .integer(statement.expires)),
                // In hours, so that not every report differs from the last.
                ("ageHours", .integer((channel.age ?? 0) / 3600)), ("stale", .bool(channel.isStale)),
            ]
        } else {
            let names = ["sequence", "release", "manifest", "created", "expires", "ageHours", "stale"]
            members += names.map { ($0, .null) }
        }
        members.append(("problem", channel.problem.map { ReportedDocument.failure($0) } ?? .null))
        return .members(members)
    }
}
