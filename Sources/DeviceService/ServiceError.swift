public import Platform

/// What is wrong with a configuration file or a command line.
public enum ServiceError: StableError, Equatable, Sendable {
    case configurationMissing(path: String)
    case configurationSyntax(path: String, line: Int)
    case configuration(path: String, why: String)
    /// A file with secrets cannot be used; the reason repeats nothing of it.
    case secret(path: String, why: String)
    case usage(String)
    case dataDirectory(SystemError)

    public var code: String {
        switch self {
        case .configurationMissing: "config.missing"
        case .configurationSyntax: "config.syntax"
        case .configuration: "config.invalid"
        case .secret: "config.secret"
        case .usage: "usage"
        case .dataDirectory: "config.data"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .usage: .usage
        case .dataDirectory: .storage
        default: .configuration
        }
    }
    public var context: String {
        switch self {
        case .configurationMissing(let path): "there is no configuration at \(path)"
        case .configurationSyntax(let path, let line):
            "\(path), line \(line): this is not INI, is indented or is too long"
        case .configuration(let path, let why): "\(path): \(why)"
        case .secret(let path, let why): "\(path) cannot be used: \(why)"
        case .usage(let why): why
        case .dataDirectory(let error): "the data directory cannot be used: \(error.context)"
        }
    }
    public var remedy: String {
        switch self {
        case .configurationMissing: "Write it, or name another one with --config"
        case .configurationSyntax, .configuration: "Correct the file; kedged --help names every section and key"
        case .secret: "Make it a file that only its owner may read (chmod 600), in the form that kedged --help shows"
        case .usage: "See kedged --help"
        case .dataDirectory(let error): error.remedy
        }
    }
}
