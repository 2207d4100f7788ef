public import Platform

/// Why the emulator cannot start.
public enum HubError: StableError, Equatable, Sendable {
    /// A file of it is damaged.
    case state(path: String, why: String)
    /// The address is not there or taken.
    case listen(address: String, why: String)
    /// The certificates cannot be made or used.
    case certificates(path: String)
    /// An option's value.
    case option(name: String, why: String)
    case system(SystemError)

    public var code: String {
        switch self {
        case .state: "emulator.state"
        case .listen: "emulator.listen"
        case .certificates: "emulator.certificates"
        case .option: "command.usage"
        case .system(let error): error.code
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .state, .certificates: .configuration
        case .listen: .network
        case .option: .usage
        case .system(let error): error.category
        }
    }
    public var context: String {
        switch self {
        case .state(let path, let why): "\(path) is not what the emulator wrote: \(why)"
        case .listen(let address, let why): "cannot listen on \(address): \(why)"
        case .certificates(let path): "the certificates in \(path) cannot be made or used"
        case .option(let name, let why): "\(name): \(why)"
        case .system(let error): error.context
        }
    }
    public var remedy: String {
        switch self {
        case .state: "Remove it to start with an empty hub, or take its copy"
        case .listen: "Choose an address of this machine and a free port, or end what listens there"
        case .certificates: "Remove the directory's *.pem files to have new ones made"
        case .option: "See iothub-emulator --help"
        case .system(let error): error.remedy
        }
    }
}

/// Runs something that fails with a `SystemError`.
func system<Value>(_ body: () throws(SystemError) -> Value) throws(HubError) -> Value {
    do throws(SystemError) { return try body() } catch { throw .system(error) }
}
