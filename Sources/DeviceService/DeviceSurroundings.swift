internal import BootControl
internal import BundleFormat
internal import Floors
internal import Platform
internal import Slots
internal import Transfer
internal import Trust
internal import UpdateEngine

/// Slots as the configuration names them.
final class ConfiguredSlots: SlotProvider {
    private let slots: [SlotConfiguration]

    init(_ slots: [SlotConfiguration]) { self.slots = slots }

    func slot(_ target: Identifier, _ set: SlotSet) throws(SlotError) -> any Slot {
        guard let found = slots.first(where: { $0.target == target && $0.generation == set.letter }) else {
            throw .missing(slot: "\(target) \(set.letter)")
        }
        return try found.makeSlot()
    }
}

/// Reboots by the configured command.
final class CommandPower: PowerControl {
    private let command: [String]?

    init(_ command: [String]?) { self.command = command }

    func reboot() throws(Failure) -> RebootOutcome {
        guard let command else { return .byHand }
        let outcome: ChildProcess.Outcome
        do throws(SystemError) {
            outcome = try ChildProcess.run(command, milliseconds: 60_000)
        } catch {
            throw Failure(EngineError.reboot(error.context))
        }
        if !outcome.succeeded { throw Failure(EngineError.reboot(describe(outcome))) }
        return .started
    }
}

/// Runs the configured health check: exit status 0 within the deadline is healthy. Its environment names the slot,
/// the release and the attempt; the last lines it prints become the reason.
final class CommandHealth: HealthCheck {
    private let command: [String]
    private let deadline: UInt32?

    init(_ command: [String], deadline: UInt32?) {
        self.command = command
        self.deadline = deadline
    }

    func run(slot: SlotSet, release: String, attempt: String, deadline: UInt32) throws(Failure) {
        if command.isEmpty { return }
        let seconds = min(deadline, self.deadline ?? deadline)
        let outcome: ChildProcess.Outcome
        do throws(SystemError) {
            outcome = try ChildProcess.run(
                command,
                environment: [
                    (name: "KEDGE_SLOT", value: slot.letter), (name: "KEDGE_RELEASE", value: release),
                    (name: "KEDGE_ATTEMPT", value: attempt),
                ], milliseconds: UInt64(seconds) * 1000)
        } catch {
            throw Failure(EngineError.healthFailed(error.context))
        }
        if outcome.timedOut {
            throw Failure(EngineError.healthFailed("no answer in \(seconds) s; \(lastLine(outcome))"))
        }
        if !outcome.succeeded { throw Failure(EngineError.healthFailed(describe(outcome))) }
    }
}

/// Looks first whether the firmware took the capsules that the release brought.
final class CapsuleHealth: HealthCheck {
    private let next: CommandHealth
    private let capsules: [SlotSet: [CapsuleHandOver]]

    init(_ next: CommandHealth, capsules: [SlotSet: [CapsuleHandOver]]) {
        self.next = next
        self.capsules = capsules
    }

    func run(slot: SlotSet, release: String, attempt: String, deadline: UInt32) throws(Failure) {
        for capsule in capsules[slot] ?? [] {
            let problem: String?
            do throws(BootError) { problem = try capsule.judge() } catch { throw Failure(error) }
            if let problem { throw Failure(EngineError.healthFailed(problem)) }
        }
        try next.run(slot: slot, release: release, attempt: attempt, deadline: deadline)
    }
}

/// How a command ended, with the last line it printed.
private func describe(_ outcome: ChildProcess.Outcome) -> String {
    if let status = outcome.status { return "exit status \(status); \(lastLine(outcome))" }
    return outcome.timedOut ? "it did not end in time" : "ended by signal \(outcome.signal)"
}

/// The last line that is not empty, at most 240 characters, without controls.
private func lastLine(_ outcome: ChildProcess.Outcome) -> String {
    var last = ""
    for line in outcome.output.utf8.split(separator: 0x0a) {
        let visible = line.filter { $0 >= 0x20 && $0 != 0x7f }
        if !visible.isEmpty { last = String(decoding: visible.prefix(240), as: UTF8.self) }
    }
    return last.isEmpty ? "it printed nothing" : last
}

/// Everything one kedged works with.
struct Device {
    let configuration: DeviceConfiguration
    let state: DirectoryState
    let surroundings: EngineSurroundings
    /// What selects the firmware's bank, and what hands capsules to it; nil on machines without that.
    private let banks: BankSwitchHome?
    private let capsules: CapsuleHome?

