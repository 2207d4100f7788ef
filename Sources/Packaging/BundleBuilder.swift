public import BundleFormat
public import Platform
public import Signing
public import StrictJSON
internal import Trust

/// How far a build is.
public struct BuildProgress: Equatable, Sendable {
    /// The component that the last window was of.
    public let component: Identifier
    /// Image bytes done and in total, over all components.
    public let done: UInt64
    public let total: UInt64
    /// Payload bytes so far.
    public let stored: UInt64
}

/// What was built.
public struct BuildResult: Equatable, Sendable {
    /// Where.
    public let path: String
    public let manifest: Manifest
    /// SHA-256 of the manifest's bytes: the release's identity.
    public let manifestDigest: Digest
    /// The whole bundle, bytes.
    public let size: UInt64
    /// Ids of the keys that signed it.
    public let signers: [Digest]
    /// What makes it larger on the wire than it must be, one sentence each.
    public let warnings: [String]

    /// For machines.
    public var json: JSONValue {
        .members([
            ("path", .string(path)), ("release", .string(manifest.releaseID)),
            ("version", .string(manifest.version)), ("manifestDigest", .string(manifestDigest.hex)),
            ("created", .integer(manifest.created)), ("signers", .array(signers.map { .string($0.hex) })),
            ("components", .array(manifest.components.map { .string($0.id.text) })),
            ("imageBytes", .integer(Int64(clamping: manifest.imageBytes))),
            ("payloadBytes", .integer(Int64(clamping: manifest.payloadLength))),
            ("bundleBytes", .integer(Int64(clamping: size))),
            ("warnings", .array(warnings.map { .string($0) })),
        ])
    }

    /// One line for people.
    public var text: String {
        let ratio = ByteCount.percent(size, of: manifest.imageBytes)
        let signed = signers.isEmpty ? "not signed" : "signed by \(signers.count) key\(signers.count == 1 ? "" : "s")"
        return "\(path)  \(manifest.releaseID), \(ByteCount.text(size)) for \(ByteCount.text(manifest.imageBytes)) "
            + "of images (\(ratio)), \(signed)"
    }
}

/// Builds a bundle from a recipe in one pass over its images.
///
/// Memory: two windows of 1 MiB for each of `2 * jobs + 2` slots, one zstd context for each job (which grows with the
/// level, to about 20 MiB), and about 200 bytes for each window of the release: 76 MiB in all for two jobs at level 19
/// or 22, whatever the size of the images. Disk, beside the output:
/// the payload once more while it is built.
///
/// The bytes depend on the recipe, its files, `created`, the level and the version of libzstd, and on nothing else.
public struct BundleBuilder: Sendable {
    let recipe: Recipe
    let level: Int
    let jobs: Int
    private let created: Int64?
    let forms: FormRequest

    /// `level` replaces the recipe's. `jobs` is the number of threads that compress, 1 to 256. `created` is the time
    /// that the manifest tells; without one it is the newest modification time of the recipe, its images and its
    /// SBOM (block devices do not count).
    public init(
        recipe: Recipe, level: Int? = nil, jobs: Int = ProcessInformation.processorCount, created: Int64? = nil,
        forms: FormRequest = FormRequest()
    ) {
        self.recipe = recipe
        self.level = level ?? recipe.level
        self.jobs = min(max(jobs, 1), 256)
        self.created = created
        self.forms = forms
    }

