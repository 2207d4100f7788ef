/// A place of its own for the floor: the lowest security version that this device accepts.
///
/// The boot record holds the floor too, and the floor in force is the highest of all. A store is worth what it costs
/// to turn it back: a file survives a boot record that was restored from an old copy, and a TPM's counter survives
/// whoever writes all of the device's storage.
///
/// A store is raised only after a release was confirmed, and only to what every slot set that can still be selected
/// has (AVB's rule): at no instant may the floor lock out the slot set to come back to. Raising is idempotent; one
/// that was interrupted is finished by the next.
public protocol FloorStore: AnyObject, Sendable {
    var kind: FloorKind { get }
    /// The store's name in messages.
    var displayName: String { get }
    /// The floor it holds. It throws rather than guess.
    func read() throws(FloorError) -> UInt32
    /// Makes the floor at least this, and durable, before it returns; returns the floor it holds then, which is less
    /// where the store goes only so far at a time. A store that cannot be read but written is made whole.
    func raise(to floor: UInt32) throws(FloorError) -> UInt32
    /// Lowers it, for a downgrade that was authorised. A kind that only rises throws `.irreversible`.
    func lower(to floor: UInt32) throws(FloorError)
}

/// Kinds of stores, by the names of `[floor] store`.
public enum FloorKind: String, Sendable, CaseIterable {
    case file, tpm

    /// Whether an authorised downgrade may lower it.
    public var canBeLowered: Bool { self == .file }
}
