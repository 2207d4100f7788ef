internal import BundleFormat

/// A group before its residual is coded.
struct GroupDraft: Sendable {
    var windows: Range<Int>
    var operations: [[DeltaOperation]] = []
    /// The parts of the image that nothing can be copied for, in order.
    var pieces: [Range<Int>] = []
    var residualLength = 0
    /// The first address that the group may not refer to.
    let limit: Int

    /// The residual bytes.
    func residual(of image: ByteView) -> ByteBlock {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(residualLength)
        for piece in pieces { bytes += image[piece].array }
        return ByteBlock(bytes)
    }
}

/// Finds what can be copied, byte for byte and from anywhere in the base or in the image itself, and cuts the rest into
/// groups.
///
/// Chunks of both are cut by content and found by name; a hit is compared, and extended both ways as far as the bytes
/// agree. Two images of which one is the other shifted, or laid out anew, are found the same way.
struct CopyMap {
    private let space: AddressSpace
    private let windowSize: Int
    private let windowCount: Int
    /// Where the image's chunks end.
    private var ends: [Int] = []
    private var chunk = 0
    private var inBase: [UInt64: Int] = [:]
    private var inImage: [UInt64: Int] = [:]
    private var copyEnd = 0

    /// A copy shorter than this costs more than it saves.
    private static let leastCopy = 32

    init(_ space: AddressSpace, windowSize: Int) {
        self.space = space
        self.windowSize = windowSize
        windowCount = (space.image.count + windowSize - 1) / windowSize
    }

    /// The groups of the whole image. `progress` gets image bytes done.
    mutating func groups(_ progress: (Int) throws -> Void) rethrows -> [GroupDraft] {
        if let base = space.base {
            var start = 0
            while start < base.count {
                let end = ContentChunks.end(of: start, in: base)
                let name = ContentChunks.name(base[start..<end])
                if inBase[name] == nil { inBase[name] = start }
                start = end
            }
        }
        var start = 0
        while start < space.image.count {
            start = ContentChunks.end(of: start, in: space.image)
            ends.append(start)
        }
        var groups: [GroupDraft] = []
        var draft = newDraft(at: 0)
        for window in 0..<windowCount {
            let before = (copyEnd, chunk)
            var found = self.window(window, limit: draft.limit)
            let full =
                draft.residualLength + found.residual > BundleLimits.residual
                || draft.windows.count == BundleLimits.groupWindows
            if full && !draft.windows.isEmpty {
                groups.append(draft)
                draft = newDraft(at: window)
                // What the group before could not refer to, this one may.
                (copyEnd, chunk) = before
                found = self.window(window, limit: draft.limit)
            }
            draft.windows = draft.windows.lowerBound..<(window + 1)
            draft.operations.append(found.operations)
            draft.pieces += found.pieces
            draft.residualLength += found.residual
            try progress(min((window + 1) * windowSize, space.image.count))
        }
        groups.append(draft)
        return groups
    }

    private func newDraft(at window: Int) -> GroupDraft {
        GroupDraft(windows: window..<window, limit: space.baseSize + window * windowSize)
    }

    private struct Found {
        var operations: [DeltaOperation] = []
        var pieces: [Range<Int>] = []
        var residual = 0

        mutating func keep(_ range: Range<Int>) {
            if range.isEmpty { return }
            operations.append(.residual(range.count))
            pieces.append(range)
            residual += range.count
        }
    }

    private mutating func window(_ window: Int, limit: Int) -> Found {
        let start = window * windowSize
        let end = min(start + windowSize, space.image.count)
        var found = Found()
        if isZero(start..<end) { return found }
        // Everything before `done` has an operation.
        var done = start
        func copy(_ address: Int, _ place: Int, _ length: Int) {
            found.keep(done..<place)
            found.operations.append(.copy(DeltaRange(start: UInt64(address), length: length)))
            copyEnd = address + length
            done = place + length
        }
        // A copy that was cut at the window's start goes on.
        let going = common(copyEnd, start, limit: min(end - start, available(copyEnd, limit)))
        if going >= Self.leastCopy { copy(copyEnd, start, going) }
        while chunk > 0, ends[chunk - 1] > start { chunk -= 1 }
        while chunk < ends.count, ends[chunk] <= done { chunk += 1 }
        while chunk < ends.count {
            let first = chunk == 0 ? 0 : ends[chunk - 1]
            if first >= end { break }
            let place = max(first, start)
            let whole = first..<ends[chunk]
            let name = ContentChunks.name(space.image[whole])
            for address in candidates(name, whole, done: done, place: place, limit: limit) {
                let skip = max(place, done) - first
                let ahead = common(
                    address + skip, first + skip,
                    limit: min(end - first - skip, available(address + skip, limit)))
                if ahead == 0 { continue }
                let behind = before(address + skip, first + skip, limit: first + skip - done)
                if ahead + behind < Self.leastCopy { continue }
                copy(address + skip - behind, first + skip - behind, ahead + behind)
                break
            }
            if inImage[name] == nil { inImage[name] = first }
            chunk += 1
            while chunk < ends.count, ends[chunk] <= done { chunk += 1 }
        }
        found.keep(done..<end)
        return found
    }

    /// Addresses where the chunk may be, the likeliest first: going on where the last copy ended, then the base, then
    /// the image.
    private func candidates(_ name: UInt64, _ chunk: Range<Int>, done: Int, place: Int, limit: Int) -> [Int] {
        var addresses: [Int] = []
        let near = copyEnd + chunk.lowerBound - done
        if near >= 0, available(near, limit) >= chunk.count,
            common(near, chunk.lowerBound, limit: chunk.count) == chunk.count
        {
            addresses.append(near)
        }
        if let address = inBase[name] { addresses.append(address) }
        if let place = inImage[name] {
            let address = space.baseSize + place
            if available(address, limit) >= chunk.count { addresses.append(address) }
        }
        return addresses
    }

    /// Bytes from an address on that a copy may take: to the end of the base, or to the limit.
    private func available(_ address: Int, _ limit: Int) -> Int {
        if address < 0 { return 0 }
        if address < space.baseSize { return space.baseSize - address }
        return max(0, limit - address)
    }

    private func common(_ address: Int, _ place: Int, limit: Int) -> Int {
        if limit <= 0 { return 0 }
        let (view, from) = space.locate(address)
        return view.common(from, space.image, place, limit: limit)
    }

    private func before(_ address: Int, _ place: Int, limit: Int) -> Int {
        let (view, from) = space.locate(address)
        return view.commonBefore(from, space.image, place, limit: limit)
    }

    private func isZero(_ range: Range<Int>) -> Bool {
        let view = space.image[range]
        var index = 0
        while index + 8 <= view.count {
            if view.word(index) != 0 { return false }
            index += 8
        }
        while index < view.count {
            if view[index] != 0 { return false }
            index += 1
        }
        return true
    }
}
