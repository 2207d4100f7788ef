public import BundleFormat

/// What a bundle is built from, as a TOML file says it. Every path in it is relative to the recipe's directory.
///
/// ```toml
/// [release]
/// id = "acme-edge-2.1.0"
/// version = "2.1.0"
/// sequence = 12                 # rises with every release; 0 to 2^53-1
/// security-version = 3          # rises when older releases become unacceptable
/// update = "security"           # or "feature"
/// advisories = ["CVE-2026-1234"]                            # optional, at most 256
/// sbom = { path = "sbom.spdx.json", format = "spdx-json" }  # optional; its digest is signed
/// reboot = "automatic"          # default, or "manual"
/// health-deadline = 300         # seconds, default 300, at most 86400
/// minimum-updater = "0.1.0"     # default
/// not-before = 2026-05-01T00:00:00Z    # optional
/// expires = 2027-05-01T00:00:00Z       # optional
///
/// [product]
/// vendor = "acme"
/// class = "edge-gateway"
/// hardware = [1, 3]             # lowest and highest revision, inclusive
///
/// [[component]]
/// id = "rootfs"
/// kind = "rootfs"               # rootfs, kernel, bios or container
/// path = "rootfs.ext4"          # regular file or block device
/// target = "rootfs"             # slot; default: the id
/// version = "12.4"              # optional, text for people
/// verity-root = "<64 hex digits>"      # optional
/// base = ["old.kedge"]          # optional: older bundles, or older images of this component, to make deltas from
/// solid = false                 # optional: a second, smaller form for devices that fetch over a network
/// blocks = false                # optional: a third one, of single blocks, for devices with any other old content
///
/// [compression]                 # optional
/// level = 19                    # zstd 1 to 22, default 19
///
/// [meta]                        # optional, at most 64 texts
/// build = "1234"
/// ```
public struct Recipe: Equatable, Sendable {
    /// A software bill of materials: it stays beside the bundle, its digest is signed with it.
    public struct BillOfMaterials: Equatable, Sendable {
        /// Where it is, from the working directory.
        public let path: String
        /// Its format in words, for example `spdx-json`.
        public let format: String
    }

    /// One image.
    public struct Image: Equatable, Sendable {
        public let id: Identifier
        public let kind: ComponentKind
        /// Where it is, from the working directory.
        public let path: String
        public let target: Identifier
        public let version: String?
        public let verityRoot: Digest?
        /// Older bundles or images to make deltas from, from the working directory.
        public let bases: [String]
        /// Whether the bundle carries the solid form and the blocks form too.
        public let solid: Bool
        public let blocks: Bool
    }

    /// One free text.
    public struct Note: Equatable, Sendable {
        public let name: String
        public let value: String
    }

    /// The recipe's own path, for messages.
    public let path: String
    public let releaseID: String
    public let version: String
    public let sequence: UInt64
    public let securityVersion: UInt32
    public let update: UpdateKind
    public let advisories: [String]
    public let billOfMaterials: BillOfMaterials?
    public let reboot: RebootPolicy
    /// Seconds.
    public let healthDeadline: UInt32
    public let minimumUpdater: DottedVersion
    /// Seconds since 1970.
    public let notBefore: Int64?
    public let expires: Int64?
    public let product: Product
    public let images: [Image]
    /// zstd level.
    public let level: Int
    /// Sorted by name.
    public let meta: [Note]

    /// zstd levels that a recipe may ask for.
    public static let levels = 1...22
    /// The level when the recipe names none. A bundle is built once and downloaded by a whole fleet, and decoding
    /// costs the same at every level; with windows of 1 MiB level 22 gains less than 0.01 percent over it.
    public static let defaultLevel = 19
    /// The first version that reads this bundle format: the minimum when the recipe names none.
    static let firstUpdater = "0.1.0"
    /// A recipe is text written by hand, bytes.
    static let byteLimit = 1 << 20
}
