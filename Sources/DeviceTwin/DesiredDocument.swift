public import BundleFormat
internal import Platform
public import StrictJSON
internal import UpdateEngine

/// What somebody wants of this device: the native `ota` section of the desired properties.
///
/// The twin only points: nothing in it can relax the checks that the bundle's signature, the trust store and the
/// device's own configuration make.
///
/// ```json
/// {"ota": {"attempt": "5c9e…", "url": "https://…/release.kedge", "manifest": "9f86…", "action": "install"},
///  "$version": 12}
/// ```
public struct DesiredUpdate: Equatable, Sendable {
    /// What to do.
    public enum Action: String, Sendable, CaseIterable {
        case install, download, pause, resume, cancel, confirm, rollback
    }
    /// The attempt's id: the same id never does anything twice.
    public let attempt: String
    public let action: Action
    /// Where the bundle is; needed for `install` and `download`, which stops before anything is armed.
    public let url: String
    /// The manifest it must have, if the sender knows.
    public let manifest: Digest?

    /// More places of the same bundle, tried where `url` fails.
    public let sources: [String]

    public init(attempt: String, action: Action, url: String, manifest: Digest?, sources: [String] = []) {
        self.attempt = attempt
        self.action = action
        self.url = url
        self.manifest = manifest
        self.sources = sources
    }

    /// Longest document, bytes: IoT Hub's limit for desired properties is 32 KB.
    public static let limit = 64 * 1024

    /// Takes the `ota` section out of a document; nil when it has none (another section changed, or `null`).
    public static func decode(_ document: JSONValue) throws(JSONError) -> (update: DesiredUpdate, version: Int64?)? {
        guard case .object = document else { throw JSONError(.wrongType, at: "document", "must be an object") }
        let version = document["$version"]?.number
        guard let section = document["ota"], section != .null else { return nil }
        var reader = try JSONObjectReader(section, at: "ota")
        let attempt = try reader.string("attempt", limit: 64)
        guard Attempt.isValid(id: attempt) else {
            throw JSONError(.outOfBounds, at: "ota.attempt", EngineError.badAttemptID.context)
        }
        let name = try reader.optionalString("action", limit: 16) ?? Action.install.rawValue
        guard let action = Action(rawValue: name) else {
            throw JSONError(
                .outOfBounds, at: "ota.action", "must be install, download, pause, resume, cancel, confirm or rollback")
        }
        let url = try reader.optionalString("url", limit: 4096) ?? ""
        if action == .install || action == .download, url.isEmpty {
            throw JSONError(.missing, at: "ota.url", "is missing")
        }
        let manifest = try reader.optionalDigest("manifest")
        var sources: [String] = []
        for value in try reader.optionalArray("sources", most: Attempt.alternativesLimit) {
            sources.append(try JSONObjectReader.string(value, at: "ota.sources", limit: 4096))
        }
        try reader.finish()
        let update = DesiredUpdate(attempt: attempt, action: action, url: url, manifest: manifest, sources: sources)
        return (update, version)
    }
}
