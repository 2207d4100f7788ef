internal import BootControl
internal import Platform
internal import Slots
internal import StrictJSON

/// `kedged doctor`: what is wrong with this device's boot set-up, and with the way to its hub, before an update finds it out.
struct Doctor {
    private let configuration: DeviceConfiguration
    /// What was found, worst first is not promised: the order in which it was looked at.
    private(set) var findings: [BootFinding] = []

    /// Looks at everything. Writes nothing, except with `repair` the boot record again.
    init(_ configuration: DeviceConfiguration, repair: Bool) {
        self.configuration = configuration
        let words = readCommandLine()
        let running = RunningSlot(commandLine: words)
        if running == nil { findings.append(BootFinding(BootError.noRunningSlot(home: configuration.commandLine))) }
        do throws(Failure) {
            let home = try Device.home(configuration, running: running?.slot)
            if repair { try Self.repair(home) }
            findings += home.examine()
            try look(at: Self.record(in: home), running: running?.slot)
        } catch { add(BootFinding(error)) }
        lookAtResets(words)
        if let hub = configuration.hub {
            for finding in HubCheck(hub, data: configuration.data).findings { add(finding) }
        }
        lookAtSlots()
        // Both slot sets hand to one firmware.
        for capsule in Device.capsules(configuration)[.a] ?? [] {
            for finding in capsule.examine() { add(finding) }
        }
    }

    /// Whether an update or a fallback would fail.
    var hasErrors: Bool { findings.contains { $0.severity == .error } }

    private mutating func add(_ finding: BootFinding) {
        if !findings.contains(where: { $0.code == finding.code && $0.context == finding.context }) {
            findings.append(finding)
        }
    }

    private mutating func warn(_ code: String, _ context: String, _ remedy: String) {
        add(BootFinding(.warning, code: code, context: context, remedy: remedy))
    }

    private mutating func readCommandLine() -> String {
        do throws(SystemError) {
            let bytes = try FileSystem.read(configuration.commandLine, limit: 65536)
            return String(decoding: bytes, as: UTF8.self)
        } catch {
            add(BootFinding(error))
            return ""
        }
    }

    private static func repair(_ home: any BootHome) throws(Failure) {
        do throws(BootError) { try repairRecord(in: home) } catch { throw Failure(error) }
    }

    private static func record(in home: any BootHome) throws(Failure) -> BootRecord {
        do throws(BootError) { return try home.load() } catch { throw Failure(error) }
    }

    private mutating func look(at record: BootRecord, running: SlotSet?) throws(Failure) {
        if record.phase != .trial, record.triesLeft != 0 {
            warn(
                "doctor.stale-counter", "the boot record counts \(record.triesLeft) tries although nothing is on trial",
                "Run kedged doctor --repair after the next confirmation; look who else writes the boot record")
        }
        guard let running else { return }
        if record.phase != .trial, record.active != running {
            add(
                BootFinding(
                    .error, code: "doctor.other-slot",
                    context: "slot set \(running.letter) runs, but the boot record selects \(record.active.letter)",
                    remedy: "Reboot; if it stays so, the boot loader does not read this boot record"))
        }
        if record.phase != .writing, record.phase != .trial, record[running.other].state != .good {
            warn(
                "doctor.no-fallback",
                "slot set \(running.other.letter) is \(record[running.other].state.name): nothing else could start if "
                    + "slot set \(running.letter) were lost", "Install a release; the former one then stays")
        }
    }

    /// A release that panics or hangs comes back only through a reset.
    private mutating func lookAtResets(_ words: String) {
        var panics = false
        for word in words.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x0a }) {
            let text = String(decoding: word, as: UTF8.self)
            if text.utf8.starts(with: "panic=".utf8), text != "panic=0" { panics = true }
        }
        if !panics {
            warn(
                "doctor.panic-stays", "the kernel command line has no panic=SECONDS: a kernel that panics stays so",
                "Put panic=5 on the kernel command line in the boot script")
        }
        let watchdog: FileKind?
        do throws(SystemError) { watchdog = try FileSystem.kind(of: "/dev/watchdog") } catch { watchdog = nil }
        if watchdog == nil {
            warn(
                "doctor.no-watchdog", "there is no /dev/watchdog: a release that hangs is never reset",
                "Enable the board's watchdog driver, and let init serve it")
        }
    }

    /// Whether every slot is there. What it holds is the engine's affair.
    private mutating func lookAtSlots() {
        for slot in configuration.slots {
            let path: String
            switch slot.place {
            case .block(let place, _, _): path = place
            case .flash(let place, _, _, _): path = place
            case .store(let place): path = place
            // Made when it is first needed.
            case .capsule(let place, _): path = FileSystem.parent(of: place)
            }
            let kind: FileKind?
            do throws(SystemError) { kind = try FileSystem.kind(of: path) } catch {
                add(BootFinding(error))
                continue
            }
            if kind == nil {
                add(
                    BootFinding(
                        .error, code: "slot.unusable",
                        context: "slot \(slot.name) cannot be used: \(path) is not there",
                        remedy: "Correct the path in device.ini"))
            }
        }
    }

    /// For people: one line for each finding, and one for all.
    var lines: [String] {
        var lines = findings.map { "\($0.severity.name) \($0.code): \($0.context). \($0.remedy)" }
        let errors = findings.filter { $0.severity == .error }.count
        lines.append(
            findings.isEmpty
                ? "the boot set-up is in order" : "\(errors) errors, \(findings.count - errors) warnings")
        return lines
    }

    /// For machines.
    var json: JSONValue {
        var list: [JSONValue] = []
        for finding in findings {
            list.append(
                .members([
                    ("severity", .string(finding.severity.name)), ("code", .string(finding.code)),
                    ("context", .string(finding.context)), ("remedy", .string(finding.remedy)),
                ]))
        }
        return .members([("ok", .bool(!hasErrors)), ("findings", .array(list))])
    }
}
