/// How many tries again a download may cost. Each costs one, and each 64 KiB that came give one back, up to where it
/// began. A value without a clock.
struct RetryBudget: Equatable {
    private let most: UInt32
    private(set) var left: UInt32
    private var bytes: UInt64 = 0

    /// Bytes that pay for one try.
    static let bytesForOne: UInt64 = 65_536

    init(_ most: UInt32) {
        self.most = max(most, 1)
        left = self.most
    }

    mutating func received(_ count: UInt64) {
        bytes += count
        let earned = bytes / Self.bytesForOne
        bytes -= earned * Self.bytesForOne
        left = UInt32(min(UInt64(most), UInt64(left) + earned))
    }

    /// Takes one; false when there is none.
    mutating func spend() -> Bool {
        if left == 0 { return false }
        left -= 1
        return true
    }
}
