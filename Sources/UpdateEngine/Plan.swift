public import BundleFormat
internal import Payload
internal import Platform
internal import Slots
internal import Transfer
internal import Trust

/// What an attempt will do, before it does any of it.
public struct UpdatePlan: Equatable, Sendable {
    /// One component's part.
    public struct Item: Equatable, Sendable {
        public let component: Identifier
        /// The slot's name for people.
        public let slot: String
        /// Bytes of the image.
        public let imageBytes: UInt64
        /// Image bytes that the target holds already and that are left alone.
        public let reusedBytes: UInt64
        /// How it comes.
        public let form: FormKind
        /// Bytes still to fetch for it.
        public let fetchBytes: UInt64
        /// Windows to write at most, and of the whole image.
        public let windowsToDo: Int
        public let windows: Int
    }
    public let items: [Item]

    /// Sum over the components.
    public var fetchBytes: UInt64 {
        var sum: UInt64 = 0
        for item in items { sum += item.fetchBytes }
        return sum
    }
    /// Sum over the components.
    public var reusedBytes: UInt64 {
        var sum: UInt64 = 0
        for item in items { sum += item.reusedBytes }
        return sum
    }
}

/// Bytes to fetch once, and the windows that are made from them.
struct FetchJob: Equatable, Sendable {
    /// From the start of the payload; with length 0 nothing is fetched (a zero window).
    let offset: UInt64
    let length: Int
    /// Component and window numbers; more than one where windows share their stored bytes.
    var targets: [Target]

    struct Target: Equatable, Sendable {
        let component: Int
        let window: Int
    }
    var end: UInt64 { offset + UInt64(length) }
}

/// The list of what is still missing.
struct FetchList: Sendable {
    /// In the order of the images.
    private(set) var jobs: [FetchJob] = []

    /// Bytes between two wanted extents that are fetched and thrown away rather than asking again.
    static let gap: UInt64 = 32 * 1024

    /// All windows that `held` does not have; in the order of the bundle for a source that cannot go back.
    init(_ tables: [VerifiedChunkTable], held: [WindowBitmap], inOrderOfBundle: Bool = false) {
        var byOffset: [UInt64: Int] = [:]
        for (component, table) in tables.enumerated() {
            for (window, entry) in table.table.windows.enumerated() where !held[component].contains(window) {
                let target = FetchJob.Target(component: component, window: window)
                if entry.codec == .zero {
                    jobs.append(FetchJob(offset: 0, length: 0, targets: [target]))
                } else if let known = byOffset[entry.storedOffset], jobs[known].length == entry.storedLength {
                    jobs[known].targets.append(target)
                } else {
                    byOffset[entry.storedOffset] = jobs.count
                    jobs.append(FetchJob(offset: entry.storedOffset, length: entry.storedLength, targets: [target]))
                }
            }
        }
        if inOrderOfBundle { jobs.sort { $0.offset < $1.offset } }
    }

    /// Bytes to fetch.
    var fetchBytes: UInt64 {
        var sum: UInt64 = 0
        for job in jobs { sum += UInt64(job.length) }
        return sum
    }

    /// The jobs from `start` on that one range request serves: rising offsets with small gaps; zero windows go along.
    func run(from start: Int) -> Range<Int> {
        var end = start
        var position: UInt64?
        while end < jobs.count {
            let job = jobs[end]
            if job.length > 0 {
                if let position, job.offset < position || job.offset - position > Self.gap { break }
                position = job.end
            }
            end += 1
        }
        return start..<end
    }

    /// What one request for the jobs from `start` on asks for, in the payload; nil where nothing is left to fetch.
    func range(from start: Int) -> Range<UInt64>? {
        let run = jobs[run(from: start)]
        guard let first = run.first(where: { $0.length > 0 }), let last = run.last(where: { $0.length > 0 }) else {
            return nil
        }
        return first.offset..<last.end
    }
}
