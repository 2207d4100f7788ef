public import BundleFormat
internal import Platform

/// Makes the pages and blocks of the blocks form, a window at a time on `jobs` threads.
public struct BlockEncoder: Sendable {
    private let image: ByteBlock
    private let windowSize: Int
    private let level: Int
    private let jobs: Int

    private struct Coded: Sendable {
        let page: Digest
        let blocks: [BlockPlan]
        let stored: [UInt8]
    }

    /// The level is capped: every block is compressed with up to 256 KiB before it as its prefix, which zstd has to
    /// index anew for each of them, and above this level that takes minutes for every 100 MiB.
    public static let highestLevel = 12

    public init(image: ByteBlock, windowSize: Int = BundleLimits.window, level: Int, jobs: Int) {
        self.image = image
        self.windowSize = windowSize
        self.level = min(level, Self.highestLevel)
        self.jobs = max(jobs, 1)
    }

    /// Calls `write` with page and blocks of each of these windows in order; returns what the index says of them.
    /// `progress` gets image bytes done.
    public func encode(
        windows: [Int], progress: (UInt64) throws -> Void = { _ in }, write: ([UInt8]) throws -> Void
    ) throws -> [(page: Digest, blocks: [BlockPlan])] {
        let work = OrderedWork<Coded?>(count: windows.count, jobs: jobs)
        var coded: [(page: Digest, blocks: [BlockPlan])] = []
        var failed = false
        let (view, level, windowSize) = (image.view, level, windowSize)
        try work.run(jobs: jobs) {
            let writer = SendableWriter(value: FrameWriter(level: level))
            return { number in
                let start = windows[number] * windowSize
                return writer.value.map { Self.code(view[start..<min(start + windowSize, view.count)], $0) }
            }
        } deliver: { number, result in
            guard let result else {
                failed = true
                return
            }
            try write(result.stored)
            coded.append((page: result.page, blocks: result.blocks))
            try progress(min(UInt64(windows[number] + 1) * UInt64(windowSize), UInt64(image.count)))
        }
        if failed { throw DeltaEncodingError.noMemory }
        return coded
    }

    private static func code(_ window: ByteView, _ writer: FrameWriter) -> Coded {
        var page: [UInt8] = []
        var stored: [UInt8] = []
        var blocks: [BlockPlan] = []
        for start in stride(from: 0, to: window.count, by: BundleLimits.block) {
            let block = window[start..<min(start + BundleLimits.block, window.count)]
            let hint = block.withSpan { BlockHint(of: $0) }
            var bytes: [UInt8] = []
            if !block.array.allSatisfy({ $0 == 0 }) {
                let prefix = window[max(0, start - BlockIndex.prefixLength)..<start]
                bytes = writer.bareFrame(block, prefix: prefix, limit: block.count - 1) ?? block.array
                page += SHA256.digest(of: bytes).bytes.prefix(BlockIndex.pageEntryLength)
            }
            stored += bytes
            blocks.append(BlockPlan(storedLength: bytes.count, hint: hint))
        }
        return Coded(page: SHA256.digest(of: page), blocks: blocks, stored: page + stored)
    }
}

/// Carries a writer to the one thread that uses it.
private struct SendableWriter: @unchecked Sendable {
    let value: FrameWriter?
}
