internal import BundleFormat
internal import CDivSufSort

/// What bsdiff finds (Percival, Naive differences of executable code, 2003): runs of the residual that are nearly runs
/// of the references, and what is left.
struct DifferenceStreams {
    /// So many bytes are nearly those of the references from a position on, so many extra ones follow, and the next run
    /// is so much farther in the references than these ended.
    struct Run {
        let position: Int
        let count: Int
        let extra: Int
        let seek: Int
    }
    private(set) var runs: [Run] = []
    var difference: [UInt8] = []
    var extra: [UInt8] = []

    /// The runs as a device reads them.
    var control: [UInt8] {
        var writer = ByteWriter()
        for run in runs {
            writer.varint(UInt64(run.count))
            writer.varint(UInt64(run.extra))
            writer.signed(Int64(run.seek))
        }
        return writer.bytes
    }

    fileprivate mutating func add(count: Int, extra more: Int, seek: Int) {
        let position = runs.last.map { $0.position + $0.count + $0.seek } ?? 0
        runs.append(Run(position: position, count: count, extra: more, seek: seek))
    }
}

/// Matches residuals against references by a suffix array. One thread uses one matcher.
///
/// Memory: four bytes for each byte of the references, 16 MiB at most, and 256 KiB.
@safe final class DifferenceMatcher {
    private let suffixes: UnsafeMutablePointer<Int32>
    /// Where suffixes with these first two bytes start.
    private var buckets = [Int32](repeating: 0, count: 65537)
    /// An inexact match is left for another place only where that has more than so many bytes more.
    private static let margin = 8

    init() { unsafe suffixes = .allocate(capacity: BundleLimits.references) }
    deinit { unsafe suffixes.deallocate() }

    /// The streams that make `new` of `old`; nil when there is no suffix array for it.
    func match(_ new: ByteView, against old: ByteView) -> DifferenceStreams? {
        guard old.count > 2, old.count <= BundleLimits.references, sort(old) else { return nil }
        var streams = DifferenceStreams()
        streams.difference.reserveCapacity(new.count)
        var (scan, length, place) = (0, 0, 0)
        var (lastScan, lastPlace, lastOffset) = (0, 0, 0)
        while scan < new.count {
            var score = 0
            scan += length
            var scored = scan
            while scan < new.count {
                (length, place) = longest(new, scan, old)
                while scored < scan + length {
                    let other = scored + lastOffset
                    if other >= 0, other < old.count, old[other] == new[scored] { score += 1 }
                    scored += 1
                }
                if (length == score && length != 0) || length > score + Self.margin { break }
                let other = scan + lastOffset
                if other >= 0, other < old.count, old[other] == new[scan] { score -= 1 }
                scan += 1
            }
            if length == score && scan < new.count { continue }
            let ahead = forward(new, lastScan, old, lastPlace, to: scan)
            var behind = scan < new.count ? backward(new, scan, old, place, from: lastScan) : 0
            var front = ahead
            if lastScan + front > scan - behind {
                (front, behind) = split(
                    new, old, lastScan: lastScan, lastPlace: lastPlace, scan: scan, place: place, front, behind)
            }
            for index in 0..<front {
                streams.difference.append(new[lastScan + index] &- old[lastPlace + index])
            }
            let more = scan - behind - (lastScan + front)
            if more > 0 { streams.extra += new[(lastScan + front)..<(lastScan + front + more)].array }
            streams.add(count: front, extra: more, seek: (place - behind) - (lastPlace + front))
            lastScan = scan - behind
            lastPlace = place - behind
            lastOffset = place - scan
        }
        return streams
    }

    private func sort(_ old: ByteView) -> Bool {
        let done = unsafe old.buffer.withMemoryRebound(to: UInt8.self) { bytes in
            unsafe divsufsort(bytes.baseAddress, suffixes, Int32(old.count))
        }
        if done != 0 { return false }
        for index in buckets.indices { buckets[index] = 0 }
        // The last suffix has one byte only: it sorts before all with two that begin alike.
        for index in 0..<(old.count - 1) { buckets[(Int(old[index]) << 8 | Int(old[index + 1])) + 1] += 1 }
        buckets[Int(old[old.count - 1]) << 8] += 1
        for index in 1..<buckets.count { buckets[index] += buckets[index - 1] }
        return true
    }

    /// The longest run of `old` that `new` goes on with at `scan`; its length and place.
    private func longest(_ new: ByteView, _ scan: Int, _ old: ByteView) -> (length: Int, place: Int) {
        guard scan + 1 < new.count else { return (0, 0) }
        let key = Int(new[scan]) << 8 | Int(new[scan + 1])
        var low = Int(buckets[key])
        var high = Int(buckets[key + 1])
        if low == high { return (0, 0) }
        var best = (length: 0, place: 0)
        let limit = new.count - scan
        while low < high {
            let middle = (low + high) / 2
            let place = unsafe Int(suffixes[middle])
            let length = old.common(place, new, scan, limit: limit)
            if length > best.length { best = (length: length, place: place) }
            if length == limit { break }
            if place + length == old.count || old[place + length] < new[scan + length] {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return best
    }

    /// How far the last match goes on with more than half of its bytes right.
    private func forward(_ new: ByteView, _ scan: Int, _ old: ByteView, _ place: Int, to end: Int) -> Int {
        var (same, best, length, index) = (0, 0, 0, 0)
        while scan + index < end, place + index < old.count {
            if old[place + index] == new[scan + index] { same += 1 }
            index += 1
            if same * 2 - index > best * 2 - length {
                best = same
                length = index
            }
        }
        return length
    }

    private func backward(_ new: ByteView, _ scan: Int, _ old: ByteView, _ place: Int, from start: Int) -> Int {
        var (same, best, length, index) = (0, 0, 0, 1)
        while scan >= start + index, place >= index {
            if old[place - index] == new[scan - index] { same += 1 }
            if same * 2 - index > best * 2 - length {
                best = same
                length = index
            }
            index += 1
        }
        return length
    }

    /// Divides what both the last match and the next one reach, where they have the most bytes right.
    private func split(
        _ new: ByteView, _ old: ByteView, lastScan: Int, lastPlace: Int, scan: Int, place: Int, _ front: Int,
        _ behind: Int
    ) -> (front: Int, behind: Int) {
        let overlap = (lastScan + front) - (scan - behind)
        var (score, best, keep) = (0, 0, 0)
        for index in 0..<overlap {
            let mine = lastScan + front - overlap + index
            if new[mine] == old[lastPlace + front - overlap + index] { score += 1 }
            if new[scan - behind + index] == old[place - behind + index] { score -= 1 }
            if score > best {
                best = score
                keep = index + 1
            }
        }
        return (front: front + keep - overlap, behind: behind - keep)
    }
}
