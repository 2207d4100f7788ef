internal import ArgumentParser
internal import FactoryImage
internal import Platform

/// `kedge gateway`: a gateway in a directory, for trying releases before a fleet gets them.
struct GatewayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway", abstract: "Make, boot and look at a gateway in a directory.",
        discussion: """
            The directory holds a disk and a flash as image files, a container store and a boot record, and a \
            device.ini by which kedged takes it for the machine it runs on: kedged --config DIR/device.ini.
            """,
        subcommands: [Create.self, Boot.self, Status.self, Destroy.self])
}

/// A number of bytes on the command line: `65536`, `64K`, `320M` or `2G`, in powers of 1024.
struct ByteSize: ExpressibleByArgument {
    let bytes: UInt64

    init?(argument: String) {
        let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
        let unit = argument.last.flatMap { units[$0] }
        guard let count = UInt64(unit == nil ? argument[...] : argument.dropLast()) else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: unit ?? 1)
        if overflow { return nil }
        self.bytes = bytes
    }

    init(mebibytes: UInt64) { bytes = mebibytes << 20 }

    var defaultValueDescription: String { "\(bytes >> 20)M" }
}
