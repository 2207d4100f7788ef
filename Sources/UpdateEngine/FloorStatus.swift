public import Floors
public import Platform

/// What stands beside the boot record's floor; the highest of all is in force.
public struct FloorStatus: Equatable, Sendable {
    /// The trust root's own floor.
    public var root: UInt32 = 0
    /// Which store the device has, if any.
    public var store: FloorKind?
    /// What the store said last; nil when it could not be read.
    public var stored: UInt32?
    /// Why it could not be read or raised.
    public var failure: Failure?

    /// No store, and a root without a floor.
    public init() {}

    /// The floor in force with a boot record's.
    public func effective(_ recorded: UInt32) -> UInt32 { max(recorded, root, stored ?? 0) }

    /// Whether there is a store whose floor is not known.
    var isUnknown: Bool { store != nil && stored == nil }
}
