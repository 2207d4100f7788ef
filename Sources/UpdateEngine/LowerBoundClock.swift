/// The time is not before what this says: a lower bound from everything that a device can believe.
///
/// Gateways boot in 1970 without a battery, and come back with 2038 or 2106 after a glitch. So the machine's clock
/// alone never decides. The bound is the highest of what was signed (when the trust root, this program and the
/// releases on this device were made), what the bound was before, and the machine's clock.
///
/// The bound never goes back, so it must not run ahead either: one wrong reading would let everything expire for ever.
/// Nothing more than ten years behind what the device's maker vouches for, the trust root and this program, is
/// believed, whether a clock says it or a release. A newer root or a newer kedged moves that horizon on; a device that
/// saw neither for so long stops to judge expiry, and no check of signatures, sequences or floors depends on it.
struct LowerBoundClock: Equatable, Sendable {
    /// When the trust root and this program were made, the later one (seconds since 1970).
    private(set) var anchor: Int64
    /// The bound, without the machine's clock.
    private(set) var bound: Int64

    /// Ten years, seconds: longer than support lasts (EU CRA article 13(8): five years as a rule).
    static let horizon: Int64 = 10 * 31_556_952
    /// A day, seconds.
    private static let slack: Int64 = 86400

    /// From what is vouched for, and the bound that was kept on disk.
    init(anchor: Int64, kept: Int64) {
        self.anchor = max(0, anchor)
        bound = self.anchor
        learn(kept)
    }

    /// A newer trust root.
    mutating func vouch(_ time: Int64) {
        anchor = max(anchor, time)
        bound = max(bound, anchor)
    }

    /// A time that was signed by somebody whose word is no reason to lock the device: a release, a statement.
    mutating func learn(_ time: Int64) {
        if isPlausible(time) { bound = max(bound, time) }
    }

    /// The time is not before this, by a reading of the machine's clock.
    func now(_ reading: Int64) -> Int64 { isPlausible(reading) ? max(bound, reading) : bound }

    /// What the machine's clock is worth. One that was set back by a little was set right, and is not broken.
    func judge(_ reading: Int64) -> ClockState {
        if reading < bound - Self.slack { return .behind }
        return isPlausible(reading) ? .good : .ahead
    }

    /// Whether a time lies before the horizon.
    func isPlausible(_ time: Int64) -> Bool {
        let (limit, overflow) = anchor.addingReportingOverflow(Self.horizon)
        return overflow || time <= limit
    }
}

/// What the machine's clock is worth to the engine.
public enum ClockState: String, Sendable, CaseIterable {
    /// It agrees with everything that is known of the time.
    case good
    /// It stands more than a day before what is known: it was reset, or never set.
    case behind
    /// It stands so far ahead that it is not believed.
    case ahead
}

/// The time as reports give it.
public struct TimeStatus: Equatable, Sendable {
    /// Seconds since 1970; the time is not before this.
    public var lowerBound: Int64
    public var clock: ClockState

    public init(lowerBound: Int64, clock: ClockState) {
        self.lowerBound = lowerBound
        self.clock = clock
    }
}
