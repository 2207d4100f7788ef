internal import ArgumentParser
internal import HubEmulation
internal import Platform

/// A local IoT Hub for developers and tests.
@main struct IoTHubEmulator: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "iothub-emulator",
        abstract: "An Azure IoT Hub with its provisioning service on this machine.",
        discussion: """
            Devices connect by MQTT over TLS, with shared access signatures or certificates; back ends use the service \
            API over HTTPS with the connection string that is printed. DIR/ca.pem is what both must trust. The page at \
            the service address lists all identities and what they report.

            It is for development: keys are kept in clear text in DIR, and it must not be reachable from outside.
            """)

    @Option(help: ArgumentHelp("Where state, certificates and keys are kept; made if missing.", valueName: "dir"))
    var directory = "iothub"
    @Option(help: "The numeric address to listen on.")
    var address = "127.0.0.1"
    @Option(help: "The port for devices; official clients know only 8883. 0 takes a free one.")
    var devicePort: UInt16 = 8883
    @Option(help: "The port for back ends and the page. 0 takes a free one.")
    var servicePort: UInt16 = 8443
    @Option(help: "The hub's name, as devices give it.")
    var hostName = "localhost"
    @Option(help: ArgumentHelp("The provisioning service's scope.", valueName: "scope"))
    var idScope = "0ne00000001"
    @Option(name: .customLong("name"), help: "A further name or address for the server's certificate; repeatable.")
    var names: [String] = []
    @Option(help: "Twin requests of all devices in a second before they get status 429; 0 for no limit.")
    var twinRequests = 0
    @Flag(help: "Say nothing about single connections.")
    var quiet = false

    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as HubError {
            end(error)
        } catch let error as SystemError {
            end(error)
        } catch {
            exit(withError: error)
        }
    }

    /// One line with the stable code, and the exit status of its category.
    private static func end(_ error: some StableError) -> Never {
        StandardStream.error.line("iothub-emulator: \(Failure(error).line)")
        ProcessInformation.exit(error.category.rawValue)
    }

    func run() throws {
        let signals = try SignalInbox()
        let certificateNames = ([hostName, "localhost", address] + names).reduce(into: [String]()) { list, name in
            if !list.contains(name) { list.append(name) }
        }
        let files = try HubCertificates.prepare(directory: directory, names: certificateNames)
        let key = try HubCertificates.ownerKey(directory: directory)
        let settings = EmulatedHub.Settings(
            hostName: hostName, idScope: idScope, ownerKey: key,
            serviceNames: certificateNames,
            twinRequestsPerSecond: twinRequests)
        var hub = EmulatedHub(settings, random: EmulatedHub.secretBytes)
        let store = HubStore(path: "\(directory)/hub.json")
        try store.load(into: &hub)
        let server = try HubServer(
            hub: hub, files: files, address: address, devicePort: devicePort, servicePort: servicePort, store: store,
            time: SystemTime(), log: quiet ? nil : StandardStream.error)
        let out = StandardStream.output
        out.line("devices: \(address):\(server.devicePort)  host name \(hostName)  scope \(idScope)")
        out.line("page: https://\(address):\(server.servicePort)/")
        out.line("trust: \(files.authority)")
        out.line(
            "owner: HostName=\(address):\(server.servicePort);SharedAccessKeyName=iothubowner;SharedAccessKey="
                + Base64.encode(key))
        try server.run { signals.stopRequested() }
    }
}
