/// What a component is, which decides the kind of slot that takes it.
public enum ComponentKind: String, Sendable, CaseIterable {
    case rootfs, kernel, bios, container
}

/// Why a release is made; a fleet may treat security updates differently (EU CRA annex I, part II, 2).
public enum UpdateKind: String, Sendable, CaseIterable {
    case security, feature
}

/// What the device does when the release is armed.
public enum RebootPolicy: String, Sendable, CaseIterable {
    /// Reboot at once.
    case automatic
    /// Wait until somebody reboots.
    case manual
}

/// Whom a release is for.
public struct Product: Equatable, Sendable {
    public let vendor: String
    public let deviceClass: String
    /// Hardware revisions it runs on, inclusive.
    public let hardware: ClosedRange<UInt32>

    public init(vendor: String, deviceClass: String, hardware: ClosedRange<UInt32>) {
        self.vendor = vendor
        self.deviceClass = deviceClass
        self.hardware = hardware
    }
}

/// A component's chunk table inside the bundle.
public struct TableReference: Equatable, Sendable {
    /// From the start of the chunk tables.
    public let offset: Int
    public let length: Int
    public let digest: Digest

    public init(offset: Int, length: Int, digest: Digest) {
        self.offset = offset
        self.length = length
        self.digest = digest
    }
}

/// One image of a release.
public struct Component: Equatable, Sendable {
    public let id: Identifier
    public let kind: ComponentKind
    /// The slot it goes to; the device's own configuration says where that is.
    public let target: Identifier
    /// Version text for people, if the recipe gives one.
    public let version: String?
    /// Bytes of the image.
    public let size: UInt64
    /// SHA-256 of the whole image.
    public let digest: Digest
    /// Plain bytes of a window.
    public let windowSize: Int
    public let table: TableReference
    /// dm-verity root hash, if the image has a hash tree.
    public let verityRoot: Digest?
    /// Other forms of the same image, beside its windows: for devices that hold a certain other one,
    public let deltas: [DeltaForm]
    /// for those that hold nothing and pay for every byte,
    public let solid: SolidForm?
    /// and for those that hold parts of it in places that nobody foresaw.
    public let blocks: BlocksForm?

    public init(
        id: Identifier, kind: ComponentKind, target: Identifier, version: String?, size: UInt64, digest: Digest,
        windowSize: Int, table: TableReference, verityRoot: Digest?, deltas: [DeltaForm] = [],
        solid: SolidForm? = nil, blocks: BlocksForm? = nil
    ) {
        self.id = id
        self.kind = kind
        self.target = target
        self.version = version
        self.size = size
        self.digest = digest
        self.windowSize = windowSize
        self.table = table
        self.verityRoot = verityRoot
        self.deltas = deltas
        self.solid = solid
        self.blocks = blocks
    }
}

/// What is signed: everything a device needs to know of a release before the first byte of payload.
///
/// A `Manifest` is only a decoded document. Only `Trust` turns bytes into a `VerifiedManifest`.
public struct Manifest: Equatable, Sendable {
    public let releaseID: String
    public let version: String
    /// Rises with every release of a channel; against replay.
    public let sequence: UInt64
    /// Rises when older releases become unacceptable; against downgrade.
    public let securityVersion: UInt32
    public let product: Product
    public let minimumUpdater: DottedVersion
    /// When it was built, seconds since 1970 (SOURCE_DATE_EPOCH).
    public let created: Int64
    /// Not to be installed earlier, or later, than these times (seconds since 1970).
    public let notBefore: Int64?
    public let expires: Int64?
    public let update: UpdateKind
    /// Advisory or CVE identifiers that it answers.
    public let advisories: [String]
    public let sbomDigest: Digest?
    public let sbomFormat: String?
    public let components: [Component]
    public let reboot: RebootPolicy
    /// Seconds that the new release has to become healthy.
    public let healthDeadline: UInt32
    /// Chunk tables and payload, bytes.
    public let tablesLength: Int
    public let payloadLength: UInt64
    /// Free text for people and fleets.
    public let meta: [(name: String, value: String)]

    public init(
        releaseID: String, version: String, sequence: UInt64, securityVersion: UInt32, product: Product,
        minimumUpdater: DottedVersion, created: Int64, notBefore: Int64?, expires: Int64?, update: UpdateKind,
        advisories: [String], sbomDigest: Digest?, sbomFormat: String?, components: [Component],
        reboot: RebootPolicy, healthDeadline: UInt32, tablesLength: Int, payloadLength: UInt64,
        meta: [(name: String, value: String)]
    ) {
        self.releaseID = releaseID
        self.version = version
        self.sequence = sequence
        self.securityVersion = securityVersion
        self.product = product
        self.minimumUpdater = minimumUpdater
        self.created = created
        self.notBefore = notBefore
        self.expires = expires
        self.update = update
        self.advisories = advisories
        self.sbomDigest = sbomDigest
        self.sbomFormat = sbomFormat
        self.components = components
        self.reboot = reboot
        self.healthDeadline = healthDeadline
        self.tablesLength = tablesLength
        self.payloadLength = payloadLength
        self.meta = meta
    }

    /// Sum of the images, bytes.
    public var imageBytes: UInt64 {
        var sum: UInt64 = 0
        for component in components { sum += component.size }
        return sum
    }

    public static func == (a: Manifest, b: Manifest) -> Bool { a.json == b.json }
}