    /// From the configuration; opens the boot record's home lazily, reads the trust root and the running slot.
    /// `use` says what the sources are for.
    init(_ configuration: DeviceConfiguration, for use: ConfiguredSources.Use = .command) throws(Failure) {
        self.configuration = configuration
        state = DirectoryState(configuration.data)
        let time = SystemTime()
        let random = SystemRandom()
        let network = try DeviceNetwork(configuration, state: state, time: time, random: random)
        let trust = try DeviceTrust(configuration, network)
        let running = try Self.running(commandLine: configuration.commandLine)
        let home = try Self.home(configuration, running: running.slot)
        let handOvers = Self.capsules(configuration)
        capsules = handOvers.isEmpty ? nil : CapsuleHome(home, capsules: handOvers)
        let inner: any BootHome = capsules ?? home
        banks = configuration.banks.map { BankSwitchHome(inner, a: $0.a, b: $0.b) }
        let health = CommandHealth(configuration.health, deadline: configuration.healthDeadline)
        surroundings = EngineSurroundings(
            identity: configuration.identity, trust: try trust.load().trust, boot: banks ?? inner, running: running,
            slots: ConfiguredSlots(configuration.slots),
            sources: ConfiguredSources(network, for: use), state: state,
            power: CommandPower(configuration.reboot),
            health: handOvers.isEmpty ? health : CapsuleHealth(health, capsules: handOvers), time: time,
            random: random, tries: configuration.tries, rotation: trust,
            floor: configuration.floor.store(data: configuration.data), built: KedgeVersion.made,
            overrides: FileDocument(configuration.data + "/override"),
            channel: configuration.channel?.following(data: configuration.data, network),
            space: DeviceSpace(data: configuration.data, reserve: configuration.reserve),
            download: configuration.download)
    }

    /// The boot record's home. `running` is needed only where fallbacks are read off by it.
    static func home(_ configuration: DeviceConfiguration, running: SlotSet?) throws(Failure) -> any BootHome {
        do throws(BootError) {
            switch configuration.boot {
            case .simulated(let path): return SimulatedBootHome(path: path)
            case .uboot(let counting, let first, let second):
                return try UBootEnvironmentHome(first, second, counting: counting)
            case .blocks(let form, let first, let second): return try ScriptBlocksHome(form, first, second)
            case .systemdBoot(let entries, let record):
                return SystemdBootHome(entries: entries, record: record, running: running)
            case .efi(let a, let b, let record):
                return try EFIBootHome(
                    variables: EFIVariables(path: configuration.variables), a: a, b: b, record: record,
                    running: running)
            }
        } catch { throw Failure(error) }
    }

    /// The capsules of each slot set; empty where there are none.
    static func capsules(_ configuration: DeviceConfiguration) -> [SlotSet: [CapsuleHandOver]] {
        var found: [SlotSet: [CapsuleHandOver]] = [:]
        for slot in configuration.slots {
            guard case .capsule(let path, let system) = slot.place, let set = SlotSet(letter: slot.generation) else {
                continue
            }
            found[set, default: []].append(
                CapsuleHandOver(
                    target: slot.target.text, path: path, system: system, table: configuration.firmwareTable,
                    variables: EFIVariables(path: configuration.variables)))
        }
        return found
    }

    /// Selects the record's firmware bank, where there are two, and takes back capsules that nobody waits for. For a
    /// start: what a power cut or a boot loader left is put right.
    func settleFirmware() throws(Failure) {
        do throws(BootError) {
            if let banks { try banks.settle() }
            if let capsules { try capsules.settle() }
        } catch { throw Failure(error) }
    }

    /// The running slot; the kernel's own boot id stands in where the boot loader gives none.
    static func running(commandLine path: String) throws(Failure) -> RunningSlot {
        do throws(BootError) {
            let running = try RunningSlot.read(path)
            if running.bootID != nil { return running }
            return RunningSlot(slot: running.slot, bootID: kernelBootID())
        } catch {
            throw Failure(error)
        }
    }

    private static func kernelBootID() -> String? {
        do throws(SystemError) {
            let bytes = try FileSystem.read("/proc/sys/kernel/random/boot_id", limit: 256)
            return String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self)
        } catch {
            return nil
        }
    }

    /// Takes the lock, or says who cannot.
    func lock() throws(Failure) -> DeviceLock { try Self.lock(state) }

    static func lock(_ state: DirectoryState) throws(Failure) -> DeviceLock {
        do throws(SystemError) {
            try state.prepare()
            if let lock = try state.lock() { return lock }
        } catch {
            throw Failure(ServiceError.dataDirectory(error))
        }
        throw Failure(EngineError.busy)
    }
}
