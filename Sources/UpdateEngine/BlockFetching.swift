internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

/// A window that was put together, on its way to its slot.
final class WindowItem: @unchecked Sendable {
    let component: Int
    let buffer: AlignedBuffer
    /// Bytes of it that came from the device itself.
    let reused: Int
    private var window: VerifiedWindow?

    init(component: Int, reused: Int, _ window: consuming VerifiedWindow) {
        self.component = component
        self.reused = reused
        buffer = window.buffer
        self.window = consume window
    }

    /// Hands the window over; nil the second time.
    func take() -> VerifiedWindow? { window.take() }
}

/// The thread that puts windows together from what the device holds and from single fetched blocks.
///
/// It reads the device first and asks only for what is not there, so a record that is stale costs no more than
/// the blocks that it was wrong about. A window that would cost more than its own form is left to that.
final class BlockFetching: @unchecked Sendable {
    private let source: any BundleSource
    private let payloadOffset: UInt64
    private let lists: [BlockList]
    private let running: [(any Slot)?]
    private let targets: [any Slot]
    private let output: HandOver<WindowItem>
    private let pool: BufferPool
    private let tally: FormTally
    /// Pages and stored blocks of one window.
    private let stored: AlignedBuffer
    private var repeats = DamageRepeats()
    /// Most bytes that the source may have given when something is fetched; nil: no limit.
    private let limit: UInt64?

