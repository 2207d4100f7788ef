public import BundleFormat
internal import Platform
internal import Trust

/// What a bundle says about itself. Nothing in it is verified: it is for looking, not for deciding.
public struct BundleReport: Equatable, Sendable {
    /// One signature, not checked.
    public struct Signature: Equatable, Sendable {
        /// The algorithm's name, or its number when this Kedge does not know it.
        public let algorithm: String
        /// Id of the key that is said to have signed.
        public let keyID: Digest
    }

    /// What an image is made of.
    public struct Image: Equatable, Sendable {
        public let component: Component
        /// Windows by how they are stored.
        public let zero: Int
        public let plain: Int
        public let compressed: Int
        /// Windows whose bytes an earlier window of this bundle brings.
        public let shared: Int
        /// Payload bytes that this image adds to the bundle.
        public let storedBytes: UInt64
        /// What keeps deltas of it from being small, if anything.
        public let note: String?

        /// All windows.
        public var windows: Int { zero + plain + compressed }
    }

    /// Where it is.
    public let path: String
    public let header: BundleHeader
    public let manifest: Manifest
    public let manifestDigest: Digest
    public let signatures: [Signature]
    public let images: [Image]

    /// Reads the head and the chunk tables of the bundle at `path`. Their form and their digests are checked,
    /// signatures and payload are not.
    public init(inspecting path: String) throws {
        let reader = try BundleReader.open(path)
        let head = try UnverifiedHead(inspecting: reader.head)
        let tables = try reader.tables()
        let bundle = try UnverifiedBundle(path)
        var seen: Set<UInt64> = []
        var images: [Image] = []
        for component in head.manifest.components {
            let reference = component.table
            let bytes = Array(tables[reference.offset..<(reference.offset + reference.length)])
            if SHA256.digest(of: bytes) != reference.digest {
                throw FormatError.digestMismatch(what: "the chunk table of \(component.id)")
            }
            let table = try ChunkTable.decode(bytes.rawBytes)
            let start = try? bundle.start(of: component)
            images.append(Image(component, table, &seen, note: InnerCompression(start: start ?? [])?.text))
        }
        self.path = path
        self.header = head.header
        self.manifest = head.manifest
        self.manifestDigest = head.manifestDigest
        self.images = images
        signatures = head.signatures.signatures.map { signature in
            Signature(
                algorithm: SignatureAlgorithm(rawValue: signature.algorithm)?.name ?? "\(signature.algorithm)",
                keyID: signature.keyID)
        }
    }
}

extension BundleReport.Image {
    /// Counts a table's windows; `seen` holds where stored bytes start that were counted already.
    init(_ component: Component, _ table: ChunkTable, _ seen: inout Set<UInt64>, note: String?) {
        var (zero, plain, compressed, shared) = (0, 0, 0, 0)
        var storedBytes: UInt64 = 0
        for entry in table.windows {
            switch entry.codec {
            case .zero:
                zero += 1
                continue
            case .stored: plain += 1
            case .zstd: compressed += 1
            }
            if seen.insert(entry.storedOffset).inserted {
                storedBytes += UInt64(entry.storedLength)
            } else {
                shared += 1
            }
        }
        self.init(
            component: component, zero: zero, plain: plain, compressed: compressed, shared: shared,
            storedBytes: storedBytes, note: note)
    }
}