    /// Builds into `output`, which is replaced as a whole at the very end; on any error it keeps what it held.
    /// Without keys the bundle has no signature, and every device refuses it until `BundleSigner` has signed it.
    /// `progress` is called on this thread after every window.
    public func build(
        to output: String, keys: [SigningKey] = [], progress: (BuildProgress) throws -> Void = { _ in }
    ) throws -> BuildResult {
        let staged = try StagedFile(at: output)
        let images = try recipe.images.map { try ImageFile($0.path) }
        let bill = try readBillOfMaterials()
        let bases = try BaseImages(recipe, forms, beside: output)
        let writer = PayloadWriter(try StagedFile.scratch(beside: output))
        let encoder = try ReleaseEncoder(images: images, recipe: recipe, level: level, jobs: jobs, writer: writer)
        let plan = try recipe.images.map { try formPlan($0, bases) }
        let extra = zip(plan, images).reduce(UInt64(0)) { $0 + UInt64($1.0.count) * $1.1.size }
        var encoded = try encoder.run(extra: extra, progress)
        try addForms(plan, images, to: &encoded, writer, progress)
        for image in images { try image.checkUnchanged() }

        let created = try self.created ?? newestInput(images, bill)
        let manifest = try makeManifest(encoded, writer.length, bill, created: created)
        let bytes = manifest.bytes
        // A device reads what is written here, or the build fails: the decoder has the last word on every limit.
        _ = try Manifest.decode(bytes)
        let signatures = try sign(bytes, keys)
        let envelope = signatures.encode()
        let header = try BundleHeader(
            envelopeLength: envelope.count, manifestLength: bytes.count, tablesLength: manifest.tablesLength,
            payloadLength: writer.length)
        let head = header.encode() + envelope + bytes + encoded.flatMap { $0.table }
        try staged.file.write(head.rawBytes, at: 0)
        try writer.copy(to: staged.file, at: header.payloadOffset)
        try staged.file.write(header.encodeEnd().rawBytes, at: header.endOffset)
        try staged.publish()
        return BuildResult(
            path: output, manifest: manifest, manifestDigest: SHA256.digest(of: bytes), size: header.totalLength,
            signers: signatures.signatures.map { $0.keyID }, warnings: try warnings(images))
    }

    private func sign(_ manifest: [UInt8], _ keys: [SigningKey]) throws -> SignatureSection {
        let message = SignatureSection.preAuthentication(type: SignatureSection.payloadType, payload: manifest)
        return try SignatureSection(
            keys.map {
                ManifestSignature(
                    algorithm: $0.publicKey.algorithm.rawValue, keyID: $0.publicKey.id,
                    signature: try $0.sign(message))
            })
    }

    private struct Bill {
        let digest: Digest
        let modified: Int64
    }

    private func readBillOfMaterials() throws -> Bill? {
        guard let named = recipe.billOfMaterials else { return nil }
        let file = try ImageFile(named.path)
        let buffer = try AlignedBuffer(capacity: BundleLimits.window)
        var hash = SHA256()
        var offset: UInt64 = 0
        while offset < file.size {
            let count = Int(min(UInt64(buffer.capacity), file.size - offset))
            try file.read(into: buffer, count: count, at: offset)
            hash.update(buffer.bytes.extracting(0..<count))
            offset += UInt64(count)
        }
        try file.checkUnchanged()
        return Bill(digest: hash.finish(), modified: file.modifiedSeconds ?? 0)
    }

    private func newestInput(_ images: [ImageFile], _ bill: Bill?) throws -> Int64 {
        let recipe = try Descriptor(open: recipe.path, [.read]).modified() / 1_000_000_000
        return max(0, (images.compactMap { $0.modifiedSeconds } + [recipe, bill?.modified ?? 0]).max() ?? 0)
    }

    private func makeManifest(
        _ encoded: [EncodedImage], _ payloadLength: UInt64, _ bill: Bill?, created: Int64
    ) throws -> Manifest {
        var components: [Component] = []
        var tables = 0
        for (image, result) in zip(recipe.images, encoded) {
            let reference = TableReference(
                offset: tables, length: result.table.count, digest: SHA256.digest(of: result.table))
            components.append(
                Component(
                    id: image.id, kind: image.kind, target: image.target, version: image.version, size: result.size,
                    digest: result.digest, windowSize: BundleLimits.window, table: reference,
                    verityRoot: image.verityRoot, deltas: result.forms.deltas, solid: result.forms.solid,
                    blocks: result.forms.blocks))
            tables += result.table.count
            if tables > BundleLimits.tables {
                throw PackagingError.releaseTooLarge(
                    what: "the chunk tables", size: UInt64(tables), limit: UInt64(BundleLimits.tables))
            }
        }
        return Manifest(
            releaseID: recipe.releaseID, version: recipe.version, sequence: recipe.sequence,
            securityVersion: recipe.securityVersion, product: recipe.product, minimumUpdater: recipe.minimumUpdater,
            created: created, notBefore: recipe.notBefore, expires: recipe.expires, update: recipe.update,
            advisories: recipe.advisories, sbomDigest: bill?.digest, sbomFormat: recipe.billOfMaterials?.format,
            components: components, reboot: recipe.reboot, healthDeadline: recipe.healthDeadline,
            tablesLength: tables, payloadLength: payloadLength,
            meta: recipe.meta.map { (name: $0.name, value: $0.value) })
    }
}
