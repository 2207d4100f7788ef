public import Platform

/// Codes how one run of bytes differs from a nearly equal one, bit by bit, with probabilities that both sides learn on
/// the way. Differences of programs are small numbers in regular places (addresses that moved), which depend on the old
/// bytes around them: a general compressor sees the differences only, this coder sees both.
///
/// - Stretches of equal bytes are coded as blocks of 16, 64 or 1024 bytes, one bit each.
/// - Elsewhere one bit says whether a byte differs, and eight more say by how much.
/// - The probability of each bit is a mix of what several contexts say, in the logistic domain, with weights that are
///   learned too (Mahoney, Data Compression Explained, 4.3.2). All of it is integer arithmetic: every machine gets the
///   same numbers.
/// - The bits go through a binary arithmetic coder with 32-bit bounds and probabilities of 12 bits.
///
/// One coder codes any number of runs, which share what was learned. The encoder and the decoder are the same walk, so
/// they cannot drift apart. Wrong bytes make wrong differences and nothing worse: the digest of the result decides.
@safe public struct DifferenceCoder: ~Copyable {
    /// Bytes of scratch memory that a coder works in.
    public static let memory = Layout.end

    private let buffer: AlignedBuffer
    private let cells: UnsafeMutablePointer<UInt16>
    private let weights: UnsafeMutablePointer<Int32>
    private let slots: UnsafeMutablePointer<Int32>
    private let inputs: UnsafeMutablePointer<Int32>
    private let recentValues: UnsafeMutablePointer<UInt8>
    private let rates: UnsafeMutablePointer<Int32>
    private let stretch: UnsafeMutablePointer<Int16>
    private let squash: UnsafeMutablePointer<Int16>

    private let isDecoding: Bool
    private var low: UInt32 = 0
    private var high: UInt32 = .max
    private var code: UInt32 = 0
    /// Bytes of the stored form that were read.
    public private(set) var taken = 0
    /// The stored form as far as it was written.
    private var output: [UInt8] = []
    /// The last eight differences, the newest lowest.
    private var differences: UInt64 = 0

    /// Where each table lies in the scratch memory, bytes.
    private enum Layout {
        static let weights = (Flags.contexts + Values.contexts) * (1 << cellBits) * 2 + Blocks.cells * 2
        static let slots =
            weights + (Flags.contexts * Flags.sets + Values.contexts * Values.sets + Blocks.contexts) * 4
        static let inputs = slots + 8 * 4
        static let recentValues = inputs + 8 * 4
        static let rates = recentValues + 8
        static let stretch = rates + 16 * 4
        static let squash = stretch + 4096 * 2
        static let end = squash + 4096 * 2
    }
    private static let cellBits = 15
    /// Does a byte differ?
    private enum Flags {
        static let contexts = 5
        static let sets = 128
    }
    /// By how much?
    private enum Values {
        static let contexts = 6
        static let sets = 64
    }
    /// Is a whole block equal?
    private enum Blocks {
        static let contexts = 3
        static let cells = 3 << cellBits
        static let cellBits = 10
    }
    /// Equal bytes after which blocks begin, and the bytes of the smallest.
    private static let block = 16

    // MARK: use

    /// Begins to encode.
    public init(encodingIn memory: AlignedBuffer) {
        self.init(memory, at: 0, isDecoding: false)
    }

    /// Begins to decode `stored`, of which the same bytes are to be given each time. `memory` has room for
    /// `DifferenceCoder.memory` bytes from `offset` on, which is a multiple of 8.
    public init(decoding stored: RawSpan, in memory: AlignedBuffer, at offset: Int) {
        self.init(memory, at: offset, isDecoding: true)
        unsafe stored.withUnsafeBytes { bytes in
            for _ in 0..<4 { code = unsafe code << 8 | next(bytes) }
        }
    }

    /// Encodes `new` as its differences from the bytes of `old` from `position` on.
    public mutating func encode(_ new: RawSpan, against old: RawSpan, at position: Int) {
        precondition(!isDecoding && position >= 0 && new.byteCount <= old.byteCount - position)
        unsafe new.withUnsafeBytes { new in
            unsafe old.withUnsafeBytes { old in
                // The walk writes only when it decodes, and reads what is stored only then.
                let nothing = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
                unsafe walk(UnsafeMutableRawBufferPointer(mutating: new), old, position, nothing)
            }
        }
    }

    /// Decodes the next `count` bytes to `place` of the target.
    public mutating func decode(
        _ stored: RawSpan, against old: RawSpan, at position: Int, count: Int, into target: inout MutableRawSpan,
        at place: Int
    ) {
        precondition(isDecoding && position >= 0 && count >= 0 && count <= old.byteCount - position)
        precondition(place >= 0 && count <= target.byteCount - place)
        unsafe target.withUnsafeMutableBytes { target in
            unsafe old.withUnsafeBytes { old in
                unsafe stored.withUnsafeBytes { stored in
                    let part = unsafe UnsafeMutableRawBufferPointer(rebasing: target[place..<(place + count)])
                    unsafe walk(part, old, position, stored)
                }
            }
        }
    }

