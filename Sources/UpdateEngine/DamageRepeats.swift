internal import Transfer

/// How often bytes that arrive damaged are asked for again: always where the source has another place for them, and at
/// the same place, which a source on the network asks past its caches and not at once, `most` times for each range, as
/// long as there is credit.
///
/// What a place wastes that damages something now and then is bounded: eight pieces, and one for each sixteen good ones.
struct DamageRepeats {
    /// For one range at the same place.
    static let most = 3
    /// A damaged piece costs as much as so many good ones earn, up to `mostCredit`.
    static let price = 16
    static let mostCredit = 8 * price

    private var last: Range<UInt64>?
    private var damages = 0
    /// What damage in all may still cost, in good pieces.
    private var credit = mostCredit

    /// A piece came as it should.
    mutating func good() { credit = min(credit + 1, Self.mostCredit) }

    /// Rejects the range, and says whether to ask for it once more.
    mutating func allow(_ range: Range<UInt64>, from source: any BundleSource) -> Bool {
        if last != range { damages = 0 }
        last = range
        if case .elsewhere = source.reject(range) { return true }
        damages += 1
        credit -= Self.price
        return damages <= Self.most && credit >= 0
    }
}
