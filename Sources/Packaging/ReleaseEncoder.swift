internal import BundleFormat
internal import Platform

/// What became of an image.
struct EncodedImage {
    let size: UInt64
    /// SHA-256 of the whole image.
    let digest: Digest
    /// Its chunk table, and the same encoded.
    let chunks: ChunkTable
    let table: [UInt8]
    /// Its other forms.
    var forms = EncodedForms()
}

/// Sends the windows of all images through the pool and lays the results out in order. Reading and digesting the
/// whole images happens on the calling thread, so that every byte is read once.
struct ReleaseEncoder {
    private let images: [ImageFile]
    private let identifiers: [Identifier]
    private let writer: PayloadWriter
    private let pool: EncodingPool
    private let slots: [EncodingSlot]
    private let windowSize = BundleLimits.window

    init(images: [ImageFile], recipe: Recipe, level: Int, jobs: Int, writer: PayloadWriter) throws {
        self.images = images
        self.identifiers = recipe.images.map { $0.id }
        self.writer = writer
        // One window in work and one waiting for each thread keeps all of them busy while results are written.
        slots = try (0..<(2 * jobs + 2)).map { _ in try EncodingSlot() }
        pool = try EncodingPool(jobs: jobs, level: level)
    }

    /// Encodes everything.
    /// `extra` is added to the total of the progress, for what comes afterwards.
    func run(extra: UInt64, _ progress: (BuildProgress) throws -> Void) throws -> [EncodedImage] {
        defer { pool.stop() }
        let zeros = ZeroDigests(windowSize: windowSize)
        var pending = Pending(count: slots.count)
        var entries = images.map { _ in [WindowEntry]() }
        var digests: [Digest] = []
        let total = images.reduce(extra) { $0 + $1.size }
        var done: UInt64 = 0

        func settle() throws {
            guard let (number, image) = pending.oldest() else { return }
            let slot = slots[number]
            let entry = try writer.place(slot, pool.outcome(of: slot), zero: zeros.digest(count: slot.count))
            if entry.codec != .zero { pool.learn(entry.plainDigest) }
            entries[image].append(entry)
            done += UInt64(slot.count)
            try progress(
                BuildProgress(component: identifiers[image], done: done, total: total, stored: writer.length))
        }

        for (index, image) in images.enumerated() {
            var hash = SHA256()
            var offset: UInt64 = 0
            while offset < image.size {
                if pending.isFull { try settle() }
                let slot = slots[pending.add(image: index)]
                slot.count = Int(min(UInt64(windowSize), image.size - offset))
                try image.read(into: slot.plain, count: slot.count, at: offset)
                // Digested before the pool has it: a slot has one holder at a time.
                let plain = slot.plain
                hash.update(plain.bytes.extracting(0..<slot.count))
                pool.submit(slot)
                offset += UInt64(slot.count)
            }
            digests.append(hash.finish())
        }
        while !pending.isEmpty { try settle() }

        var encoded: [EncodedImage] = []
        for (index, image) in images.enumerated() {
            let table = try ChunkTable(windowSize: windowSize, imageSize: image.size, windows: entries[index])
            encoded.append(
                EncodedImage(
                    size: image.size, digest: digests[index], chunks: table, table: table.encode()))
        }
        return encoded
    }
}

/// A ring of slots in use, oldest first.
private struct Pending {
    private var images: [Int]
    private var first = 0
    private var used = 0

    init(count: Int) { images = Array(repeating: 0, count: count) }

    var isEmpty: Bool { used == 0 }
    var isFull: Bool { used == images.count }

    /// Takes a free slot; its number.
    mutating func add(image: Int) -> Int {
        let number = (first + used) % images.count
        images[number] = image
        used += 1
        return number
    }

    /// Gives the oldest slot back; its number and image.
    mutating func oldest() -> (slot: Int, image: Int)? {
        if used == 0 { return nil }
        let number = first
        first = (first + 1) % images.count
        used -= 1
        return (number, images[number])
    }
}
