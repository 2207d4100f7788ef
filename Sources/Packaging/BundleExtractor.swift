public import BundleFormat
internal import Payload
internal import Platform
public import Trust

/// What was taken out of a bundle.
public struct Extraction: Equatable, Sendable {
    public let component: Component
    /// Bytes of the bundle that a delta took; nil when the image came of the bundle's windows alone.
    public let deltaBytes: UInt64?
    /// Windows of a delta that had to be taken from the bundle's windows.
    public let fallbackWindows: Int
}

/// Takes images out of bundles.
public enum BundleExtractor {
    /// Writes the image of one component to `output`, byte for byte as it was built in; windows of zeros become
    /// holes. The bundle's signatures are verified first, and nothing is decoded that a digest does not cover:
    /// there is no way to get an image out of a bundle that is not trusted.
    ///
    /// With `bases`, an image for which the bundle has a delta from one of them is made from that, as a device would;
    /// windows that do not come out right are taken from the bundle's windows.
    ///
    /// `output` is replaced as a whole at the end, durably; on any error it keeps what it held. `progress` gets
    /// image bytes done and total. Returns the component, and what of the bundle was read for it.
    @discardableResult
    public static func extract(
        _ path: String, component id: String, to output: String, trust: TrustStore, bases: [BaseSource] = [],
        progress: (UInt64, UInt64) throws -> Void = { _, _ in }
    ) throws -> Extraction {
        let reader = try BundleReader.open(path)
        let verified = try trust.verify(reader.head)
        let tables = try verified.chunkTables(try reader.tables())
        guard let table = tables.first(where: { $0.component.id.text == id }) else {
            throw PackagingError.noComponent(id: id, known: tables.map { $0.component.id.text })
        }
        let staged = try StagedFile(at: output)
        try staged.file.truncate(to: table.component.size)
        let write = { (window: borrowing VerifiedWindow) in
            if table.table.windows[window.index].codec != .zero {
                let buffer = window.buffer
                try staged.file.write(buffer.bytes.extracting(0..<window.length), at: window.offset)
            }
            try progress(window.offset + UInt64(window.length), table.component.size)
        }
        var use: FormUse?
        let known = KnownBases(sources: bases)
        for form in table.component.deltas {
            guard use == nil, let base = try known.open(form.base) else { continue }
            let target = FileImage(try Descriptor(open: "/proc/self/fd/\(staged.file.number)", [.read]))
            let forms = try FormReader(reader, table)
            use = try forms.decode(try forms.deltaTable(form), base: base, target: target, write)
            use?.bytes += UInt64(form.table.length)
        }
        if use == nil && !bases.isEmpty {
            throw PackagingError.noDelta(id: id, known: table.component.deltas.map { $0.base.digest.hex })
        }
        if use == nil { try reader.decode(table, write) }
        try staged.publish()
        return Extraction(
            component: table.component, deltaBytes: use?.bytes, fallbackWindows: use?.fallbacks ?? 0)
    }
}
