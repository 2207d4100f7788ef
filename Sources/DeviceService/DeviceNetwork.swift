internal import Platform
internal import Transfer
internal import UpdateEngine

/// How this device gets at bundles: options with the secrets that they need, and the one meter that all traffic goes
/// through.
final class DeviceNetwork: Sendable {
    let configuration: NetworkConfiguration
    let options: HTTPOptions
    let meter: NetworkMeter
    let time: any TimeSource
    let random: any RandomSource

    /// Reads the files with secrets.
    init(
        _ configuration: DeviceConfiguration, state: DirectoryState, time: any TimeSource, random: any RandomSource
    ) throws(Failure) {
        self.configuration = configuration.network
        self.time = time
        self.random = random
        do throws(ServiceError) {
            options = try Self.options(configuration.network)
        } catch {
            throw Failure(error)
        }
        meter = NetworkMeter(
            configuration.network.rules, probe: ConfiguredClass(configuration.network.networkClass), store: state,
            time: time, minuteOfDay: { localMinuteOfDay($0) })
    }

    private static func options(_ network: NetworkConfiguration) throws(ServiceError) -> HTTPOptions {
        var options = network.http
        if let path = network.keySecretFile { options.clientKeySecret = try SecretFiles.secret(path) }
        if let path = network.credentialsFile {
            let found = try SecretFiles.credentials(path)
            options.credentials = found.hosts
            options.proxyCredential = found.proxy
        }
        return options
    }
}

/// The network's class as the configuration says it.
final class ConfiguredClass: NetworkClassProbe {
    private let rule: NetworkConfiguration.ClassRule
    private static let milliseconds: UInt64 = 10_000

    init(_ rule: NetworkConfiguration.ClassRule) { self.rule = rule }

    /// What cannot be found out counts as cellular: the careful guess costs time and no money.
    func currentClass() -> NetworkClass {
        switch rule {
        case .always(let name): return name
        case .command(let words):
            do throws(SystemError) {
                let outcome = try ChildProcess.run(words, milliseconds: Self.milliseconds)
                let text = outcome.output.utf8.filter { $0 > 0x20 }
                if outcome.succeeded, let name = NetworkClass(rawValue: String(decoding: text, as: UTF8.self)) {
                    return name
                }
                StandardStream.error.line("kedged: class-command named no class; the network counts as cellular")
            } catch {
                StandardStream.error.line("kedged: class-command: \(error.context); the network counts as cellular")
            }
            return .cellular
        }
    }
}

/// Opens files, standard input and HTTP servers with the device's network settings.
final class ConfiguredSources: SourceOpener {
    private let network: DeviceNetwork
    private let options: HTTPOptions
    private let use: Use

    /// What the sources are for.
    enum Use: Equatable {
        /// A person's `install`, who may pipe the bundle into it.
        case install
        case command
        /// A service that takes failed downloads up again by itself. Its standard input is something else.
        case service
    }

    /// `options` replaces the device's own.
    init(_ network: DeviceNetwork, options: HTTPOptions? = nil, for use: Use = .command) {
        self.network = network
        self.use = use
        var all = options ?? network.options
        if use == .service {
            all.attemptsWithoutProgress = min(all.attemptsWithoutProgress, PauseRule.triesWithoutProgress)
        }
        self.options = all
    }

    func open(_ location: String) throws(TransferError) -> any BundleSource {
        try open(location, options, isMetered: true)
    }

    func openBundle(
        _ location: String, alternatives: [String], isPinned: Bool
    ) throws(TransferError) -> any BundleSource {
        let named = try BundleLocation.parse(location)
        let near = places(near: named, location)
        let own = [location] + alternatives
        let all = Self.unique(near.cache + own + near.mirrors)
        if all.count == 1 { return try open(location) }
        var places: [BundlePlace] = []
        var each = options
        // The other places are the next try; what stays at one place is a second one over a new connection.
        each.attemptsWithoutProgress = min(options.attemptsWithoutProgress, 2)
        each.deadlineMilliseconds = 0
        let settings = each
        for text in all {
            let isCache = near.cache.contains(text)
            places.append(
                BundlePlace(displayName: try BundleLocation.parse(text).displayName) {
                    () throws(TransferError) -> any BundleSource in
                    try self.open(text, settings, isMetered: !isCache)
                })
        }
        return MirroredSource(
            places, headPlace: isPinned ? nil : all.firstIndex(of: location), options: options, time: network.time,
            random: network.random)
    }

    /// Where the device's own caches would have the bundle. What is on a medium of the device or comes by a pipe needs
    /// none.
    private func places(near named: BundleLocation, _ location: String) -> (cache: [String], mirrors: [String]) {
        let name = BundleLocation.lastName(of: location)
        guard case .http = named, !name.isEmpty else { return ([], []) }
        return (
            network.configuration.cache.map { [BundleLocation.inside($0, named: name)] } ?? [],
            network.configuration.mirrors.map { BundleLocation.inside($0, named: name) }
        )
    }

    private static func unique(_ texts: [String]) -> [String] {
        var out: [String] = []
        for text in texts where !out.contains(text) { out.append(text) }
        return out
    }

    private func open(
        _ location: String, _ options: HTTPOptions, isMetered: Bool
    ) throws(TransferError) -> any BundleSource {
        let parsed = try BundleLocation.parse(location)
        if case .standardInput = parsed, use != .install {
            throw .network(
                .streamGone, source: parsed.displayName, detail: "the bundle came by a pipe that is not there any more")
        }
        let source = try parsed.open(options: options, time: network.time, random: network.random)
        guard case .http = parsed, isMetered else { return source }
        return MeteredSource(source, meter: network.meter, time: network.time)
    }
}
