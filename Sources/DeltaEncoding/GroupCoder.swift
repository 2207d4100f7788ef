internal import BundleFormat
internal import DifferenceCoding
internal import Platform

/// Codes the residuals of groups: each the smallest of stored, zstd, zstd with the references as prefix, and
/// differences against the references. One thread uses one coder.
final class GroupCoder {
    private let zstd: FrameWriter
    private let matcher = DifferenceMatcher()
    private let usesDifferences: Bool
    private let models: Bool
    private let memory: AlignedBuffer

    /// `models`: whether differences may be coded by a `DifferenceCoder`. It learns from the old bytes too, so one that
    /// differs spoils the whole group, and not only what was made from it.
    init?(level: Int, usesDifferences: Bool, models: Bool) {
        guard let zstd = FrameWriter(level: level), let memory = try? AlignedBuffer(capacity: DifferenceCoder.memory)
        else { return nil }
        self.memory = memory
        self.models = models
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
            let stored = pack(streams, residual, references: references), stored.count < best.stored.count
        {
            best = (.difference, stored)
        }
        return best
    }

    /// The bytes of a `DifferenceStream`; nil when it has more control than a device takes.
    private func pack(_ streams: DifferenceStreams, _ residual: ByteView, references: ByteView) -> [UInt8]? {
        let plain = streams.control
        guard plain.count <= DifferenceLimits.control else { return nil }
        let control = frame(plain)
        var difference = frame(streams.difference)
        var extra = frame(streams.extra)
        var coder: UInt8 = 0
        if models, streams.extra.count <= DifferenceLimits.modelledExtra {
            let other = model(streams, residual, references: references)
            // It costs the device more to decode: for nearly nothing it is not taken.
            if other.count + other.count / 32 < difference.count {
                difference = other
                coder |= DifferenceLimits.modelled
            }
        }
        if !streams.extra.isEmpty {
            let block = ByteBlock(streams.extra)
            if let other = zstd.frame(block.view, prefix: references), other.count < extra.count {
                extra = other
                coder |= DifferenceLimits.extraPrefix
            }
        }
        var writer = ByteWriter()
        writer.u8(coder)
        for value in [control.count, plain.count, difference.count, streams.difference.count] {
            writer.varint(UInt64(value))
        }
        return writer.bytes + control + difference + extra
    }

    /// The differences as a `DifferenceCoder` codes them, run by run.
    private func model(_ streams: DifferenceStreams, _ residual: ByteView, references: ByteView) -> [UInt8] {
        var coder = DifferenceCoder(encodingIn: memory)
        var place = 0
        for run in streams.runs {
            residual[place..<(place + run.count)].withSpan { new in
                references.withSpan { old in coder.encode(new, against: old, at: run.position) }
            }
            place += run.count + run.extra
        }
        return coder.finish()
    }

    private func frame(_ bytes: [UInt8]) -> [UInt8] {
        if bytes.isEmpty { return [] }
        let block = ByteBlock(bytes)
        return zstd.frame(block.view) ?? []
    }
}