    /// `running` has, for each component, what its running slot holds, open for reading; the targets are open.
    init(
        source: any BundleSource, head: BundleHead, lists: [BlockList], running: [(any Slot)?], targets: [any Slot],
        to output: HandOver<WindowItem>, pool: BufferPool, tally: FormTally, limit: UInt64?
    ) throws(Failure) {
        self.source = source
        payloadOffset = head.release.header.payloadOffset
        self.lists = lists
        self.running = running
        self.targets = targets
        self.output = output
        self.pool = pool
        self.tally = tally
        self.limit = limit
        let pages = BundleLimits.window / BundleLimits.block * BlockIndex.pageEntryLength
        stored = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window + pages) }
    }

    /// Runs to the end on the calling thread and always ends the output.
    func run() {
        do throws(Failure) {
            for list in lists { try pass(list) }
            output.end(nil)
        } catch {
            output.end(error)
        }
    }

    private func pass(_ list: BlockList) throws(Failure) {
        var images: [(any ImageReader)?] = [nil, nil]
        if let slot = running[list.component] { images[BlockList.running] = try SlotImage(slot, .still) }
        images[BlockList.growing] = try SlotImage(targets[list.component], .growing)
        var assembler: BlockAssembler?
        if let index = list.index {
            assembler = try step { () throws(PayloadError) in try BlockAssembler(index: index) }
        }
        for job in list.jobs {
            guard let buffer = pool.take() else { throw Failure(EngineError.canceled) }
            var made: WindowItem?
            switch job.way {
            case .whole(let place): made = copy(list, job.window, images[place.image], place.offset, buffer)
            case .blocks:
                guard let assembler else { throw Failure(EngineError.interrupted) }
                made = try assemble(list, job.window, images, assembler, buffer)
            }
            if let made {
                output.push(made)
            } else {
                // The device does not hold what its record says: the window comes in its own form, later.
                tally.addFallback(bytes: list.chunks.table.windows[job.window].storedLength)
                pool.give(buffer)
            }
        }
    }

    private func copy(
        _ list: BlockList, _ window: Int, _ image: (any ImageReader)?, _ offset: UInt64, _ buffer: AlignedBuffer
    ) -> WindowItem? {
        let count = list.chunks.table.plainLength(of: window)
        guard let image else { return nil }
        do throws(SystemError) {
            if try image.read(at: offset, count: count, into: buffer, at: 0) < count { return nil }
        } catch {
            return nil
        }
        return item(list, reused: count, list.chunks.verify(buffer, window: window))
    }

    private func item(_ list: BlockList, reused: Int, _ decoded: consuming DecodedWindow) -> WindowItem? {
        switch consume decoded {
        case .verified(let window): WindowItem(component: list.component, reused: reused, window)
        case .mismatch: nil
        case .end: nil
        }
    }

    /// Nil when the window's own form costs less, or is needed because the blocks do not make the window.
    private func assemble(
        _ list: BlockList, _ window: Int, _ images: [(any ImageReader)?], _ assembler: BlockAssembler,
        _ buffer: AlignedBuffer
    ) throws(Failure) -> WindowItem? {
        guard let index = list.index, let places = list.places else { return nil }
        let missing = places.gather(window, from: images, into: buffer)
        let ranges = BlockRanges(window, missing, in: index.index)
        if ranges.bytes >= list.chunks.table.windows[window].storedLength { return nil }
        while true {
            try fetch(ranges)
            do throws(PayloadError) {
                try fill(index, window, ranges, assembler, buffer)
                repeats.good()
                break
            } catch {
                guard case .damaged = error, let first = ranges.ranges.first else { throw Failure(error) }
                if !repeats.allow(place(first), from: source) { throw Failure(error) }
            }
        }
        var fetched = 0
        for block in missing { fetched += block.length }
        return item(list, reused: list.chunks.table.plainLength(of: window) - fetched, assembler.finish())
    }

    /// The same range in the bundle.
    private func place(_ range: Range<UInt64>) -> Range<UInt64> {
        (payloadOffset + range.lowerBound)..<(payloadOffset + range.upperBound)
    }

    private func fetch(_ ranges: BlockRanges) throws(Failure) {
        var filled = 0
        for (number, range) in ranges.ranges.enumerated() {
            if number + 1 < ranges.ranges.count { source.announce(place(ranges.ranges[number + 1])) }
            let sum = source.bytesReceived + UInt64(range.count)
            if let limit, sum > limit { throw Failure(EngineError.mostBytes(more: sum - limit)) }
            try step { () throws(TransferError) in
                try source.read(place(range)) { (piece) throws(TransferError) in
                    stored.copy(piece, at: filled)
                    filled += piece.byteCount
                }
            }
            tally.add(fetched: range.count, .blocks)
        }
    }

    /// Goes through the window's blocks in order: those that were read from the device, and those that were fetched.
    private func fill(
        _ index: VerifiedBlockIndex, _ window: Int, _ ranges: BlockRanges, _ assembler: BlockAssembler,
        _ buffer: AlignedBuffer
    ) throws(PayloadError) {
        let stored = self.stored
        let pageLength = ranges.ranges.isEmpty ? 0 : index.index.pageLength(of: window)
        if pageLength > 0 {
            let page = try BlockPage(checking: stored.bytes.extracting(0..<pageLength), of: index, window: window)
            assembler.begin(window: window, page: page, into: buffer)
        } else {
            assembler.begin(window: window, page: nil, into: buffer)
        }
        while let entry = assembler.needed {
            if assembler.takePresent() == .holds { continue }
            // Nobody changes the buffer meanwhile, so this was missing before, and fetched.
            guard let place = ranges.place(of: entry.storedOffset) else { return }
            try assembler.take(stored: stored.bytes.extracting(place..<(place + entry.storedLength)))
        }
    }
}

/// The thread that brings these windows to their slots.
final class WindowPlacing: @unchecked Sendable {
    private let input: HandOver<WindowItem>
    private let pool: BufferPool
    private let writer: SlotWriter
    private let tally: FormTally
    private let forms: [FormKind]

    /// `forms` has the form of each component.
    init(from input: HandOver<WindowItem>, pool: BufferPool, to writer: SlotWriter, tally: FormTally, forms: [FormKind])
    {
        self.input = input
        self.pool = pool
        self.writer = writer
        self.tally = tally
        self.forms = forms
    }

    /// Runs to the end on the calling thread; the writer always hears of the end.
    func run() {
        do throws(Failure) {
            let present = try step { () throws(SystemError) in
                try AlignedBuffer(capacity: SlotWriter.comparedBytes)
            }
            while let item = try input.next() {
                guard let window = item.take() else { continue }
                let written = try writer.accept(window, of: item.component, comparingIn: present)
                tally.add(reused: item.reused, written: written, forms[item.component])
                pool.give(item.buffer)
            }
            writer.end(nil)
        } catch {
            writer.end(error)
            pool.stop()
        }
    }
}
