public import ArgumentParser
internal import FactoryImage
internal import Platform
public import Simulation
internal import StrictJSON

extension SimulatedBoot.Fault: ExpressibleByArgument {}

extension GatewayCommand {
    /// `kedge gateway boot`.
    struct Boot: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Switch the gateway on, or off and on again.",
            discussion: """
                Plays the boot loader on the gateway's boot record, and writes the kernel command line that kedged \
                reads. Loop devices that are gone, as after a reboot of this machine, are attached again.
                """)

        @Argument(help: "The gateway's directory.", completion: .directory)
        var directory: String
        @Option(help: "Fail slots on trial before user space: boot (kernel panic) or hang (watchdog reset).")
        var fail: SimulatedBoot.Fault?
        @Option(help: "How many starts to fail; all without it.")
        var times: Int?
        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            if let times, times < 1 { throw ValidationError("--times must be at least 1.") }
            if times != nil && fail == nil { throw ValidationError("--times needs --fail.") }
        }

        func run() throws {
            let gateway = try Gateway(at: directory)
            let boot = try GatewayBoot.run(gateway, fault: fail, times: times) { line in
                if !json { StandardStream.output.line(line) }
            }
            if json { StandardStream.output.line(boot.json.prettyText) }
        }
    }

    /// `kedge gateway status`.
    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the boot record and the slots.")

        @Argument(help: "The gateway's directory.", completion: .directory)
        var directory: String
        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let status = try Gateway(at: directory).status()
            if json { return StandardStream.output.line(status.json.prettyText) }
            for line in status.lines { StandardStream.output.line(line) }
        }
    }

    /// `kedge gateway destroy`.
    struct Destroy: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Detach the gateway's devices and remove its directory.",
            discussion: "Refused when the directory holds anything that kedge gateway create did not make.")

        @Argument(help: "The gateway's directory.", completion: .directory)
        var directory: String

        func run() throws { try Gateway(at: directory).destroy() }
    }
}
