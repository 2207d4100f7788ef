internal import Transfer

/// How often one range that arrives damaged is still asked for again: always where the source has another place for it,
/// and `WindowFetcher.repeats` times at the same place.
struct DamageRepeats {
    private var left = WindowFetcher.repeats

    /// Rejects the range, and says whether to ask for it once more.
    mutating func allow(_ range: Range<UInt64>, from source: any BundleSource) -> Bool {
        if case .elsewhere = source.reject(range) { return true }
        if left == 0 { return false }
        left -= 1
        return true
    }
}
