public import BundleFormat
internal import Platform
public import StrictJSON

/// "These devices may install exactly this release, once, although it is older": an authorised downgrade. It is bound
/// to a number that each device made for it, so that it works on no other device and no second time.
public struct OverrideStatement: Statement {
    public static let role = TrustRole.override
    public static let payloadType = "application/vnd.kedge.override.v1+json"
    private static let documentType = "kedge.override"

    /// One device, and the nonce that it asked with.
    public struct Device: Equatable, Sendable {
        /// The device's id, 1 to 128 bytes of text.
        public let id: String
        /// 16 bytes.
        public let nonce: [UInt8]

        public init(id: String, nonce: [UInt8]) {
            self.id = id
            self.nonce = nonce
        }
    }

    /// Bytes of a nonce.
    public static let nonceLength = 16
    /// Most devices.
    public static let mostDevices = 256
    /// Most boots.
    public static let mostBoots: UInt32 = 1000

    /// 1 to `mostDevices`, each id once.
    public let devices: [Device]
    /// SHA-256 of the manifest of the release.
    public let manifest: Digest
    /// Seconds since 1970.
    public let created: Int64
    /// Behind this time it is worth nothing, seconds since 1970; nil when only boots end it.
    public let expires: Int64?
    /// After so many boots since the device asked it is worth nothing, for devices without a clock; nil when only
    /// time ends it. One of the two is there.
    public let boots: UInt32?
    /// Why, for the people who sign; text of 1 to 256 bytes, or nil.
    public let reason: String?

    /// Nil when the values cannot be in a statement.
    public init?(
        devices: [Device], manifest: Digest, created: Int64, expires: Int64?, boots: UInt32?, reason: String?
    ) {
        self.devices = devices
        self.manifest = manifest
        self.created = created
        self.expires = expires
        self.boots = boots
        self.reason = reason
        do throws(JSONError) { _ = try Self.decode(bytes) } catch { return nil }
    }

    public var json: JSONValue {
        var members: [(String, JSONValue)] = [
            ("type", .string(Self.documentType)), ("format", .integer(1)),
            (
                "devices",
                .array(
                    devices.map {
                        .members([("id", .string($0.id)), ("nonce", .string(Hex.encode($0.nonce)))])
                    })
            ),
            ("manifest", .string(manifest.hex)), ("created", .integer(created)),
        ]
        if let expires { members.append(("expires", .integer(expires))) }
        if let boots { members.append(("boots", .integer(Int64(boots)))) }
        if let reason { members.append(("reason", .string(reason))) }
        return .members(members)
    }

    public init(json: JSONValue) throws(JSONError) {
        var reader = try JSONObjectReader(json, at: "override")
        try Self.header(&reader, type: Self.documentType)
        var devices: [Device] = []
        for (index, value) in try reader.array("devices", count: 1...Self.mostDevices).enumerated() {
            let device = try Self.device(JSONObjectReader(value, at: "override.devices[\(index)]"))
            if devices.contains(where: { $0.id == device.id }) {
                throw JSONError(.outOfBounds, at: reader.path("devices"), "has \(device.id) twice")
            }
            devices.append(device)
        }
        self.devices = devices
        manifest = try reader.digest("manifest")
        created = try reader.integer("created", in: 0...StatementLimits.time)
        expires = try reader.optionalInteger("expires", in: 0...StatementLimits.time)
        boots = try reader.optionalInteger("boots", in: 1...Int64(Self.mostBoots)).map { UInt32($0) }
        reason = try reader.optionalString("reason", limit: 256)
        if expires == nil, boots == nil {
            throw JSONError(.missing, at: reader.path("expires"), "is missing, and so is boots")
        }
        if let expires, expires <= created {
            throw JSONError(.outOfBounds, at: reader.path("expires"), "must be later than created")
        }
        try reader.finish()
    }

    private static func device(_ reader: JSONObjectReader) throws(JSONError) -> Device {
        var reader = reader
        let id = try reader.string("id", limit: 128)
        guard let nonce = Hex.decode(try reader.string("nonce", limit: 2 * nonceLength)), nonce.count == nonceLength
        else {
            throw JSONError(
                .outOfBounds, at: reader.path("nonce"), "must be \(2 * nonceLength) lower-case hexadecimal digits")
        }
        try reader.finish()
        return Device(id: id, nonce: nonce)
    }
}
