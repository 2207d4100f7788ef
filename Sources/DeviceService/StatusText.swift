internal import BootControl
internal import BundleFormat
internal import DeviceTwin
internal import Platform
internal import StrictJSON
internal import Trust
internal import UpdateEngine

/// `kedged status`.
enum StatusText {
    /// For people.
    static func lines(_ status: EngineStatus, identity: DeviceIdentity, hub: JSONValue? = nil) -> [String] {
        var lines = [
            "device    \(identity.id) (\(identity.vendor) \(identity.deviceClass), hardware \(identity.hardware))",
            "running   " + slot(status, status.running),
            "spare     " + slot(status, status.running.other),
            "phase     " + status.phase.rawValue,
        ]
        if let attempt = status.attempt {
            lines.append("attempt   \(attempt.id)" + (attempt.releaseID.isEmpty ? "" : " for \(attempt.releaseID)"))
            if attempt.counters.fetched > 0 {
                lines.append(
                    "bytes     \(ByteCount.text(attempt.counters.fetched)) fetched, "
                        + "\(ByteCount.text(attempt.counters.written)) written, "
                        + "\(ByteCount.text(attempt.counters.unchanged)) unchanged, "
                        + "\(ByteCount.text(attempt.counters.reused)) kept from before an interruption")
            }
            lines += forms(attempt.counters.forms)
            if let cost = cost(attempt.cost) { lines.append("cost      " + cost) }
        }
        if let pause = status.pause {
            lines.append("waits     \(pause.code): \(pause.context)")
            lines.append("          \(pause.remedy)")
        }
        if status.record.phase == .trial { lines.append("tries     \(status.record.triesLeft) left") }
        if let result = status.result {
            let reason = result.reason.isEmpty ? "" : " (\(result.reason))"
            lines.append("result    \(result.phase.rawValue)\(reason)")
            if let failure = result.failure {
                lines.append("          \(failure.code): \(failure.context)")
                lines.append("          \(failure.remedy)")
            }
        }
        lines.append("floor     security version \(status.floor), sequence \(status.record.acceptedSequence)")
        if let failure = status.floors.failure {
            lines.append("          \(failure.code): \(failure.context)")
            lines.append("          \(failure.remedy)")
        }
        if let channel = status.channel { lines += self.channel(channel) }
        if let request = status.overrideRequest {
            lines.append("override  asked for with nonce \(Hex.encode(request.nonce)), \(request.boots) boots ago")
        }
        if status.time.clock != .good {
            let why = status.time.clock == .behind ? "stands before what is known of the time" : "is not believed"
            lines.append("clock     \(why); it is at least \(status.time.lowerBound) (seconds since 1970)")
        }
        if let hub { lines += self.hub(hub) }
        return lines
    }

    /// How `kedged run --agent iothub` last said its connection goes.
    private static func hub(_ hub: JSONValue) -> [String] {
        let state = hub["state"]?.text ?? "?"
        let since = hub["connectedSince"]?.number.map { " since \($0) (seconds since 1970)" } ?? ""
        var lines = [
            "hub       \(state)\(since): \(hub["identity"]?.text ?? "no identity yet") at "
                + "\(hub["hub"]?.text ?? "no hub yet"); \(hub["connections"]?.number ?? 0) connections, "
                + "\(hub["losses"]?.number ?? 0) lost"
        ]
        if state != "connected", let problem = hub["problem"], let code = problem["code"]?.text {
            lines.append("          \(code): \(problem["text"]?.text ?? "")")
            lines.append("          \(problem["remedy"]?.text ?? "")")
        }
        return lines
    }

    /// What came in which form, where it was not windows alone.
    private static func forms(_ forms: FormCounters) -> [String] {
        var lines: [String] = []
        for form in FormKind.allCases where form != .windows && forms[form].fetched > 0 {
            lines.append(
                "\(form.name)     ".prefix(10) + "\(ByteCount.text(forms[form].fetched)) fetched, "
                    + "\(ByteCount.text(forms[form].reused)) copied from this device, "
                    + "\(ByteCount.text(forms[form].written)) written")
        }
        if forms.fallbackWindows > 0 {
            lines.append(
                "          \(forms.fallbackWindows) windows (\(ByteCount.text(forms.fallbackBytes))) fetched in full: the "
                    + "running slot is not what its release says")
        }
        return lines
    }

    /// The channel's lines.
    static func channel(_ channel: ChannelStatus) -> [String] {
        var lines: [String] = []
        if let statement = channel.statement {
            let hours = (channel.age ?? 0) / 3600
            let state = channel.isStale ? "stale, it should have been renewed" : "fresh"
            lines.append(
                "channel   \(channel.name): newest is \(statement.releaseID), sequence \(statement.sequence); "
                    + "\(hours) h old, \(state)")
        } else {
            lines.append("channel   \(channel.name): nothing known")
        }
        if let problem = channel.problem {
            lines.append("          \(problem.code): \(problem.context)")
            lines.append("          \(problem.remedy)")
        }
        return lines
    }

    /// Seconds of each part that took any, flushes and memory; nil when nothing was measured.
    private static func cost(_ cost: AttemptCost) -> String? {
        if cost.peakResidentKiB == 0 { return nil }
        var parts: [String] = []
        for part in AttemptCost.Part.allCases where cost[part] > 0 {
            parts.append("\(part.label) \(cost[part] / 1000).\(cost[part] % 1000 / 100) s")
        }
        parts.append("\(cost.flushes) flushes")
        parts.append("peak memory \(ByteCount.text(cost.peakResidentKiB * 1024))")
        return parts.joined(separator: ", ")
    }

    private static func slot(_ status: EngineStatus, _ set: SlotSet) -> String {
        let release = status[set].map { "\($0.id) (\($0.version))" } ?? "release not known"
        let selected = status.record.active == set ? ", selected" : ""
        return "\(set.letter): \(release), \(stateName(status.record[set].state))\(selected)"
    }

    private static func stateName(_ state: SlotRecord.State) -> String {
        switch state {
        case .empty: "empty"
        case .writing: "being written"
        case .trial: "on trial"
        case .good: "good"
        case .bad: "not usable"
        }
    }

    /// For machines: the reported section, the device and this process's peak memory.
    static func json(_ status: EngineStatus, identity: DeviceIdentity, hub: JSONValue? = nil) -> JSONValue {
        .members([
            (
                "device",
                .members([
                    ("id", .string(identity.id)), ("vendor", .string(identity.vendor)),
                    ("class", .string(identity.deviceClass)), ("hardware", .integer(Int64(identity.hardware))),
                ])
            ),
            ("ota", ReportedDocument.section(status)), ("hub", hub ?? .null),
            ("process", .members([("peakResidentKiB", .integer(Int64(clamping: ProcessInformation.peakResidentKiB)))])),
        ])
    }
}

extension AttemptCost.Part {
    /// For people.
    fileprivate var label: String {
        switch self {
        case .planning: "planning"
        case .fetching: "fetching and writing"
        case .readBack: "read-back"
        case .measuring: "measuring"
        }
    }
}