    /// The stored form, after the last run.
    public consuming func finish() -> [UInt8] {
        for shift: UInt32 in [24, 16, 8, 0] { output.append(UInt8(truncatingIfNeeded: low >> shift)) }
        return output
    }

    // MARK: the walk over one run

    private mutating func walk(
        _ new: UnsafeMutableRawBufferPointer, _ old: UnsafeRawBufferPointer, _ position: Int,
        _ stored: UnsafeRawBufferPointer
    ) {
        var index = 0
        /// Equal bytes since the last that differed, and which of the last bytes differed, the newest in the lowest bit.
        var equal = Self.block
        var history: UInt32 = 0
        var past = unsafe Self.past(old, position)
        /// The place within a group of bytes that differ, as those of an address do.
        var rank = 0
        while index < new.count {
            if equal >= Self.block {
                let length = unsafe equalBlock(new, old, position, &index, equal: equal, stored)
                if length > 0 {
                    equal = equal &+ length
                    history = 0
                    past = unsafe Self.past(old, position + index)
                    continue
                }
                equal = 0
                history = 0
                past = unsafe Self.past(old, position + index)
            }
            let place = position + index
            let byte = unsafe UInt32(old[place])
            let ahead = place + 1 < old.count ? unsafe UInt32(old[place + 1]) : 0
            let known = isDecoding ? 0 : unsafe UInt32(new[index] &- old[place])
            let differs = unsafe flag(
                byte, ahead, past, history, equal: equal, place: place, known: known != 0, stored)
            if differs {
                let value = unsafe self.value(byte, ahead, past, rank: rank, equal: equal, known: known, stored)
                if isDecoding { unsafe new[index] = UInt8(truncatingIfNeeded: byte &+ value) }
                differences = differences << 8 | UInt64(value)
                unsafe recentValues[rank] = UInt8(truncatingIfNeeded: value)
                rank = min(rank + 1, 7)
                equal = 0
            } else {
                if isDecoding { unsafe new[index] = UInt8(truncatingIfNeeded: byte) }
                differences <<= 8
                equal += 1
                if equal > 2 { rank = 0 }
            }
            history = history << 1 | (differs ? 1 : 0)
            past = past << 8 | byte
            index += 1
        }
    }

    /// The four bytes before a place, the nearest lowest; zeros before the beginning.
    private static func past(_ old: UnsafeRawBufferPointer, _ place: Int) -> UInt32 {
        var bytes: UInt32 = 0
        for back in stride(from: min(place, 4), to: 0, by: -1) { bytes = unsafe bytes << 8 | UInt32(old[place - back]) }
        return bytes
    }

    /// Codes whether a whole block is equal, and goes over it; else 0, at the sixteen bytes with the first that differs.
    private mutating func equalBlock(
        _ new: UnsafeMutableRawBufferPointer, _ old: UnsafeRawBufferPointer, _ position: Int, _ index: inout Int,
        equal: Int, _ stored: UnsafeRawBufferPointer
    ) -> Int {
        let whole = equal < Self.block * 5 ? Self.block : equal < 2048 ? Self.block * 4 : Self.block * 64
        var length = min(whole, new.count - index)
        var before = UInt32(UInt64.bitWidth - UInt64(equal).leadingZeroBitCount)
        let byte = unsafe UInt32(old[position + index])
        let isEqual = unsafe blockBit(
            before | 1 << 8, UInt32(whole) | 2 << 12, byte | 3 << 10 | UInt32(whole) << 14,
            known: areEqual(new, old, position, index, length), stored)
        if isEqual {
            unsafe skip(new, old, position, index, length)
            index += length
            return length
        }
        while length > Self.block {
            let half = length / 2
            let isEqual = unsafe blockBit(
                77 | UInt32(length) << 8, before | UInt32(length) << 8 | 1 << 30, 5,
                known: areEqual(new, old, position, index, half), stored)
            if isEqual {
                unsafe skip(new, old, position, index, half)
                index += half
                length -= half
                before = min(before + 1, 24)
            } else {
                length = half
            }
        }
        return 0
    }

    private func areEqual(
        _ new: UnsafeMutableRawBufferPointer, _ old: UnsafeRawBufferPointer, _ position: Int, _ index: Int, _ count: Int
    ) -> Bool {
        if isDecoding { return false }
        for place in index..<(index + count) where unsafe new[place] != old[position + place] { return false }
        return true
    }

