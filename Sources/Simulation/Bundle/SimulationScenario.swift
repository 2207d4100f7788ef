/// What goes wrong in a simulation.
public enum SimulationScenario: String, Sendable, CaseIterable {
    /// Power is cut at every write and flush, and within recoveries too; the process is killed.
    case power
    /// Connections break, bytes change, the server gives another object or less than it has.
    case network
    /// The release panics, hangs or is not healthy, and a good one follows.
    case badRelease = "bad-release"
    /// The file system of the device's own files runs full, and media say that they are.
    case fullDisk = "full-disk"
    /// What is written how often.
    case wear

    /// The same for people.
    public var title: String {
        switch self {
        case .power: "power cuts and kills"
        case .network: "a bad network"
        case .badRelease: "a release that does not work"
        case .fullDisk: "a full disk"
        case .wear: "wear of the media"
        }
    }
}
