internal import BundleFormat
internal import Platform
internal import Transfer

/// `[network]` and its classes in `device.ini`: how bundles are fetched, and what that may cost.
struct NetworkConfiguration: Sendable {
    /// How the class of the network is found.
    enum ClassRule: Equatable, Sendable {
        case always(NetworkClass)
        /// Words of a command that prints the class.
        case command([String])
    }

    var http = HTTPOptions()
    var rules = NetworkRules()
    var networkClass = ClassRule.always(.ethernet)
    /// URL of a directory in the local network that has bundles under their own names; asked first.
    var cache: String?
    /// URLs of directories that have bundles under their own names; asked after the place that was named.
    var mirrors: [String] = []
    /// Seconds over which a fleet's starts are spread; 0: at once.
    var spread: UInt64 = 0
    /// 0600 files with secrets; read when the first source is opened.
    var keySecretFile: String?
    var credentialsFile: String?

    static let sections = ["network"] + NetworkClass.allCases.map { "network " + $0.rawValue }

    /// Takes the sections; files are not looked at yet.
    init(_ reader: inout ConfigurationReader) throws(ServiceError) {
        try takeIdentity(&reader)
        try takeLimits(&reader)
        try takePlaces(&reader)
        try takeClass(&reader)
        for name in NetworkClass.allCases { rules[name] = try Self.rule(&reader, "network " + name.rawValue) }
    }

    private mutating func takeIdentity(_ reader: inout ConfigurationReader) throws(ServiceError) {
        http.certificateAuthorities = reader.optional("network", "ca")
        http.clientCertificate = reader.optional("network", "certificate")
        http.clientKey = reader.optional("network", "key")
        if http.clientKey != nil, http.clientCertificate == nil {
            throw reader.problem("[network] key needs certificate")
        }
        keySecretFile = reader.optional("network", "key-secret")
        credentialsFile = reader.optional("network", "credentials")
        http.proxy = reader.optional("network", "proxy")
        http.noProxy = reader.optional("network", "no-proxy")
        http.readsAhead = try reader.flag("network", "read-ahead", default: true)
        http.allowsHTTP2 = try reader.flag("network", "http2", default: true)
    }

    private mutating func takeLimits(_ reader: inout ConfigurationReader) throws(ServiceError) {
        let connect = try reader.number("network", "connect-timeout", 1...3600, default: 20)
        http.connectTimeoutMilliseconds = UInt32(connect) * 1000
        http.stallBytesPerSecond = try reader.number("network", "stall-rate", 1...1_000_000_000, default: 1024)
        http.stallMilliseconds = UInt32(try reader.number("network", "stall-seconds", 1...3600, default: 30)) * 1000
        http.attemptsWithoutProgress = UInt32(try reader.number("network", "retries", 1...1000, default: 8))
        http.retryBudget = UInt32(try reader.number("network", "retry-budget", 1...100_000, default: 32))
        http.backOffBaseMilliseconds =
            UInt32(try reader.number("network", "back-off-ms", 1...3_600_000, default: 2000))
        let cap = UInt32(try reader.number("network", "back-off-cap", 1...86_400, default: 900)) * 1000
        http.backOffCapMilliseconds = max(cap, http.backOffBaseMilliseconds)
        http.pauseBaseMilliseconds = UInt32(try reader.number("network", "pause", 1...86_400, default: 60)) * 1000
        http.pauseCapMilliseconds = max(
            UInt32(try reader.number("network", "pause-cap", 1...604_800, default: 21_600)) * 1000,
            http.pauseBaseMilliseconds)
        http.deadlineMilliseconds = try reader.number("network", "deadline", 0...31_536_000, default: 0) * 1000
        spread = try reader.number("network", "spread", 0...2_592_000, default: 0)
    }

    private mutating func takePlaces(_ reader: inout ConfigurationReader) throws(ServiceError) {
        cache = reader.optional("network", "cache")
        mirrors = DeviceConfiguration.words(reader.optional("network", "mirrors") ?? "")
        for place in mirrors + (cache.map { [$0] } ?? []) {
            do throws(TransferError) {
                _ = try BundleLocation.parse(place)
            } catch {
                throw reader.problem("[network] cache and mirrors: \(error.context)")
            }
        }
    }

    private mutating func takeClass(_ reader: inout ConfigurationReader) throws(ServiceError) {
        let name = reader.optional("network", "class")
        let command = DeviceConfiguration.words(reader.optional("network", "class-command") ?? "")
        if name != nil, !command.isEmpty { throw reader.problem("[network] has class and class-command") }
        if !command.isEmpty { networkClass = .command(command) }
        guard let name else { return }
        guard let found = NetworkClass(rawValue: name) else {
            throw reader.problem("[network] class = \(name) must be ethernet, wifi or cellular")
        }
        networkClass = .always(found)
    }

    private static func rule(
        _ reader: inout ConfigurationReader, _ section: String
    ) throws(ServiceError) -> NetworkRule {
        var rule = NetworkRule()
        rule.bytesPerSecond = try reader.bytes(section, "rate", 0...1_000_000_000_000, default: 0)
        rule.budget = try reader.bytes(section, "budget", 0...BundleLimits.bundle, default: 0)
        rule.budgetDays = UInt32(try reader.number(section, "budget-days", 1...366, default: 30))
        rule.isForbidden = try !reader.flag(section, "use", default: true)
        if let text = reader.optional(section, "window") {
            guard let window = DailyWindow(text: text) else {
                throw reader.problem("[\(section)] window = \(text) must be HH:MM-HH:MM")
            }
            rule.window = window
        }
        return rule
    }
}
