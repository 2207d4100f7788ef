internal import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Trust

/// The thread that makes windows of groups, in order, and brings them to their slots. What a group does not give is
/// fetched as a window of its own at once: later groups may be coded against it.
///
/// Memory: the delta decoder's 7 MiB at most, one window, and small buffers for reading slots.
final class GroupDecoding: @unchecked Sendable {
    private let lists: [GroupList]
    private let held: [WindowBitmap]
    private let exchange: FormExchange
    private let writer: SlotWriter
    private let tally: FormTally
    private let targets: [any Slot]
    /// The running slot's image for each component that comes as a delta; open.
    private let bases: [(any Slot)?]
    private let full: DownloadPolicy.Full
    /// Windows of the present list that its base gave, and that it did not.
    private var given = 0
    private var missed = 0

    /// A base that misses so many windows before it gave one is another image: the rest of its delta is not fetched.
    static let patience = 4

    init(
        lists: [GroupList], held: [WindowBitmap], bases: [(any Slot)?], targets: [any Slot], exchange: FormExchange,
        writer: SlotWriter, tally: FormTally, full: DownloadPolicy.Full
    ) {
        self.lists = lists
        self.held = held
        self.bases = bases
        self.targets = targets
        self.exchange = exchange
        self.writer = writer
        self.tally = tally
        self.full = full
    }

    /// Runs to the end on the calling thread; the writer always hears of the end.
    func run() {
        do throws(Failure) {
            let tools = try Tools()
            var number: Int?
            var decoder: DeltaDecoder?
            while let fetched = try exchange.next() {
                if number != fetched.list {
                    // The former one's memory goes first.
                    decoder = nil
                    decoder = try makeDecoder(lists[fetched.list])
                    number = fetched.list
                    (given, missed) = (0, 0)
                }
                if let decoder { try pass(fetched, decoder, tools) }
                if let buffer = fetched.buffer { exchange.give(buffer) }
            }
            writer.end(nil)
        } catch {
            writer.end(error)
        }
        exchange.end()
    }

    /// Memory and decoders that serve all components.
    private struct Tools {
        let window: AlignedBuffer
        let present: AlignedBuffer
        let windows: WindowDecoder

        init() throws(Failure) {
            window = try step { () throws(SystemError) in try AlignedBuffer(capacity: BundleLimits.window) }
            present = try step { () throws(SystemError) in try AlignedBuffer(capacity: SlotWriter.comparedBytes) }
            windows = try step { () throws(PayloadError) in try WindowDecoder() }
        }
    }

    private func makeDecoder(_ list: GroupList) throws(Failure) -> DeltaDecoder {
        var base: SlotImage?
        if let slot = bases[list.component] { base = try SlotImage(slot, .still) }
        let target = try SlotImage(targets[list.component], .growing)
        return try step { () throws(PayloadError) in
            try DeltaDecoder(table: list.table, base: base, target: target)
        }
    }

    private func pass(_ fetched: FetchedBatch, _ decoder: DeltaDecoder, _ tools: Tools) throws(Failure) {
        let list = lists[fetched.list]
        for item in fetched.items {
            if exchange.isAbandoned(fetched.list) { return }
            guard let group = item.take() else { continue }
            do throws(PayloadError) { try decoder.begin(consume group) } catch { throw Failure(error) }
            try decode(list, decoder, tools)
            if list.form == .delta, given == 0, missed >= Self.patience { exchange.abandon(fetched.list) }
        }
    }

    private func decode(_ list: GroupList, _ decoder: DeltaDecoder, _ tools: Tools) throws(Failure) {
        while true {
            let decoded: DecodedWindow
            do throws(PayloadError) { decoded = try decoder.next(into: tools.window) } catch { throw Failure(error) }
            switch consume decoded {
            case .verified(let window):
                if held[list.component].contains(window.index) { continue }
                let copied = decoder.copiedBytes
                if copied > 0 { given += 1 }
                let written = try writer.accept(window, of: list.component, comparingIn: tools.present)
                tally.add(reused: copied, written: written, list.form)
            case .mismatch(let window):
                missed += 1
                try fallBack(window, list, tools)
            case .end: return
            }
        }
    }

    private func fallBack(_ window: Int, _ list: GroupList, _ tools: Tools) throws(Failure) {
        if held[list.component].contains(window) { return }
        let table = list.table.chunks
        if full == .never { throw Failure(EngineError.fullForbidden(table.component.id.text)) }
        let item = try exchange.window(FetchJob.Target(component: list.component, window: window))
        guard let stored = item.take() else { return }
        let decoded: VerifiedWindow
        do throws(PayloadError) {
            decoded = try tools.windows.decode(consume stored, scratch: tools.window)
        } catch {
            throw Failure(error)
        }
        let written = try writer.accept(decoded, of: list.component, comparingIn: tools.present)
        tally.add(reused: 0, written: written, .windows)
    }
}
