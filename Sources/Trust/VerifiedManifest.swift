public import BundleFormat
internal import Platform

/// A manifest whose signatures were found to meet the release threshold of a trust store. Holding one is the proof:
/// it has no public initializer, and only `TrustStore.verify` makes it.
public struct VerifiedManifest: Sendable {
    public let manifest: Manifest
    /// The header that stood before it; its lengths agree with the signed ones.
    public let header: BundleHeader
    /// SHA-256 of the manifest's bytes: the release's identity.
    public let digest: Digest
    /// Ids of the distinct release keys whose signatures were verified.
    public let signers: [Digest]

    init(manifest: Manifest, header: BundleHeader, digest: Digest, signers: [Digest]) {
        self.manifest = manifest
        self.header = header
        self.digest = digest
        self.signers = signers
    }

    /// The chunk tables, in the order of the components, from the tables' bytes of the bundle. Each is checked
    /// against the digest in the manifest before it is decoded.
    public func chunkTables(_ bytes: [UInt8]) throws(FormatError) -> [VerifiedChunkTable] {
        if bytes.count != manifest.tablesLength {
            throw .truncated(
                what: "the chunk tables", needed: UInt64(manifest.tablesLength), present: UInt64(bytes.count))
        }
        var tables: [VerifiedChunkTable] = []
        for component in manifest.components {
            let reference = component.table
            let part = Array(bytes[reference.offset..<(reference.offset + reference.length)])
            if SHA256.digest(of: part) != reference.digest {
                throw .digestMismatch(what: "the chunk table of \(component.id)")
            }
            let table = try ChunkTable.decode(part.rawBytes)
            if table.imageSize != component.size || table.windowSize != component.windowSize {
                throw .malformed(what: "the chunk table of \(component.id)", "does not fit the manifest")
            }
            for window in table.windows
            where window.storedOffset + UInt64(window.storedLength) > manifest.payloadLength {
                throw .malformed(what: "the chunk table of \(component.id)", "points behind the payload")
            }
            tables.append(
                VerifiedChunkTable(component: component, table: table, payloadLength: manifest.payloadLength))
        }
        return tables
    }
}

/// A chunk table whose bytes matched the digest in a verified manifest.
public struct VerifiedChunkTable: Sendable {
    public let component: Component
    public let table: ChunkTable
    /// Bytes of the bundle's payload, which nothing that the component names may pass.
    public let payloadLength: UInt64

    init(component: Component, table: ChunkTable, payloadLength: UInt64 = BundleLimits.bundle) {
        self.component = component
        self.table = table
        self.payloadLength = payloadLength
    }
}
