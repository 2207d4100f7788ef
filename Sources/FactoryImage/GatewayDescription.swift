internal import Platform
internal import StrictJSON

/// What a gateway was made as: kept in `gateway.json`, from which everything else about it is computed.
public struct GatewayDescription: Equatable, Sendable {
    /// What keeps the boot record.
    public enum Boot: String, Sendable, CaseIterable {
        /// A file of Kedge's own form.
        case simulated
        /// The redundant environment of U-Boot, in the partition boot-env.
        case uboot
    }

    /// What the slots of the disk are to `kedged`.
    public enum Media: String, Sendable, CaseIterable {
        /// A block device for each slot, through loop devices.
        case loop
        /// Regions of the disk's file.
        case file
    }

    /// Who the gateway says it is.
    public struct Identity: Equatable, Sendable {
        public var id: String
        public var vendor: String
        public var deviceClass: String
        /// Hardware revision.
        public var hardware: UInt32

        public init(id: String, vendor: String, deviceClass: String, hardware: UInt32) {
            self.id = id
            self.vendor = vendor
            self.deviceClass = deviceClass
            self.hardware = hardware
        }
    }

    public let boot: Boot
    public let media: Media
    public let identity: Identity
    public let layout: GatewayLayout

    public init(boot: Boot, media: Media, identity: Identity, layout: GatewayLayout) throws(GatewayError) {
        try Self.check("vendor", identity.vendor)
        try Self.check("class", identity.deviceClass)
        try Self.check("id", identity.id)
        self.boot = boot
        self.media = media
        self.identity = identity
        self.layout = layout
    }

    /// inih takes ` ;` for a comment and trims spaces, so these could not be read back from device.ini.
    private static func check(_ what: String, _ text: String) throws(GatewayError) {
        if text.isEmpty || text.utf8.count > 128 { throw .identity(what: what, why: "must have 1 to 128 bytes") }
        for byte in text.utf8 where byte <= 0x20 || byte >= 0x7f || byte == 0x3b || byte == 0x22 {
            throw .identity(what: what, why: "must be printable ASCII without spaces, ; and \"")
        }
    }

    static let type = "kedge.gateway"

    /// The bytes of `gateway.json`.
    var json: JSONValue {
        .members([
            ("type", .string(Self.type)), ("format", .integer(1)), ("boot", .string(boot.rawValue)),
            ("media", .string(media.rawValue)),
            (
                "identity",
                .members([
                    ("id", .string(identity.id)), ("vendor", .string(identity.vendor)),
                    ("class", .string(identity.deviceClass)), ("hardware", .integer(Int64(identity.hardware))),
                ])
            ),
            (
                "sizes",
                .members([
                    ("rootfs", .integer(Int64(layout.sizes.rootfs))),
                    ("kernel", .integer(Int64(layout.sizes.kernel))),
                    ("bios", .integer(Int64(layout.sizes.bios))), ("data", .integer(Int64(layout.sizes.data))),
                ])
            ),
        ])
    }

    /// Reads `gateway.json`; `path` is the gateway's directory, for messages.
    static func parse(_ bytes: [UInt8], of path: String) throws(GatewayError) -> GatewayDescription {
        do {
            let value = try JSONValue.parse(bytes, limit: 64 << 10)
            return try read(value, of: path)
        } catch let error as JSONError {
            throw .notAGateway(path: path, why: "gateway.json: \(error.context)")
        } catch let error as GatewayError {
            throw error
        } catch {
            throw .notAGateway(path: path, why: "gateway.json cannot be read")
        }
    }

    private static func read(_ value: JSONValue, of path: String) throws -> GatewayDescription {
        var root = try JSONObjectReader(value, at: "")
        guard try root.string("type", limit: 64) == type else {
            throw GatewayError.notAGateway(path: path, why: "gateway.json is of another type")
        }
        _ = try root.integer("format", in: 1...1)
        guard let boot = Boot(rawValue: try root.string("boot", limit: 16)) else {
            throw JSONError(.outOfBounds, at: "boot", "must be simulated or uboot")
        }
        guard let media = Media(rawValue: try root.string("media", limit: 16)) else {
            throw JSONError(.outOfBounds, at: "media", "must be loop or file")
        }
        var who = try root.object("identity")
        let identity = Identity(
            id: try who.string("id", limit: 128), vendor: try who.string("vendor", limit: 128),
            deviceClass: try who.string("class", limit: 128),
            hardware: UInt32(try who.integer("hardware", in: 0...Int64(UInt32.max))))
        try who.finish()
        var sizes = try root.object("sizes")
        let bounds = 1...Int64(GatewayLayout.limit)
        let layout = try GatewayLayout(
            GatewayLayout.Sizes(
                rootfs: UInt64(try sizes.integer("rootfs", in: bounds)),
                kernel: UInt64(try sizes.integer("kernel", in: bounds)),
                bios: UInt64(try sizes.integer("bios", in: bounds)),
                data: UInt64(try sizes.integer("data", in: bounds))))
        try sizes.finish()
        try root.finish()
        return try GatewayDescription(boot: boot, media: media, identity: identity, layout: layout)
    }
}
