public import BootControl
internal import Platform

/// A gateway in a directory: a disk and a flash as image files, a container store, a boot record, and the
/// device.ini by which `kedged` takes it for the machine it runs on.
public struct Gateway: Sendable {
    /// The directory, from the root on.
    public let directory: String
    public let description: GatewayDescription

    init(directory: String, description: GatewayDescription) {
        self.directory = directory
        self.description = description
    }

    /// Opens a gateway that was made before. Nothing is changed.
    public init(at path: String) throws(GatewayError) {
        let directory = try asGateway { () throws(SystemError) in try FileSystem.absolute(path) }
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.read(directory + "/gateway.json", limit: 64 << 10)
        } catch {
            throw .notAGateway(path: directory, why: "gateway.json: \(error.text)")
        }
        self.directory = directory
        description = try GatewayDescription.parse(bytes, of: directory)
    }

    /// Files and directories that `create` makes, and `destroy` removes. Nothing else may be in the directory.
    static let members = [
        "boot-record.img", "data", "dev", "device.ini", "disk.img", "flash.img", "gateway.json", "health", "root.json",
        "run", "store",
    ]

    /// The disk image.
    public var disk: String { directory + "/disk.img" }
    /// The SPI flash image with both BIOS banks.
    public var flash: String { directory + "/flash.img" }
    /// The container store.
    public var store: String { directory + "/store" }
    /// What `kedged` keeps between runs.
    public var data: String { directory + "/data" }
    /// The kernel command line of the running system, as the boot loader left it.
    public var commandLine: String { directory + "/run/cmdline" }
    /// The configuration of `kedged`.
    public var deviceINI: String { directory + "/device.ini" }
    /// The trust store that the gateway was shipped with.
    public var trustRoot: String { directory + "/root.json" }
    /// The program that tells whether the running release is healthy.
    public var health: String { directory + "/health" }
    /// The record of the simulated boot loader.
    public var bootRecord: String { directory + "/boot-record.img" }

    /// The home of the boot record, as the boot loader and `kedged` use it.
    public func bootHome() throws(GatewayError) -> any BootHome {
        switch description.boot {
        case .simulated: return SimulatedBootHome(path: bootRecord)
        case .uboot:
            let (first, second) = environmentLocations
            do { return try UBootEnvironmentHome(first, second) } catch { throw .boot(error) }
        }
    }

    /// The two copies of the U-Boot environment on the disk.
    var environmentLocations: (UBootEnvironmentHome.Location, UBootEnvironmentHome.Location) {
        let (first, second) = description.layout.environments
        return (
            UBootEnvironmentHome.Location(path: disk, offset: first.offset, size: Int(first.size)),
            UBootEnvironmentHome.Location(path: disk, offset: second.offset, size: Int(second.size))
        )
    }

    /// Which slot set runs, by the command line that the last boot left. Nil before the first boot.
    public func running() throws(GatewayError) -> RunningSlot? {
        let kind = try asGateway { () throws(SystemError) in try FileSystem.kind(of: commandLine) }
        if kind == nil { return nil }
        do { return try RunningSlot.read(commandLine) } catch { throw .boot(error) }
    }
}
