internal import Platform
internal import Transfer

/// Bytes of the payload that are of use only as a whole: a window, or groups behind each other.
struct Extent: Equatable, Sendable {
    /// From the start of the payload; with length 0 nothing is fetched.
    let offset: UInt64
    let length: Int

    var end: UInt64 { offset + UInt64(length) }
}

/// What the extents of a run go to, on the fetching thread.
protocol ExtentSink: AnyObject {
    /// Memory for the next extent, waited for; nil when something else goes before the rest of the run.
    func buffer() throws(Failure) -> AlignedBuffer?

    /// Takes a buffer back that got no whole extent.
    func giveBack(_ buffer: AlignedBuffer)

    /// Takes an extent of the run that is whole; no buffer where it has no bytes. False when a digest says that it is
    /// damaged: then the buffer stays with the caller.
    func take(_ number: Int, _ buffer: AlignedBuffer?) throws(Failure) -> Bool

    /// What ends the attempt when this extent stays damaged.
    func damage(_ number: Int) -> Failure
}

/// Fetches runs of extents, each by one range request, and sorts the bytes that come into the buffers of their extents.
///
/// A damaged extent ends its request at once: a place that serves another object costs one extent, not a bundle.
final class ExtentFetcher {
    private let source: any BundleSource
    private let payloadOffset: UInt64
    private var repeats = DamageRepeats()

    /// Of the request in work: the extent that bytes go to, and from where in the payload the next byte is.
    private var cursor = 0
    private var position: UInt64 = 0
    private var current: AlignedBuffer?
    private var filled = 0
    private var stop: Stop?
    private var failure: Failure?

    /// Why a request was broken off here.
    private enum Stop { case damaged, interrupted }

    init(_ source: any BundleSource, payloadOffset: UInt64) {
        self.source = source
        self.payloadOffset = payloadOffset
    }

    /// Fetches extents whose offsets rise; how many, from the first on, the sink took. Not all of them when one arrived
    /// damaged and is worth another request, or when the sink has something else to do. `next` is what the request after
    /// this one will want of the payload.
    func fetch<Sink: ExtentSink>(
        _ extents: [Extent], next: Range<UInt64>?, into sink: Sink
    ) throws(Failure) -> Int {
        cursor = 0
        filled = 0
        stop = nil
        failure = nil
        try takeEmpty(extents, sink)
        guard cursor < extents.count, let last = extents.last(where: { $0.length > 0 }) else { return extents.count }
        position = extents[cursor].offset
        if let next { source.announce(place(next)) }
        do throws(TransferError) {
            try source.read(place(position..<last.end)) { (piece) throws(TransferError) in
                try self.sort(piece, extents, sink)
            }
        } catch {
            if let current { sink.giveBack(current) }
            current = nil
            if let failure { throw failure }
            if stop == nil { throw Failure(error) }
        }
        if stop == .damaged {
            let damaged = extents[cursor]
            if !repeats.allow(place(damaged.offset..<damaged.end), from: source) { throw sink.damage(cursor) }
        }
        return cursor
    }

    /// The same range in the bundle.
    private func place(_ range: Range<UInt64>) -> Range<UInt64> {
        (payloadOffset + range.lowerBound)..<(payloadOffset + range.upperBound)
    }

    /// Sorts the bytes of a piece into the extents they belong to; those between extents are thrown away.
    private func sort<Sink: ExtentSink>(
        _ piece: RawSpan, _ extents: [Extent], _ sink: Sink
    ) throws(TransferError) {
        var offset = 0
        do throws(Failure) {
            while offset < piece.byteCount, cursor < extents.count {
                let wanted = extents[cursor]
                if position < wanted.offset {
                    let skipped = min(UInt64(piece.byteCount - offset), wanted.offset - position)
                    offset += Int(skipped)
                    position += skipped
                    continue
                }
                let buffer = try bufferForCurrent(sink)
                let count = min(piece.byteCount - offset, wanted.length - filled)
                buffer.copy(piece.extracting(offset..<(offset + count)), at: filled)
                filled += count
                offset += count
                position += UInt64(count)
                if filled == wanted.length { try takeCurrent(buffer, extents, sink) }
            }
        } catch {
            if stop == nil { failure = error }
            throw .stopped
        }
    }

    private func bufferForCurrent<Sink: ExtentSink>(_ sink: Sink) throws(Failure) -> AlignedBuffer {
        if let current { return current }
        guard let buffer = try sink.buffer() else {
            stop = .interrupted
            throw Failure(TransferError.stopped)
        }
        current = buffer
        filled = 0
        return buffer
    }

    /// Hands the present extent on and goes to the next one that has bytes.
    private func takeCurrent<Sink: ExtentSink>(
        _ buffer: AlignedBuffer, _ extents: [Extent], _ sink: Sink
    ) throws(Failure) {
        if try !sink.take(cursor, buffer) {
            stop = .damaged
            throw Failure(TransferError.stopped)
        }
        current = nil
        filled = 0
        repeats.good()
        cursor += 1
        try takeEmpty(extents, sink)
    }

    /// Extents without bytes at the cursor need no request.
    private func takeEmpty<Sink: ExtentSink>(_ extents: [Extent], _ sink: Sink) throws(Failure) {
        while cursor < extents.count, extents[cursor].length == 0 {
            if try !sink.take(cursor, nil) { throw sink.damage(cursor) }
            cursor += 1
        }
    }
}
