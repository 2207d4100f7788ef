internal import ArgumentParser
internal import BundleFormat
internal import FleetRollout
internal import Packaging
internal import Platform
internal import StrictJSON

/// `kedge rollout`.
struct RolloutCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollout",
        abstract: "Give a release to a fleet at an Azure IoT Hub, ring by ring, and stop when too much fails.",
        discussion: """
            kedge rollout plan writes a plan; kedge rollout apply starts it and, each time it is run again (by hand, by \
            cron, or by itself with --watch), opens the next ring once enough of the last one is confirmed. All state \
            is in the hub: any machine with the plan and the key can go on. The service connection string is read from \
            KEDGE_HUB_CONNECTION, or from the file of --connection.
            """,
        subcommands: [
            RolloutPlanCommand.self, RolloutApplyCommand.self, RolloutStatusCommand.self, RolloutHaltCommand.self,
            RolloutResumeCommand.self, RolloutRemoveCommand.self,
        ])
}

/// `kedge rollout plan`.
struct RolloutPlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Write the plan of a rollout; no hub is needed.",
        discussion: """
            A ring is NAME=5% (a share of the targeted devices, chosen by a hash), NAME=CONDITION (of the IoT Hub query \
            language, such as "tags.site = 'lab'"), or NAME=rest for everybody, as the last.
            """)

    @Argument(help: "The bundle, for its release and manifest.", completion: .file(extensions: ["kedge"]))
    var bundle: String
    @Option(help: "Name of the rollout: 1 to 32 of a-z, 0-9 and -.")
    var name: String
    @Option(help: "Where devices find the bundle.")
    var url: String
    @Option(name: .customLong("source"), help: "A further place of it; repeatable.")
    var sources: [String] = []
    @Option(name: .customLong("ring"), help: ArgumentHelp("A ring, in order; repeatable.", valueName: "name=who"))
    var rings: [String] = []
    @Option(help: "Whom it is for: a condition, or * for all devices.")
    var target = "*"
    @Option(help: "The module identity that kedged has, instead of the device's own.")
    var module: String?
    @Option(help: "The attempt id, instead of one made of name and manifest; another one makes devices try again.")
    var attempt: String?
    @Option(help: ArgumentHelp("Confirmed devices of a ring before the next one opens.", valueName: "percent"))
    var success: Int64 = 95
    @Option(help: ArgumentHelp("More failed devices of a ring than this halt the rollout.", valueName: "percent"))
    var failures: Int64 = 5
    @Option(help: ArgumentHelp("A ring is open at least so long before the next one.", valueName: "minutes"))
    var soak: Int64 = 0
    @Option(help: "Priority of the hub's configurations.")
    var priority: Int64 = 10
    @Option(name: .shortAndLong, help: "Where to write it, instead of NAME.rollout.json.", completion: .file())
    var output: String?
    @Flag(help: "Replace the file that is there.")
    var replace = false

    func validate() throws {
        if !(0...525_600).contains(soak) { throw ValidationError("--soak must be 0 to a year of minutes.") }
    }

    func run() throws {
        let report = try BundleReport(inspecting: bundle)
        let list = rings.isEmpty ? ["all=rest"] : rings
        let plan = try RolloutPlan(
            name: name, attempt: attempt ?? "\(name)-\(report.manifestDigest.hex.prefix(12))", url: url,
            sources: sources, manifest: report.manifestDigest, release: report.manifest.releaseID,
            version: report.manifest.version, target: target, module: module,
            rings: list.map { try RolloutPlan.Ring(argument: $0) }, successPercent: success,
            failurePercent: failures, soakSeconds: soak * 60, priority: priority)
        let path = output ?? "\(name).rollout.json"
        if !replace, try FileSystem.kind(of: path) != nil {
            throw RolloutError.file(path: path, why: "it is there already; --replace replaces it")
        }
        try FileSystem.replace(path, with: Array((plan.json.prettyText + "\n").utf8))
        StandardStream.output.line(
            "\(path): \(plan.release) \(plan.version) in \(plan.rings.count) rings, attempt \(plan.attempt)")
    }
}

/// What every command needs that talks to the hub.
struct RolloutOptions: ParsableArguments {
    @Argument(help: "The plan.", completion: .file(extensions: ["json"]))
    var plan: String
    @Option(
        help: ArgumentHelp(
            "A file whose first line is the service connection string; else KEDGE_HUB_CONNECTION has it.",
            valueName: "file"),
        completion: .file())
    var connection: String?
    @Option(help: "Certificate authorities to trust instead of the system's (PEM).", completion: .file())
    var ca: String?
    @Flag(help: "Print one JSON object.")
    var json = false

