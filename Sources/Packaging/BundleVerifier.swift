public import BundleFormat
internal import Payload
internal import Platform
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
    /// Other forms whose every byte was checked, and how many of them were decoded and gave the image. Deltas are
    /// decoded when their base is at hand.
    public let forms: Int
    public let decodedForms: Int

    /// For machines.
    public var json: JSONValue {
        .members([
            ("verified", .bool(true)), ("release", .string(manifest.releaseID)),
            ("version", .string(manifest.version)), ("manifestDigest", .string(manifestDigest.hex)),
            ("signers", .array(signers.map { .string($0.hex) })),
            ("components", .array(manifest.components.map { .string($0.id.text) })),
            ("windows", .integer(Int64(windows))), ("imageBytes", .integer(Int64(clamping: imageBytes))),
            ("bundleBytes", .integer(Int64(clamping: size))),
            ("forms", .integer(Int64(forms))), ("decodedForms", .integer(Int64(decodedForms))),
        ])
    }

    /// For people.
    public var text: String {
        """
        \(manifest.releaseID) is intact and signed.
          manifest  \(manifestDigest.hex)
          signed by \(signers.map { $0.hex }.joined(separator: "\n            "))
          checked   \(windows) windows, \(ByteCount.text(imageBytes)) of images\(formsText)
        """
    }

    private var formsText: String {
        if forms == 0 { return "" }
        let rest = forms - decodedForms
        return ", \(forms) other forms (\(decodedForms) decoded"
            + (rest == 0 ? ")" : ", \(rest) deltas not without their base: --base)")
    }
}

/// Checks a whole bundle the way devices do, and more strictly where a device need not care.
public enum BundleVerifier {
    /// Verifies signatures, chunk tables, the digest of everything stored, of every window and of every image, the
    /// end marker, that no byte follows it and that windows cover the payload exactly. Returns only when all holds;
    /// throws the stable error of the first thing that does not (`TrustError`, `FormatError`, `PayloadError`).
    ///
    /// Every other form is checked too: solid forms and blocks are decoded, and deltas whose base is among `bases`;
    /// of other deltas the table and the digests of all groups are checked.
    ///
    /// Memory: two windows of 1 MiB, the manifest and the chunk tables; with other forms 8 MiB and their tables more.
    /// Images that forms are decoded against lie in files without a name in TMPDIR (/var/tmp) meanwhile. `progress`
    /// gets image bytes done and total.
    public static func verify(
        _ path: String, trust: TrustStore, bases: [BaseSource] = [],
        progress: (UInt64, UInt64) throws -> Void = { _, _ in }
    ) throws -> VerificationReport {
        let reader = try BundleReader.open(path)
        let verified = try trust.verify(reader.head)
        let tables = try verified.chunkTables(try reader.tables())
        var coverage = PayloadCoverage()
        for table in tables {
            try coverage.add(table.table)
            let forms = try FormReader(reader, table)
            for form in table.component.deltas {
                let delta = try forms.deltaTable(form).table
                try coverage.add(form.table, payload: delta.payloadLength, at: delta.payloadOffset)
            }
            if let form = table.component.solid {
                let solid = try forms.solidTable(form).table
                try coverage.add(form.table, payload: solid.payloadLength, at: solid.payloadOffset)
            }
            if let form = table.component.blocks {
                let index = try forms.blockIndex(form).index
                try coverage.add(form.index, payload: index.payloadLength, at: index.payloadOffset)
            }
        }
        try coverage.check(payloadLength: verified.manifest.payloadLength)
        let total = tables.reduce(verified.manifest.imageBytes) { sum, table in
            sum + table.component.size * UInt64(table.component.formCount)
        }
        var (done, windows, forms, decoded) = (UInt64(0), 0, 0, 0)
        let known = KnownBases(sources: bases)
        for table in tables {
            let component = table.component
            let image = component.formCount > 0 ? try FileImage(scratchOf: component.size) : nil
            try reader.decode(table) { window in
                windows += 1
                if let image {
                    let buffer = window.buffer
                    try image.write(buffer.bytes.extracting(0..<window.length), at: window.offset)
                }
                done += UInt64(window.length)
                try progress(done, total)
            }
            guard let image else { continue }
            decoded += try Self.verifyForms(reader, table, image, known) {
                done += component.size
                try progress(done, total)
            }
            forms += component.formCount
        }
        return VerificationReport(
            path: path, manifest: verified.manifest, manifestDigest: verified.digest, signers: verified.signers,
            windows: windows, imageBytes: verified.manifest.imageBytes, size: reader.header.totalLength, forms: forms,
            decodedForms: decoded)
    }

    /// Checks the other forms of one image, which lies in `image`; how many were decoded.
    private static func verifyForms(
        _ reader: BundleReader, _ table: VerifiedChunkTable, _ image: FileImage, _ known: KnownBases,
        _ passed: () throws -> Void
    ) throws -> Int {
        let forms = try FormReader(reader, table)
        var decoded = 0
        for form in table.component.deltas {
            let delta = try forms.deltaTable(form)
            if let base = try known.open(form.base) {
                try check(try forms.decode(delta, base: base, target: image) { _ in }, "a delta", table)
                decoded += 1
            } else {
                try forms.checkGroups(delta)
            }
            try passed()
        }
        if let form = table.component.solid {
            let solid = try forms.solidTable(form)
            try check(try forms.decode(solid, base: nil, target: image) { _ in }, "the solid form", table)
            decoded += 1
            try passed()
        }
        if let form = table.component.blocks {
            try forms.checkBlocks(form)
            decoded += 1
            try passed()
        }
        return decoded
    }

    private static func check(_ use: FormUse, _ what: String, _ table: VerifiedChunkTable) throws {
        if use.fallbacks == 0 { return }
        throw PayloadError.defective(
            component: table.component.id, what: what, why: "\(use.fallbacks) windows come out wrong")
    }
}

extension Component {
    /// Forms beside the windows.
    var formCount: Int { deltas.count + (solid == nil ? 0 : 1) + (blocks == nil ? 0 : 1) }
}
