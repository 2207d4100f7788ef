internal import BootControl
internal import BundleFormat
internal import DeviceTwin
internal import Platform
internal import Slots
internal import StrictJSON
internal import Trust
internal import UpdateEngine

/// kedged's commands. `main` returns the exit status; everything printed goes through here.
public enum CommandRunner {
    /// Runs one command line (without the program's name).
    public static func main(_ words: [String]) -> Int32 {
        do throws(Failure) {
            let arguments = try service { () throws(ServiceError) in try CommandLineArguments(words) }
            return try run(arguments)
        } catch {
            StandardStream.error.line("kedged: " + error.line)
            return error.category.rawValue
        }
    }

    /// The words that this process was started with, without the program's name (proc(5), cmdline).
    public static func processArguments() -> [String] {
        do throws(SystemError) {
            let bytes = try FileSystem.read("/proc/self/cmdline", limit: 4 * 1024 * 1024)
            var words: [String] = []
            var start = 0
            for (index, byte) in bytes.enumerated() where byte == 0 {
                words.append(String(decoding: bytes[start..<index], as: UTF8.self))
                start = index + 1
            }
            return Array(words.dropFirst())
        } catch {
            return []
        }
    }

    private static func service<Result>(_ body: () throws(ServiceError) -> Result) throws(Failure) -> Result {
        do throws(ServiceError) { return try body() } catch { throw Failure(error) }
    }

    private static func run(_ arguments: CommandLineArguments) throws(Failure) -> Int32 {
        switch arguments.command {
        case .help:
            StandardStream.output.line(CommandLineArguments.help)
            return 0
        case .version:
            StandardStream.output.line("kedged " + KedgeVersion.text)
            return 0
        default: break
        }
        let configuration = try service { () throws(ServiceError) in
            try DeviceConfiguration(path: arguments.configuration)
        }
        switch arguments.command {
        case .trustShow:
            show(try trust(configuration).load(), arguments)
            return 0
        case .trustUpdate(let location):
            try updateTrust(from: location, configuration, arguments)
            return 0
        case .provision:
            try provision(configuration, arguments)
            return 0
        case .doctor(let repair): return try examine(configuration, repair: repair, arguments)
        case .floorInit(let password):
            try FloorCommand.initialize(configuration.floor, ownerPassword: password)
            return 0
        default: break
        }
        let device = try Device(configuration, for: arguments.command.sourceUse)
        switch arguments.command {
        case .install(let wish):
            var override: [UInt8]?
            if let file = wish.override { override = try OverrideCommand.read(file) }
            let offered = override
            try work(device, arguments) { (engine) throws(Failure) in
                try engine.install(
                    wish.location, id: wish.attempt, wanted: wish.manifest, alternatives: wish.sources,
                    override: offered)
            }
        case .overrideRequest: try OverrideCommand.request(device, json: arguments.json)
        case .overrideForget: try OverrideCommand.forget(device)
        case .channelUpdate: try updateChannel(device, arguments)
        case .confirm: try work(device, arguments) { (engine) throws(Failure) in try engine.confirm() }
        case .rollback: try work(device, arguments) { (engine) throws(Failure) in try engine.rollBack() }
        case .index(let slot, let set): try index(slot, set, device, arguments)
        case .pause: try pause(device, arguments)
        case .resume: try resume(device, arguments)
        case .cancel: try cancel(device, arguments)
        case .floorShow: FloorCommand.show(try Engine(device.surroundings).status, json: arguments.json)
        case .status: try show(try Engine(device.surroundings).status, device, arguments)
        case .run(let once, let agent): return try Daemon(device, once: once, agent: agent).run()
        case .help, .version, .trustShow, .trustUpdate, .doctor, .floorInit, .provision: break
        }
        return 0
    }

    private static func trust(_ configuration: DeviceConfiguration) throws(Failure) -> DeviceTrust {
        try DeviceTrust(
            configuration,
            DeviceNetwork(
                configuration, state: DirectoryState(configuration.data), time: SystemTime(), random: SystemRandom()))
    }

    /// Under the lock when it writes: an engine at work must not find another record than it left.
    private static func examine(
        _ configuration: DeviceConfiguration, repair: Bool, _ arguments: CommandLineArguments
    ) throws(Failure) -> Int32 {
        let lock = repair ? try Device.lock(DirectoryState(configuration.data)) : nil
        defer { withExtendedLifetime(lock) {} }
        let doctor = Doctor(configuration, repair: repair)
        if arguments.json {
            StandardStream.output.line(doctor.json.compactText)
        } else {
            for line in doctor.lines { StandardStream.output.line(line) }
        }
        return doctor.hasErrors ? ErrorCategory.boot.rawValue : 0
    }

    private static func updateTrust(
        from location: String, _ configuration: DeviceConfiguration, _ arguments: CommandLineArguments
    ) throws(Failure) {
        let (chain, taken) = try trust(configuration).update(from: RootPlace(named: location))
        if arguments.json { return show(chain, arguments) }
        let version = chain.trust.root.version
        StandardStream.output.line(
            taken == 0 ? "trust root \(version): nothing newer" : "trust root \(version), was \(Int(version) - taken)")
    }

    private static func provision(
        _ configuration: DeviceConfiguration, _ arguments: CommandLineArguments
    ) throws(Failure) {
        guard let hub = configuration.hub,
            let provisioning = HubProvisioning(hub, data: configuration.data, time: SystemTime())
        else { throw Failure(ServiceError.usage("provision needs dps-scope in [azure]")) }
        let assignment = try provisioning.run()
        if arguments.json {
            let members: [(String, JSONValue)] = [
                ("hub", .string(assignment.hub)), ("device", .string(assignment.device)),
            ]
            return StandardStream.output.line(JSONValue.members(members).compactText)
        }
        StandardStream.output.line("assigned to \(assignment.hub) as \(assignment.device)")
    }

