public import BundleFormat
public import Payload
public import Trust

extension BundleExtractor {
    /// The verified manifest of a bundle, without its images.
    public static func manifest(of path: String, trust: TrustStore) throws -> VerifiedManifest {
        try trust.verify(try BundleReader.open(path).head)
    }

    /// Goes through all images of a bundle in the order of the manifest, for those who write slots.
    ///
    /// `body` gets each component once, with a function that delivers the image's windows in order; after the last
    /// one the digest of the whole image was found right. The bundle's signatures are verified before the first call.
    @discardableResult
    public static func images(
        of path: String, trust: TrustStore,
        _ body: (Component, (_ window: (borrowing VerifiedWindow) throws -> Void) throws -> Void) throws -> Void
    ) throws -> VerifiedManifest {
        let reader = try BundleReader.open(path)
        let verified = try trust.verify(reader.head)
        for table in try verified.chunkTables(try reader.tables()) {
            try body(table.component) { window in try reader.decode(table, window) }
        }
        return verified
    }
}
