public import BundleFormat
internal import Platform
internal import StrictJSON

/// An update manifest of Device Update whose signature holds. Only `DeviceUpdateTrust` makes one.
public struct VerifiedUpdateManifest: Equatable, Sendable {
    /// Provider, name and version as the service writes them.
    public let updateID: String
    /// The file id of the bundle, by which `fileUrls` has its address.
    public let file: String
    /// Size and SHA-256 of the bundle's file.
    public let size: UInt64
    public let hash: Digest
    /// The manifest that the bundle must have: `installedCriteria`, as `kedge export adu` writes it.
    public let manifest: Digest

    /// The handler that Kedge answers to.
    static let handler = "kedge/bundle:1"

    init(verified text: String) throws(DeviceUpdateError) {
        do throws(JSONError) { try self.init(text) } catch { throw .manifest(error.context) }
    }

    private init(_ text: String) throws(JSONError) {
        let value = try JSONValue.parse(text, limit: 64 * 1024)
        guard let version = value["manifestVersion"]?.text, version == "4" || version == "5" else {
            throw JSONError(.outOfBounds, at: "manifestVersion", "must be 4 or 5")
        }
        if value["detachedManifestFileId"] != nil {
            throw JSONError(.outOfBounds, at: "detachedManifestFileId", "a detached manifest is not supported")
        }
        let identity = value["updateId"] ?? .null
        var parts: [(String, JSONValue)] = []
        for name in ["provider", "name", "version"] {
            guard let part = identity[name]?.text, !part.isEmpty else {
                throw JSONError(.missing, at: "updateId.\(name)", "is missing")
            }
            parts.append((name, .string(part)))
        }
        updateID = JSONValue.members(parts).compactText
        guard let steps = value["instructions"]?["steps"]?.elements, steps.count == 1, let step = steps.first,
            step["handler"]?.text == Self.handler
        else { throw JSONError(.outOfBounds, at: "instructions.steps", "must be one step of \(Self.handler)") }
        guard let files = step["files"]?.elements, files.count == 1, let file = files.first?.text else {
            throw JSONError(.outOfBounds, at: "instructions.steps.files", "must be one bundle")
        }
        self.file = file
        guard let criteria = step["handlerProperties"]?["installedCriteria"]?.text,
            let manifest = Digest(hex: criteria)
        else { throw JSONError(.outOfBounds, at: "handlerProperties.installedCriteria", "must be a digest") }
        self.manifest = manifest
        let entry = value["files"]?[file] ?? .null
        guard let size = entry["sizeInBytes"]?.number, size > 0,
            let bytes = entry["hashes"]?["sha256"]?.text.flatMap({ LooseBase64.decode($0) }), bytes.count == 32,
            let hash = Digest(bytes: bytes.rawBytes)
        else { throw JSONError(.outOfBounds, at: "files.\(file)", "must have a size and a sha256") }
        self.size = UInt64(size)
        self.hash = hash
    }
}
