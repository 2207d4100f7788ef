internal import BootControl
internal import BundleFormat
public import Platform
public import StrictJSON
public import UpdateEngine

/// The native `ota` section of the reported properties, made from the engine's status and nothing else: no stored
/// success text can outlive the truth.
public enum ReportedDocument {
    /// The section as a merge patch (RFC 7396): members that do not apply are null, so that they go away.
    public static func section(_ status: EngineStatus) -> JSONValue {
        .members([
            ("attempt", .text(status.attempt?.id ?? status.result?.attempt)),
            ("phase", .string(status.phase.rawValue)),
            ("release", release(status)),
            ("progress", progress(status)),
            ("bytes", bytes(status)),
            ("forms", status.attempt.map { $0.counters.forms.json } ?? .null),
            ("cost", status.attempt.map { $0.cost.json } ?? .null),
            ("components", components(status)),
            ("triesLeft", status.record.phase == .trial ? .integer(Int64(status.record.triesLeft)) : .null),
            ("pause", status.pause.map { failure($0) } ?? .null),
            ("result", status.result.map { result($0) } ?? .null),
            ("running", slot(status, status.running, isRunning: true)),
            ("spare", slot(status, status.running.other, isRunning: false)),
            ("floor", .integer(Int64(status.floor))),
            ("floorStore", ReportedFloor.store(status.floors)),
            ("acceptedSequence", .integer(Int64(clamping: status.record.acceptedSequence))),
            ("channel", ReportedChannel.json(status.channel)),
            ("overrideRequest", overrideRequest(status.overrideRequest)),
            ("clock", clock(status.time)),
            ("updater", .string(KedgeVersion.text)),
        ])
    }

    /// `{"ota": section}`.
    public static func patch(_ status: EngineStatus) -> JSONValue { .members([("ota", section(status))]) }

    /// An attempt that waits for this device's turn among those of its fleet.
    public static func waiting(_ attempt: String, seconds: UInt64) -> JSONValue {
        let pause = Failure(
            code: "transfer.spread", category: .network, context: "the download starts in \(seconds) s",
            remedy: "Wait, or set [network] spread to a shorter time")
        return .members([
            (
                "ota",
                .members([
                    ("attempt", .string(attempt)), ("phase", .string(Phase.waiting.rawValue)),
                    ("pause", failure(pause)),
                ])
            )
        ])
    }

    /// A desired document that was refused.
    public static func refusal(_ error: Failure) -> JSONValue {
        .members([("ota", .members([("refused", failure(error))]))])
    }

    /// The nonce is no secret: it is worth something only with the signatures of the override role.
    private static func overrideRequest(_ request: OverrideBook.Request?) -> JSONValue {
        guard let request else { return .null }
        return .members([
            ("nonce", .string(Hex.encode(request.nonce))), ("boots", .integer(Int64(request.boots))),
        ])
    }

    /// Nothing while the clock is good, or every report would differ.
    private static func clock(_ time: TimeStatus) -> JSONValue {
        if time.clock == .good { return .null }
        return .members([("state", .string(time.clock.rawValue)), ("lowerBound", .integer(time.lowerBound))])
    }

    private static func release(_ status: EngineStatus) -> JSONValue {
        guard let attempt = status.attempt, !attempt.releaseID.isEmpty else { return .null }
        return .members([
            ("id", .string(attempt.releaseID)), ("version", .string(attempt.version)),
            ("manifest", .text(attempt.manifest?.hex)),
        ])
    }

    private static func progress(_ status: EngineStatus) -> JSONValue {
        guard status.phase.isBeforeArming, status.totalBytes > 0 else { return .null }
        let handled = min(status.handledBytes, status.totalBytes)
        return .members([
            ("handled", .integer(Int64(clamping: handled))), ("total", .integer(Int64(clamping: status.totalBytes))),
            ("percent", .integer(Int64(handled * 100 / status.totalBytes))),
        ])
    }

    private static func bytes(_ status: EngineStatus) -> JSONValue {
        guard let counters = status.attempt?.counters else { return .null }
        return .members(counters.members.map { ($0.name, .integer(Int64(clamping: $0.value))) })
    }

    private static func components(_ status: EngineStatus) -> JSONValue {
        guard let plan = status.plan else { return .null }
        return .array(
            plan.items.map {
                .members([
                    ("id", .string($0.component.text)), ("slot", .string($0.slot)),
                    ("size", .integer(Int64(clamping: $0.imageBytes))),
                    ("reused", .integer(Int64(clamping: $0.reusedBytes))),
                    ("form", .string($0.form.name)),
                    ("toFetch", .integer(Int64(clamping: $0.fetchBytes))),
                ])
            })
    }

    private static func slot(_ status: EngineStatus, _ set: SlotSet, isRunning: Bool) -> JSONValue {
        let record = status.record[set]
        var members: [(String, JSONValue)] = [
            ("slot", .string(set.letter)), ("state", .string(record.state.name)),
            ("manifest", .text(record.manifest?.hex)), ("release", .text(status[set]?.id)),
            ("version", .text(status[set]?.version)), ("securityVersion", .integer(Int64(record.securityVersion))),
        ]
        if isRunning { members.append(("bootId", status.bootID.isEmpty ? .null : .string(status.bootID))) }
        return .members(members)
    }

    private static func result(_ result: AttemptResult) -> JSONValue {
        .members([
            ("attempt", .string(result.attempt)), ("phase", .string(result.phase.rawValue)),
            ("release", .text(result.releaseID)), ("reason", .text(result.reason)),
            ("code", .text(result.failure?.code)), ("text", .text(result.failure?.context)),
            ("remedy", .text(result.failure?.remedy)),
        ])
    }

    /// Code, text and remedy of a failure.
    public static func failure(_ failure: Failure) -> JSONValue {
        .members([
            ("code", .string(failure.code)), ("text", .string(failure.context)), ("remedy", .string(failure.remedy)),
        ])
    }
}

extension JSONValue {
    /// A string, or null for nil and the empty text.
    static func text(_ text: String?) -> JSONValue {
        guard let text, !text.isEmpty else { return .null }
        return .string(text)
    }
}
