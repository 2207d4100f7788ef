internal import BundleFormat

/// Codes the residuals of groups: each the smallest of stored, zstd, zstd with the references as prefix, and
/// differences against the references. One thread uses one coder.
final class GroupCoder {
    private let zstd: FrameWriter
    private let matcher = DifferenceMatcher()
    private let usesDifferences: Bool

    init?(level: Int, usesDifferences: Bool) {
        guard let zstd = FrameWriter(level: level) else { return nil }
        self.zstd = zstd
        self.usesDifferences = usesDifferences
    }

    /// The codec and the stored bytes.
    func code(_ residual: ByteView, references: ByteView) -> (codec: DeltaCodec, stored: [UInt8]) {
        if residual.count == 0 { return (.none, []) }
        var best: (codec: DeltaCodec, stored: [UInt8]) = (.stored, residual.array)
        if references.count == 0 {
            if let frame = zstd.frame(residual, limit: best.stored.count - 1) { best = (.zstd, frame) }
            return best
        }
        if let frame = zstd.frame(residual, prefix: references, limit: best.stored.count - 1) {
            best = (.zstdReferences, frame)
        }
        if usesDifferences, let streams = matcher.match(residual, against: references),
            let stored = pack(streams, references: references), stored.count < best.stored.count
        {
            best = (.difference, stored)
        }
        return best
    }

    /// The bytes of a `DifferenceStream`; nil when it has more control than a device takes.
    private func pack(_ streams: DifferenceStreams, references: ByteView) -> [UInt8]? {
        guard streams.control.bytes.count <= DifferenceLimits.control else { return nil }
        let control = frame(streams.control.bytes)
        let difference = frame(streams.difference)
        var extra = frame(streams.extra)
        var coder: UInt8 = 0
        if !streams.extra.isEmpty {
            let block = ByteBlock(streams.extra)
            if let other = zstd.frame(block.view, prefix: references), other.count < extra.count {
                extra = other
                coder = DifferenceLimits.extraPrefix
            }
        }
        var writer = ByteWriter()
        writer.u8(coder)
        for value in [control.count, streams.control.bytes.count, difference.count, streams.difference.count] {
            writer.varint(UInt64(value))
        }
        return writer.bytes + control + difference + extra
    }

    private func frame(_ bytes: [UInt8]) -> [UInt8] {
        if bytes.isEmpty { return [] }
        let block = ByteBlock(bytes)
        return zstd.frame(block.view) ?? []
    }
}
