internal import Platform
internal import Transfer
internal import Trust
internal import UpdateEngine

/// The device's trust: the built-in root of `[trust] root`, and what followed it, in `trust.0` and `trust.1` of the data
/// directory. Writers hold `trust.lock`, so that `kedged trust update` works beside a running daemon, which looks at
/// the files again before every attempt.
final class DeviceTrust: TrustRotation, @unchecked Sendable {
    private let configuration: DeviceConfiguration
    private let home: TrustHome
    private let network: DeviceNetwork
    private let quick: any SourceOpener
    private let monitor = Monitor()
    private var known: TrustStore

    /// Loads what there is. Throws only when the built-in root is missing or bad.
    init(_ configuration: DeviceConfiguration, _ network: DeviceNetwork) throws(Failure) {
        self.configuration = configuration
        self.network = network
        home = TrustHome(TrustDirectory(configuration.data))
        var options = network.options
        // A look on the way to a bundle: whatever does not come at once is looked for again with the next attempt.
        options.attemptsWithoutProgress = 1
        options.connectTimeoutMilliseconds = min(options.connectTimeoutMilliseconds, 10_000)
        options.stallMilliseconds = min(options.stallMilliseconds, 10_000)
        quick = ConfiguredSources(network, options: options)
        known = try Self.load(home, configuration).trust
    }

    /// The root in force and how it was reached.
    func load() throws(Failure) -> TrustChain { try Self.load(home, configuration) }

    /// Follows a place with the device's own patience, and keeps what was verified, also when a later root is bad or
    /// the network breaks. Throws `state.busy` when another process is at it.
    func update(from place: RootPlace) throws(Failure) -> (chain: TrustChain, taken: Int) {
        try update(from: place, sources: ConfiguredSources(network))
    }

    func newest(for location: String) -> TrustStore {
        do throws(Failure) {
            // Beside a pipe there is nothing.
            if BundleLocation.isStandardInput(location) {
                let kept = try load().trust
                return monitor.locked {
                    known = kept
                    return kept
                }
            }
            let (chain, taken) = try update(from: .beside(location), sources: quick)
            if taken > 0 { StandardStream.error.line("kedged: trust root \(chain.trust.root.version) from now on") }
        } catch {
            // The network's and the lock's troubles are no news here: the bundle itself will tell them.
            if error.category == .trust || error.category == .storage {
                StandardStream.error.line("kedged: no newer trust root: \(error.line)")
            }
        }
        return monitor.locked { known }
    }

    private func update(
        from place: RootPlace, sources: any SourceOpener
    ) throws(Failure) -> (chain: TrustChain, taken: Int) {
        // Also what another process kept since, whether or not this one may look further now.
        let kept = try load().trust
        monitor.locked { known = kept }
        let lock = try lock()
        defer { withExtendedLifetime(lock) {} }
        let anchor = try Self.builtIn(configuration)
        var chain = try Self.load(home, configuration)
        let former = chain.trust.root.version
        var failure: Failure?
        do throws(Failure) { _ = try chain.follow(place, from: sources) } catch { failure = error }
        if chain.trust.root.version > former {
            do throws(TrustError) { try home.store(chain, anchor: anchor) } catch { throw Failure(error) }
        }
        let trust = chain.trust
        monitor.locked { known = trust }
        if let failure { throw failure }
        return (chain, Int(chain.trust.root.version - former))
    }

    private func lock() throws(Failure) -> DeviceLock {
        do throws(SystemError) {
            try FileSystem.makeDirectories(configuration.data, mode: 0o700)
            let file = try Descriptor(open: configuration.data + "/trust.lock", [.read, .write, .create], mode: 0o600)
            if try file.tryLock() { return DeviceLock(file) }
        } catch {
            throw Failure(ServiceError.dataDirectory(error))
        }
        throw Failure(EngineError.busy)
    }

    private static func builtIn(_ configuration: DeviceConfiguration) throws(Failure) -> [UInt8] {
        do throws(SystemError) {
            return try FileSystem.read(configuration.trust, limit: RootFile.limit)
        } catch {
            if error.number == SystemError.notFound { throw Failure(TrustError.rootMissing(path: configuration.trust)) }
            throw Failure(TrustError.system(error))
        }
    }

    private static func load(_ home: TrustHome, _ configuration: DeviceConfiguration) throws(Failure) -> TrustChain {
        let anchor = try builtIn(configuration)
        do throws(TrustError) { return try home.load(anchor: anchor) } catch { throw Failure(error) }
    }
}
