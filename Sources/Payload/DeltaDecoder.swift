internal import BundleFormat
public import Platform
internal import Trust

/// What became of the next window of a group.
public enum DecodedWindow: ~Copyable {
    /// Its plain digest holds.
    case verified(VerifiedWindow)
    /// What the device holds is not what the delta was made from: this window is to be had in another form.
    case mismatch(window: Int)
    /// The group has no more windows.
    case end
}

/// Turns groups of a delta (or of the solid form) into verified windows, in order: the target must hold every window
/// before the group, as groups may refer to these. One thread uses one decoder.
///
/// A base that is not what it should be, or that cannot be read, costs the windows that depend on it and never the
/// attempt. Memory: residual and its streams 2 MiB, references 4 MiB, one zstd context; with the caller's stored
/// group and two window buffers of 1 MiB each about 9.5 MiB, whatever the size of the image.
public final class DeltaDecoder {
    private let table: VerifiedDeltaTable
    private let base: (any ImageReader)?
    private let target: any ImageReader
    private let zstd: ZstdDecoder
    private let references: AlignedBuffer
    private let residual: AlignedBuffer
    private let streams: AlignedBuffer
    private var cursor: DeltaGroupCursor?
    private var window = 0
    private var taken = 0
    /// Bytes of the last window that were copied from the base or the target.
    public private(set) var copiedBytes = 0
    /// Whether the residual of the present group could be decoded.
    private var residualState = ResidualState.decoded

    private enum ResidualState { case decoded, unusable }

    /// `base` reads the image that the table names; it may be nil for the solid form only, whose `target` is all
    /// that is read.
    public init(
        table: VerifiedDeltaTable, base: (any ImageReader)?, target: any ImageReader
    ) throws(PayloadError) {
        self.table = table
        self.base = base
        self.target = target
        zstd = try ZstdDecoder()
        do throws(SystemError) {
            references = try AlignedBuffer(capacity: BundleLimits.references)
            residual = try AlignedBuffer(capacity: BundleLimits.residual)
            streams = try AlignedBuffer(capacity: DifferenceStream.capacity)
        } catch {
            throw .noMemory
        }
    }

    /// Begins a group: gathers its references and decodes its residual. Groups may be left out, for example when
    /// the target holds all their windows already.
    public func begin(_ stored: consuming StoredGroup) throws(PayloadError) {
        let group = table.table.groups[stored.index]
        var cursor = table.table.cursor(of: stored.index)
        window = group.windows.lowerBound
        taken = 0
        residualState = .decoded
        var place = 0
        for range in cursor.references() {
            if try read(range, into: references, at: place) == .differs { residualState = .unusable }
            place += range.length
        }
        self.cursor = cursor
        if residualState == .decoded && !decode(group, stored.buffer, stored.start, stored.length) {
            residualState = .unusable
        }
    }

    /// The next window of the group, in `buffer`, which holds at least the window rounded up to 4096 bytes.
    public func next(into buffer: AlignedBuffer) throws(PayloadError) -> DecodedWindow {
        guard var cursor, cursor.group.windows.contains(window) else {
            self.cursor = nil
            return .end
        }
        let index = window
        window += 1
        let plain = table.table.plainLength(of: index)
        let padded = (plain + AlignedBuffer.alignment - 1) / AlignedBuffer.alignment * AlignedBuffer.alignment
        precondition(padded <= buffer.capacity, "a window buffer is too small")
        var state = WindowComparison.holds
        var place = 0
        copiedBytes = 0
        let zero = cursor.nextWindow() == 0
        let residual = self.residual
        // All operations are gone through even when one failed: the cursor and the residual go on behind them.
        while let operation = cursor.nextOperation() {
            switch operation {
            case .residual(let count):
                if residualState == .unusable { state = .differs }
                buffer.copy(residual.bytes.extracting(taken..<(taken + count)), at: place)
                taken += count
            case .copy(let range):
                if state == .holds { state = try read(range, into: buffer, at: place) }
                copiedBytes += range.length
            }
            place += operation.length
        }
        self.cursor = cursor
        if zero { buffer.zero(from: 0, to: plain) }
        // A zero window has the digest of zeros by the rules of the chunk table.
        if !zero && state == .holds { state = table.chunks.compare(buffer, count: plain, index: index) }
        if state == .differs { return .mismatch(window: index) }
        buffer.zero(from: plain, to: padded)
        return .verified(
            VerifiedWindow(
                component: table.chunks.component.id, index: index, offset: table.table.plainOffset(of: index),
                length: plain, buffer: buffer))
    }

    /// Reads a range of the address space. A base that cannot be read differs; a target that cannot be read has
    /// failed.
    private func read(
        _ range: DeltaRange, into buffer: AlignedBuffer, at place: Int
    ) throws(PayloadError) -> WindowComparison {
        let size = table.table.baseSize
        if range.start < size {
            guard let base else { return .differs }
            let count = try? base.read(at: range.start, count: range.length, into: buffer, at: place)
            return count == range.length ? .holds : .differs
        }
        do throws(SystemError) {
            let count = try target.read(at: range.start - size, count: range.length, into: buffer, at: place)
            return count == range.length ? .holds : .differs
        } catch {
            throw .target(error)
        }
    }

    /// Decodes the residual; false when it cannot be done with these references.
    private func decode(_ group: DeltaGroup, _ stored: AlignedBuffer, _ start: Int, _ length: Int) -> Bool {
        let (references, count) = (self.references, group.residualLength)
        let packed = stored.bytes.extracting(start..<(start + length))
        let gathered = references.bytes.extracting(0..<group.referenceBytes)
        switch group.codec {
        case .none: return true
        case .stored:
            residual.copy(packed, at: 0)
            return true
        case .zstd: return zstd.decode(packed, into: residual, at: 0, count: count) == nil
        case .zstdReferences:
            return zstd.decode(packed, prefix: gathered, into: residual, at: 0, count: count) == nil
        case .difference:
            return DifferenceStream(packed)?.decode(
                references: gathered, residual: residual, count: count, scratch: streams, zstd: zstd)
                == .decoded
        }
    }
}
