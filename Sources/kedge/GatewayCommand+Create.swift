public import ArgumentParser
public import FactoryImage
internal import Platform

extension GatewayDescription.Boot: ExpressibleByArgument {}
extension GatewayOrder.MediaChoice: ExpressibleByArgument {}

extension GatewayCommand {
    /// `kedge gateway create`.
    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a gateway in a new directory.",
            discussion: """
                With --from, slot set a holds that release, whose signatures are checked first. Without it all slots \
                are blank, and slot set a runs as a release that nobody knows.
                """)

        @Argument(help: "A directory that does not exist yet, or is empty.", completion: .directory)
        var directory: String
        @Option(help: "Size of each root file system slot.")
        var rootfsSize = ByteSize(mebibytes: 320)
        @Option(help: "Size of each kernel slot.")
        var kernelSize = ByteSize(mebibytes: 32)
        @Option(help: "Size of each BIOS bank.")
        var biosSize = ByteSize(mebibytes: 8)
        @Option(help: "What keeps the boot record.")
        var boot = GatewayDescription.Boot.simulated
        @Option(help: "What the slots are: loop devices (needs root), or regions of the disk's file.")
        var media = GatewayOrder.MediaChoice.auto
        @Option(help: "The root.json that the gateway trusts.", completion: .file(extensions: ["json"]))
        var trust: String?
        @Option(help: "A bundle whose release is in slot set a from the start; needs --trust.")
        var from: String?
        @Option(help: "The gateway's own name.")
        var id = "gateway-1"
        @Option(help: "Its vendor, as releases name it. (default: that of --from, or example)")
        var vendor: String?
        @Option(
            name: .customLong("class"),
            help: "Its device class, as releases name it. (default: that of --from, or gateway)")
        var deviceClass: String?
        @Option(help: "Its hardware revision. (default: the lowest that --from is for, or 1)")
        var hardware: UInt32?

        func run() throws {
            let order = GatewayOrder(
                sizes: GatewayLayout.Sizes(
                    rootfs: rootfsSize.bytes, kernel: kernelSize.bytes, bios: biosSize.bytes),
                boot: boot, media: media, id: id, vendor: vendor, deviceClass: deviceClass, hardware: hardware,
                trustRoot: trust, bundle: from)
            let gateway = try Gateway.create(order, at: directory)
            for line in try gateway.status().lines { StandardStream.output.line(line) }
            if trust == nil {
                StandardStream.error.line(
                    "This gateway accepts no release until a trust store is at \(gateway.trustRoot).")
            }
        }
    }
}
