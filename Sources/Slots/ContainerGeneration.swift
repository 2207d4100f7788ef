public import BundleFormat
internal import Platform
public import StrictJSON

/// Which blob a slot set uses for one container target: the content of `generations/TARGET.SET.json`.
public struct ContainerGeneration: Equatable, Sendable {
    /// The container's slot name in device.ini.
    public let target: Identifier
    /// The slot set, `a` or `b`.
    public let generation: String
    /// The component that brought it.
    public let component: Identifier
    /// SHA-256 of the blob, which is also its name.
    public let blob: Digest
    /// Bytes of the blob.
    public let size: UInt64
    /// Id of the release that brought it.
    public let release: String
    /// The component's version text, if it has one.
    public let version: String?

    static let type = "kedge.generation"
    /// Longest file that is read, bytes.
    static let limit = 16384

    public init(
        target: Identifier, generation: String, component: Identifier, blob: Digest, size: UInt64, release: String,
        version: String?
    ) {
        self.target = target
        self.generation = generation
        self.component = component
        self.blob = blob
        self.size = size
        self.release = release
        self.version = version
    }

    /// Reads the document strictly.
    public init(_ value: JSONValue) throws(JSONError) {
        var reader = try JSONObjectReader(value, at: "")
        if try reader.string("type", limit: 64) != Self.type {
            throw JSONError(.outOfBounds, at: "type", "must be \(Self.type)")
        }
        _ = try reader.integer("format", in: 1...1)
        target = try Self.identifier(&reader, "target")
        generation = try reader.string("generation", limit: 8)
        component = try Self.identifier(&reader, "component")
        let hex = try reader.string("blob", limit: 64)
        guard let blob = Digest(hex: hex) else { throw JSONError(.outOfBounds, at: "blob", "must be a digest") }
        self.blob = blob
        size = UInt64(try reader.integer("size", in: 0...Int64(BundleLimits.image)))
        release = try reader.string("release", limit: 256)
        version = try reader.optionalString("version", limit: 256)
        try reader.finish()
    }

    private static func identifier(_ reader: inout JSONObjectReader, _ name: String) throws(JSONError) -> Identifier {
        let text = try reader.string(name, limit: 32)
        guard let identifier = Identifier(text) else {
            throw JSONError(.outOfBounds, at: name, "must be 1 to 32 of a-z, 0-9 and -")
        }
        return identifier
    }

    /// The document.
    public var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("type", .string(Self.type)), ("format", .integer(1)), ("target", .string(target.text)),
            ("generation", .string(generation)), ("component", .string(component.text)),
            ("blob", .string(blob.hex)), ("size", .integer(Int64(clamping: size))), ("release", .string(release)),
        ]
        if let version { members.append(("version", .string(version))) }
        return .members(members)
    }
}