    private mutating func skip(
        _ new: UnsafeMutableRawBufferPointer, _ old: UnsafeRawBufferPointer, _ position: Int, _ index: Int, _ count: Int
    ) {
        differences = count < 8 ? differences << UInt64(8 * count) : 0
        if !isDecoding { return }
        let source = unsafe UnsafeRawBufferPointer(rebasing: old[(position + index)..<(position + index + count)])
        unsafe UnsafeMutableRawBufferPointer(rebasing: new[index..<(index + count)]).copyMemory(from: source)
    }

    // MARK: contexts

    private mutating func blockBit(
        _ first: UInt32, _ second: UInt32, _ third: UInt32, known: Bool, _ stored: UnsafeRawBufferPointer
    ) -> Bool {
        let start = (Flags.contexts + Values.contexts) << Self.cellBits
        let shift = UInt32(32 - Blocks.cellBits)
        unsafe slots[0] = Int32(start) &+ Int32(Self.hash(first) >> shift)
        unsafe slots[1] = Int32(start + 1 << Blocks.cellBits) &+ Int32(Self.hash(second) >> shift)
        unsafe slots[2] = Int32(start + 2 << Blocks.cellBits) &+ Int32(Self.hash(third) >> shift)
        let set = Flags.contexts * Flags.sets + Values.contexts * Values.sets
        return unsafe bit(known ? 1 : 0, contexts: Blocks.contexts, weights + set, stored) == 1
    }

    private mutating func flag(
        _ byte: UInt32, _ ahead: UInt32, _ past: UInt32, _ history: UInt32, equal: Int, place: Int, known: Bool,
        _ stored: UnsafeRawBufferPointer
    ) -> Bool {
        let (first, second, third) = (past & 0xFF, past >> 8 & 0xFF, past >> 16 & 0xFF)
        // Tables of pointers: what was 4, 8, 16 and 24 bytes before.
        let rows =
            history >> 3 & 1 | (history >> 7 & 1) << 1 | (history >> 15 & 1) << 2 | (history >> 23 & 1) << 3
        use(0, history & 15 | first << 8 | second << 16 | 3 << 28)
        use(1, rows | (history & 7) << 4 | 4 << 28 | UInt32(place & 7) << 8)
        use(2, history & 3 | byte << 4 | ahead << 12 | 5 << 28)
        use(3, history & 0xFF | first << 8 | 6 << 28)
        use(4, history & 15 | second << 8 | third << 16 | 7 << 28)
        let set = Int(history & 7) | min(equal, 8) << 3
        return unsafe bit(
            known ? 1 : 0, contexts: Flags.contexts, weights + set * Flags.contexts, stored) == 1
    }

    private mutating func value(
        _ byte: UInt32, _ ahead: UInt32, _ past: UInt32, rank: Int, equal: Int, known: UInt32,
        _ stored: UnsafeRawBufferPointer
    ) -> UInt32 {
        let (first, second) = (past & 0xFF, past >> 8 & 0xFF)
        let before = UInt32(truncatingIfNeeded: differences)
        let place = UInt32(rank) << 10
        let bases = (
            unsafe UInt32(recentValues[rank]) | 2 << 8 | place, (first + 7 * 256) | UInt32(rank) << 12,
            (before >> 24) | 4 << 8, ((before & 0xFF) ^ (before >> 8 & 0xFF) &* 1792) &+ 6 * 65536,
            (first &* 31 &+ second &* 8191 &+ 12) ^ place, (ahead &* 31 &+ byte &* 8191 &+ 14) ^ place
        )
        var node: UInt32 = 1
        for number in 0..<8 {
            let mark = node << 20
            use(Flags.contexts, bases.0 ^ mark)
            use(Flags.contexts + 1, bases.1 ^ mark)
            use(Flags.contexts + 2, bases.2 ^ mark)
            use(Flags.contexts + 3, bases.3 ^ mark)
            use(Flags.contexts + 4, bases.4 ^ mark)
            use(Flags.contexts + 5, bases.5 ^ mark)
            let set = Flags.contexts * Flags.sets + (rank | number << 3) * Values.contexts
            let bit = unsafe bit(
                Int32(known >> UInt32(7 - number) & 1), contexts: Values.contexts, weights + set, stored)
            node = node << 1 | UInt32(bit)
        }
        return node & 0xFF
    }

    /// Chooses the cell of a context; those of values take the places from 0 on too.
    @inline(__always) private func use(_ number: Int, _ context: UInt32) {
        let cell = number << Self.cellBits | Int(Self.hash(context) >> UInt32(32 - Self.cellBits))
        unsafe slots[number < Flags.contexts ? number : number - Flags.contexts] = Int32(truncatingIfNeeded: cell)
    }

    @inline(__always) private static func hash(_ context: UInt32) -> UInt32 {
        var hash = context &* 0x9E37_79B1
        hash ^= hash >> 15
        return hash &* 0x85EB_CA6B
    }