    func open() throws -> Rollout {
        let source = SecretSource(file: connection, variable: "KEDGE_HUB_CONNECTION", option: "--connection")
        guard let secret = try source.given() else {
            throw RolloutError.connectionString(why: "there is none")
        }
        let opening = try HubConnectionString(String(decoding: secret, as: UTF8.self))
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try FileSystem.read(plan, limit: RolloutPlan.limit) } catch {
            throw RolloutError.file(path: plan, why: error.context)
        }
        return Rollout(
            try RolloutPlan(bytes), hub: try HubService(opening, authorities: ca, time: SystemTime()))
    }

    /// Changes the rollout, and prints where it stands then.
    func change(_ body: (Rollout) throws -> Void) throws {
        let rollout = try open()
        try body(rollout)
        if let state = try rollout.state() { show(state, of: rollout.plan) }
    }

    /// Prints where the rollout stands.
    func show(_ state: Rollout.State, of plan: RolloutPlan) {
        let now = SystemTime().realSeconds()
        StandardStream.output.line(json ? state.json(plan, now: now).prettyText : state.text(plan, now: now))
    }
}

/// `kedge rollout apply`.
struct RolloutApplyCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Start a rollout, or open its next ring if the time has come.",
        discussion: "Exit status 11 when it is or gets halted. With --watch it stays until all is done or halted.")

    @OptionGroup var options: RolloutOptions
    @Flag(help: "Only check the conditions, and say how many devices each ring has.")
    var dryRun = false
    @Option(help: ArgumentHelp("Look again every so many seconds until the rollout is complete.", valueName: "seconds"))
    var watch: Int?
    var json: Bool { options.json }

    func validate() throws {
        if let watch, !(1...86_400).contains(watch) { throw ValidationError("--watch must be 1 to 86400 seconds.") }
        if dryRun, watch != nil { throw ValidationError("--dry-run and --watch exclude each other.") }
    }

    func run() throws {
        let rollout = try options.open()
        if dryRun { return try preview(rollout) }
        var last: Rollout.State?
        while true {
            let step = try advance(rollout)
            let isDone = step.decision == .complete || watch == nil
            if isDone || !json, step.state != last { options.show(step.state, of: rollout.plan) }
            last = step.state
            guard !isDone, let watch else { return }
            if case .open = step.decision { continue }
            SystemTime().sleep(nanoseconds: UInt64(watch) * 1_000_000_000)
        }
    }

    /// A rollout that halts is shown before the error, but for JSON, where one object comes.
    private func advance(_ rollout: Rollout) throws -> Rollout.Step {
        do throws(RolloutError) { return try rollout.advance() } catch {
            if case .halted = error, !json, let state = try rollout.state() { options.show(state, of: rollout.plan) }
            throw error
        }
    }

    private func preview(_ rollout: Rollout) throws {
        let rings = try rollout.preview()
        if json {
            let list = rings.map {
                JSONValue.members([("name", .string($0.ring)), ("devices", .integer(Int64($0.devices)))])
            }
            StandardStream.output.line(JSONValue.members([("rings", .array(list))]).prettyText)
        } else {
            for ring in rings { StandardStream.output.line("\(ring.ring): \(ring.devices) devices") }
        }
    }
}

/// `kedge rollout status`.
struct RolloutStatusCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show where a rollout stands; nothing is changed.",
        discussion: "Exit status 0 while it runs and when it is complete, 11 when it is halted.")

    @OptionGroup var options: RolloutOptions
    var json: Bool { options.json }

    func run() throws {
        let rollout = try options.open()
        guard let state = try rollout.state() else { throw RolloutError.unknown(name: rollout.plan.name) }
        options.show(state, of: rollout.plan)
        // Told already, as the state that it is; a script sees it by the exit status.
        if state.halt != nil { ProcessInformation.exit(ErrorCategory.health.rawValue) }
    }
}

/// `kedge rollout halt`.
struct RolloutHaltCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "halt", abstract: "Stop a rollout: no ring opens, and devices that have not finished pause.",
        discussion: "Devices that were offline find the pause and not the release when they come back.")

    @OptionGroup var options: RolloutOptions
    @Option(help: "Why, for those who look at it later.")
    var reason = "on request"
    @Flag(help: "Give unfinished attempts up; they do not start again with this attempt id.")
    var cancel = false
    var json: Bool { options.json }

    func validate() throws {
        if reason.isEmpty || reason.utf8.count > 256 { throw ValidationError("--reason has 1 to 256 bytes.") }
    }

    func run() throws { try options.change { try $0.halt(reason: reason, cancels: cancel) } }
}

/// `kedge rollout resume`.
struct RolloutResumeCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "resume", abstract: "Go on with a halted rollout.",
        discussion: "Failures so far are taken as seen: only new ones count against the limit.")

    @OptionGroup var options: RolloutOptions
    var json: Bool { options.json }

    func run() throws { try options.change { try $0.resume() } }
}

/// `kedge rollout remove`.
struct RolloutRemoveCommand: JSONPrinting {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Take a rollout out of the hub, finished or not.",
        discussion: "Devices keep what they were told last and finish it; halt --cancel first to stop them.")

    @OptionGroup var options: RolloutOptions
    var json: Bool { options.json }

    func run() throws {
        let rollout = try options.open()
        try rollout.remove()
        let name = rollout.plan.name
        StandardStream.output.line(
            json ? JSONValue.members([("removed", .string(name))]).prettyText : "\(name): removed")
    }
}
