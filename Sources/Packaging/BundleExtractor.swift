public import BundleFormat
internal import Payload
internal import Platform
public import Trust

/// Takes images out of bundles.
public enum BundleExtractor {
    /// Writes the image of one component to `output`, byte for byte as it was built in; windows of zeros become
    /// holes. The bundle's signatures are verified first, and nothing is decoded that a digest does not cover:
    /// there is no way to get an image out of a bundle that is not trusted.
    ///
    /// `output` is replaced as a whole at the end, durably; on any error it keeps what it held. `progress` gets
    /// image bytes done and total. Returns the component.
    @discardableResult
    public static func extract(
        _ path: String, component id: String, to output: String, trust: TrustStore,
        progress: (UInt64, UInt64) throws -> Void = { _, _ in }
    ) throws -> Component {
        let reader = try BundleReader.open(path)
        let verified = try trust.verify(reader.head)
        let tables = try verified.chunkTables(try reader.tables())
        guard let table = tables.first(where: { $0.component.id.text == id }) else {
            throw PackagingError.noComponent(id: id, known: tables.map { $0.component.id.text })
        }
        let staged = try StagedFile(at: output)
        try staged.file.truncate(to: table.component.size)
        try reader.decode(table) { window in
            if table.table.windows[window.index].codec != .zero {
                let buffer = window.buffer
                try staged.file.write(buffer.bytes.extracting(0..<window.length), at: window.offset)
            }
            try progress(window.offset + UInt64(window.length), table.component.size)
        }
        try staged.publish()
        return table.component
    }
}
