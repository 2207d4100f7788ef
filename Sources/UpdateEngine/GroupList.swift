internal import BundleFormat
internal import Payload
internal import Platform

/// The groups of one component that are still wanted, in order, and the ranges that they are fetched in.
struct GroupList: Sendable {
    /// Groups whose stored bytes lie behind each other and fit one buffer.
    struct Batch: Equatable, Sendable {
        /// From the start of the payload.
        let offset: UInt64
        var length: Int
        /// Numbers of groups in the table, rising.
        var groups: [Int]

        var end: UInt64 { offset + UInt64(length) }
    }
    /// Which component of the release, and of which form the table is.
    let component: Int
    let form: FormKind
    let table: VerifiedDeltaTable
    private(set) var batches: [Batch] = []
    /// Stored bytes of all batches.
    private(set) var fetchBytes: UInt64 = 0

    /// All groups with a window that `held` does not have.
    init(component: Int, form: FormKind, table: VerifiedDeltaTable, held: WindowBitmap) {
        self.component = component
        self.form = form
        self.table = table
        for (number, group) in table.table.groups.enumerated() {
            if !group.windows.contains(where: { !held.contains($0) }) { continue }
            fetchBytes += UInt64(group.storedLength)
            if let last = batches.indices.last, group.storedLength == 0 || batches[last].end == group.storedOffset,
                batches[last].length + group.storedLength <= BundleLimits.window
            {
                batches[last].groups.append(number)
                batches[last].length += group.storedLength
            } else {
                batches.append(Batch(offset: group.storedOffset, length: group.storedLength, groups: [number]))
            }
        }
    }

    /// The batches from `start` on that one range request serves: small gaps between them are fetched along.
    func run(from start: Int) -> Range<Int> {
        var end = start + 1
        while end < batches.count, batches[end].offset - batches[end - 1].end <= FetchList.gap { end += 1 }
        return start..<end
    }

    /// What one request for them asks for, in the payload.
    func range(_ run: Range<Int>) -> Range<UInt64> {
        batches[run.lowerBound].offset..<batches[run.upperBound - 1].end
    }
}