    /// Works beside a running daemon, which reads what is kept before its next attempt.
    private static func updateChannel(_ device: Device, _ arguments: CommandLineArguments) throws(Failure) {
        guard let channel = device.configuration.channel, channel.location != nil else {
            throw Failure(ServiceError.usage("channel update needs name and url in [channel]"))
        }
        do throws(SystemError) { try device.state.prepare() } catch { throw Failure(ServiceError.dataDirectory(error)) }
        let engine = try Engine(device.surroundings)
        engine.refreshChannel()
        let status = engine.status
        if arguments.json {
            StandardStream.output.line(ReportedChannel.json(status.channel).compactText)
        } else if let known = status.channel {
            for line in StatusText.channel(known) { StandardStream.output.line(line) }
        }
        if let problem = status.channel?.problem { throw problem }
    }

    private static func show(_ chain: TrustChain, _ arguments: CommandLineArguments) {
        if arguments.json {
            StandardStream.output.line(TrustText.json(chain).compactText)
        } else {
            for line in TrustText.lines(chain) { StandardStream.output.line(line) }
        }
    }

    /// Runs a command of the engine under the lock, with progress on standard error, and the status as JSON at the
    /// end if that was asked for, also after a failure.
    private static func work(
        _ device: Device, _ arguments: CommandLineArguments, _ body: (Engine) throws(Failure) -> Void
    ) throws(Failure) {
        let watch = try StopWatch()
        let lock = try device.lock()
        defer { withExtendedLifetime(lock) {} }
        let printer = arguments.json ? nil : ProgressPrinter(.error, time: device.surroundings.time)
        let engine = try Engine(device.surroundings, observer: printer)
        try watch.start(engine)
        defer { watch.stop() }
        do throws(Failure) {
            try body(engine)
        } catch {
            if arguments.json { try show(engine.status, device, arguments) }
            throw error
        }
        if arguments.json { try show(engine.status, device, arguments) }
    }

    /// Records what slots hold.
    private static func index(
        _ slot: Identifier?, _ set: SlotSet?, _ device: Device, _ arguments: CommandLineArguments
    ) throws(Failure) {
        let lock = try device.lock()
        defer { withExtendedLifetime(lock) {} }
        let engine = try Engine(device.surroundings)
        let set = set ?? engine.status.running
        var done: [JSONValue] = []
        let all = device.configuration.slots.filter { $0.isRaw && $0.generation == set.letter }.map { $0.target }
        for target in slot.map({ [$0] }) ?? all {
            let windows = try engine.index(target, set)
            if !arguments.json {
                StandardStream.output.line("\(target.text) \(set.letter): \(windows) windows on record")
            }
            let members: [(String, JSONValue)] = [
                ("slot", .string(target.text)), ("set", .string(set.letter)), ("windows", .integer(Int64(windows))),
            ]
            done.append(.members(members))
        }
        if arguments.json { StandardStream.output.line(JSONValue.array(done).compactText) }
    }

    /// In this process when nobody works, otherwise by leaving a request that the worker sees at its next window.
    private static func cancel(_ device: Device, _ arguments: CommandLineArguments) throws(Failure) {
        do throws(Failure) {
            try work(device, arguments) { (engine) throws(Failure) in try engine.cancel() }
        } catch {
            guard error.code == EngineError.busy.code else { throw error }
            do throws(SystemError) {
                try device.state.setCancelRequest(true)
            } catch {
                throw Failure(ServiceError.dataDirectory(error))
            }
            StandardStream.error.line("the running kedged was asked to stop; see kedged status")
        }
    }

    /// Beside whoever works: the request stands in the data directory, and the worker sees it at its next window.
    private static func pause(_ device: Device, _ arguments: CommandLineArguments) throws(Failure) {
        let engine = try Engine(device.surroundings)
        try engine.pauseAttempt()
        if arguments.json { return try show(engine.status, device, arguments) }
        let id = engine.status.attempt?.id ?? ""
        StandardStream.error.line("attempt \(id) is paused; kedged resume goes on with it")
    }

    /// In this process when nobody works, otherwise by taking the request back, which the worker sees.
    private static func resume(_ device: Device, _ arguments: CommandLineArguments) throws(Failure) {
        do throws(Failure) {
            try work(device, arguments) { (engine) throws(Failure) in try engine.resumeAttempt() }
        } catch {
            guard error.code == EngineError.busy.code, device.state.heldAttempt() != nil else { throw error }
            do throws(SystemError) {
                try device.state.setHeldAttempt(nil)
            } catch {
                throw Failure(ServiceError.dataDirectory(error))
            }
            StandardStream.error.line("the running kedged goes on; see kedged status")
        }
    }

    private static func show(_ status: EngineStatus, _ device: Device, _ arguments: CommandLineArguments)
        throws(Failure)
    {
        let identity = device.surroundings.identity
        let hub = device.configuration.hub.flatMap { HubAgent.lastStatus($0) }
        if arguments.json {
            StandardStream.output.line(StatusText.json(status, identity: identity, hub: hub).compactText)
        } else {
            for line in StatusText.lines(status, identity: identity, hub: hub) { StandardStream.output.line(line) }
        }
    }
}
