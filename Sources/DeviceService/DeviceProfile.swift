public import Slots
public import UpdateEngine

/// What of `device.ini` decides whether and how a release gets in: for simulations, which have no such device.
public struct DeviceProfile: Sendable {
    public let identity: DeviceIdentity
    /// Where the device keeps its trust root.
    public let trust: String
    /// Boots that a new release gets.
    public let tries: UInt8
    public let slots: [SlotConfiguration]
    /// Whether the floor is kept beside the boot record too: in files or in a TPM.
    public let keepsFloorBeside: Bool

    /// Reads and checks the file as `kedged` does. Paths in it are not looked at.
    public init(path: String) throws(ServiceError) {
        let configuration = try DeviceConfiguration(path: path)
        identity = configuration.identity
        trust = configuration.trust
        tries = configuration.tries
        slots = configuration.slots
        keepsFloorBeside = configuration.floor != .record
    }
}
