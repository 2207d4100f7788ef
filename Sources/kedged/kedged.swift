internal import DeviceService
internal import Platform

/// The gateway's updater; see `kedged --help`.
@main enum Kedged {
    static func main() {
        ProcessInformation.exit(CommandRunner.main(CommandRunner.processArguments()))
    }
}
