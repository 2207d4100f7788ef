public import BundleFormat
internal import Payload
public import StrictJSON
public import Trust

/// What was found right.
public struct VerificationReport: Equatable, Sendable {
    /// Where.
    public let path: String
    public let manifest: Manifest
    public let manifestDigest: Digest
    /// Ids of the release keys whose signatures hold.
    public let signers: [Digest]
    /// Windows decoded, zero ones included.
    public let windows: Int
    /// Image bytes, over all components.
    public let imageBytes: UInt64
    /// The whole bundle, bytes.
    public let size: UInt64

    /// For machines.
    public var json: JSONValue {
        .members([
            ("verified", .bool(true)), ("release", .string(manifest.releaseID)),
            ("version", .string(manifest.version)), ("manifestDigest", .string(manifestDigest.hex)),
            ("signers", .array(signers.map { .string($0.hex) })),
            ("components", .array(manifest.components.map { .string($0.id.text) })),
            ("windows", .integer(Int64(windows))), ("imageBytes", .integer(Int64(clamping: imageBytes))),
            ("bundleBytes", .integer(Int64(clamping: size))),
        ])
    }

    /// For people.
    public var text: String {
        """
        \(manifest.releaseID) is intact and signed.
          manifest  \(manifestDigest.hex)
          signed by \(signers.map { $0.hex }.joined(separator: "\n            "))
          checked   \(windows) windows, \(ByteCount.text(imageBytes)) of images
        """
    }
}

/// Checks a whole bundle the way devices do, and more strictly where a device need not care.
public enum BundleVerifier {
    /// Verifies signatures, chunk tables, the digest of everything stored, of every window and of every image, the
    /// end marker, that no byte follows it and that windows cover the payload exactly. Returns only when all holds;
    /// throws the stable error of the first thing that does not (`TrustError`, `FormatError`, `PayloadError`).
    ///
    /// Memory: two windows of 1 MiB, the manifest and the chunk tables. `progress` gets image bytes done and total.
    public static func verify(
        _ path: String, trust: TrustStore, progress: (UInt64, UInt64) throws -> Void = { _, _ in }
    ) throws -> VerificationReport {
        let reader = try BundleReader.open(path)
        let verified = try trust.verify(reader.head)
        let tables = try verified.chunkTables(try reader.tables())
        var coverage = PayloadCoverage()
        for table in tables { try coverage.add(table.table) }
        try coverage.check(payloadLength: verified.manifest.payloadLength)
        let total = verified.manifest.imageBytes
        var done: UInt64 = 0
        var windows = 0
        for table in tables {
            try reader.decode(table) { window in
                windows += 1
                done += UInt64(window.length)
                try progress(done, total)
            }
        }
        return VerificationReport(
            path: path, manifest: verified.manifest, manifestDigest: verified.digest, signers: verified.signers,
            windows: windows, imageBytes: done, size: reader.header.totalLength)
    }
}