    // MARK: one bit

    /// How fast weights learn, and the count at which a cell's rate stays.
    private static let learning: Int32 = 20
    private static let steady: UInt16 = 10

    /// Codes a bit with what the chosen cells say, and teaches cells and weights what it was. `known` counts only when
    /// encoding.
    @inline(__always) private mutating func bit(
        _ known: Int32, contexts: Int, _ weights: UnsafeMutablePointer<Int32>, _ stored: UnsafeRawBufferPointer
    ) -> Int32 {
        var sum: Int64 = 0
        for number in 0..<contexts {
            let cell = unsafe cells[Int(slots[number])]
            let input = unsafe Int32(stretch[Int(cell >> 4)])
            unsafe inputs[number] = input
            sum = unsafe sum &+ Int64(weights[number]) &* Int64(input)
        }
        let mixed = unsafe Int32(squash[Int(max(-2047, min(2047, sum >> 16))) + 2048])
        let probability = max(1, min(4095, mixed))
        let middle = low &+ (high &- low) >> 12 &* UInt32(probability)
        let bit: Int32 = isDecoding ? (code <= middle ? 1 : 0) : known
        if bit == 1 { high = middle } else { low = middle &+ 1 }
        while (low ^ high) & 0xFF00_0000 == 0 {
            if isDecoding {
                code = unsafe code << 8 | next(stored)
            } else {
                output.append(UInt8(truncatingIfNeeded: high >> 24))
            }
            low <<= 8
            high = high << 8 | 0xFF
        }
        let error = (bit << 12 &- probability) &* Self.learning
        for number in 0..<contexts {
            unsafe weights[number] = weights[number] &+ (inputs[number] &* error &+ 0x2000) >> 14
            let slot = unsafe Int(slots[number])
            unsafe cells[slot] = taught(cells[slot], bit)
        }
        return bit
    }

    /// A cell has a probability of 12 bits, and below it the number of bits that taught it.
    @inline(__always) private func taught(_ cell: UInt16, _ bit: Int32) -> UInt16 {
        let count = cell & 15
        let probability = Int32(truncatingIfNeeded: cell >> 4)
        let goal: Int32 = 4095 &* bit
        let next = unsafe probability &+ ((goal &- probability) &* rates[Int(count)] &+ 32768) >> 16
        return UInt16(truncatingIfNeeded: max(1, min(4094, next))) << 4 | min(count &+ 1, Self.steady)
    }

    private mutating func next(_ stored: UnsafeRawBufferPointer) -> UInt32 {
        defer { taken += 1 }
        return taken < stored.count ? unsafe UInt32(stored[taken]) : 0
    }

    // MARK: tables

    private init(_ buffer: AlignedBuffer, at offset: Int, isDecoding: Bool) {
        precondition(offset >= 0 && offset % 8 == 0 && Self.memory <= buffer.capacity - offset)
        self.buffer = buffer
        self.isDecoding = isDecoding
        let base = unsafe buffer.withMutableBytes { memory in
            unsafe memory.withUnsafeMutableBytes { unsafe $0.baseAddress.unsafelyUnwrapped + offset }
        }
        unsafe cells = base.bindMemory(to: UInt16.self, capacity: Layout.weights / 2)
        unsafe weights = (base + Layout.weights).bindMemory(
            to: Int32.self, capacity: (Layout.slots - Layout.weights) / 4)
        unsafe slots = (base + Layout.slots).bindMemory(to: Int32.self, capacity: 8)
        unsafe inputs = (base + Layout.inputs).bindMemory(to: Int32.self, capacity: 8)
        unsafe recentValues = (base + Layout.recentValues).bindMemory(to: UInt8.self, capacity: 8)
        unsafe rates = (base + Layout.rates).bindMemory(to: Int32.self, capacity: 16)
        unsafe stretch = (base + Layout.stretch).bindMemory(to: Int16.self, capacity: 4096)
        unsafe squash = (base + Layout.squash).bindMemory(to: Int16.self, capacity: 4096)
        unsafe cells.update(repeating: 2048 << 4, count: Layout.weights / 2)
        unsafe recentValues.update(repeating: 0, count: 8)
        // 65536 / (count + 1.6)
        for count in 0..<16 { unsafe rates[count] = Int32(655_360 / (count * 10 + 16)) }
        startWeights()
        unsafe LogisticCurve.fill(squash: squash, stretch: stretch)
    }

    /// All contexts count alike at first, and together a little more than one.
    private func startWeights() {
        let parts = [(Flags.contexts, Flags.sets), (Values.contexts, Values.sets), (Blocks.contexts, 1)]
        var place = 0
        for (contexts, sets) in parts {
            let end = place + contexts * sets
            while place < end {
                unsafe weights[place] = Int32(65536 * 13 / 10 / contexts)
                place += 1
            }
        }
    }
}
