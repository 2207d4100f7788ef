internal import BundleFormat

/// Cuts bytes where their content says so (FastCDC: Xia et al., USENIX ATC 2016), so that equal content is cut alike
/// wherever it lies.
struct ContentChunks {
    /// Bytes of a chunk on average, at least and at most. Shorter ones find more to copy and leave less to be coded,
    /// but what they cut into pieces codes worse: with 4096 a security update of a Debian root file system takes 1.9 %
    /// more bytes (0.911 MB for 0.894 MB).
    static let average = 16384
    static let least = 4096
    static let most = 65536

    /// One value for each byte, from a fixed sequence (splitmix64).
    private static let gear: [UInt64] = {
        var state: UInt64 = 0x6b65_6467_6500_0001
        return (0..<256).map { _ in
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }()

    // Normalized chunking: harder to cut before the average, easier behind it.
    private static let hard = UInt64(average * 4 - 1) << 40
    private static let easy = UInt64(average / 4 - 1) << 40

    /// The end of the chunk that starts at `start`.
    static func end(of start: Int, in bytes: ByteView) -> Int {
        unsafe gear.withUnsafeBufferPointer { table in
            let limit = min(bytes.count, start + most)
            let middle = min(limit, start + average)
            var index = min(limit, start + least)
            var hash: UInt64 = 0
            while index < middle {
                hash = unsafe (hash << 1) &+ table[Int(bytes[index])]
                index += 1
                if hash & hard == 0 { return index }
            }
            while index < limit {
                hash = unsafe (hash << 1) &+ table[Int(bytes[index])]
                index += 1
                if hash & easy == 0 { return index }
            }
            return limit
        }
    }

    /// A name for the content of a chunk; what it finds is compared byte by byte.
    static func name(_ chunk: ByteView) -> UInt64 { chunk.withSpan { BlockHint(of: $0).value } }
}
