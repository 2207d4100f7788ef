internal import BundleFormat
internal import Platform
internal import StrictJSON

extension JournalState {
    /// The body of a journal slot.
    var json: JSONValue {
        var members: [(String, JSONValue)] = [("format", .integer(1)), ("timeFloor", .integer(timeFloor))]
        if sequenceRoot > 0 { members.append(("sequenceRoot", .integer(Int64(sequenceRoot)))) }
        if let attempt { members.append(("attempt", attempt.json)) }
        members.append(("results", .array(results.map { $0.json })))
        return .members(members)
    }

    init(json: JSONValue) throws(JSONError) {
        self.init()
        var reader = try JSONObjectReader(json, at: "journal")
        _ = try reader.integer("format", in: 1...1)
        timeFloor = try reader.integer("timeFloor", in: 0...Int64.max)
        sequenceRoot = UInt32(try reader.optionalInteger("sequenceRoot", in: 1...Int64(UInt32.max)) ?? 0)
        if let value = reader.optional("attempt") { attempt = try Attempt(json: value) }
        for value in try reader.array("results", count: 0...Self.latchLimit) {
            results.append(try AttemptResult(json: value))
        }
        try reader.finish()
    }
}

extension TransferCounters {
    /// Byte counts by name.
    public var members: [(name: String, value: UInt64)] {
        [("fetched", fetched), ("reused", reused), ("unchanged", unchanged), ("written", written)]
    }

    var json: JSONValue {
        .object(
            members.map { JSONMember(name: $0.name, value: .integer(Int64(clamping: $0.value))) }
                + [JSONMember(name: "forms", value: forms.json)])
    }

    init(_ reader: JSONObjectReader) throws(JSONError) {
        self.init()
        var reader = reader
        fetched = UInt64(try reader.integer("fetched", in: 0...Int64.max))
        reused = UInt64(try reader.integer("reused", in: 0...Int64.max))
        unchanged = UInt64(try reader.integer("unchanged", in: 0...Int64.max))
        written = UInt64(try reader.integer("written", in: 0...Int64.max))
        forms = try FormCounters(try reader.optionalObject("forms"))
        try reader.finish()
    }
}

/// A phase by its name.
private func phase(_ text: String, at place: String) throws(JSONError) -> Phase {
    guard let phase = Phase(rawValue: text) else { throw JSONError(.outOfBounds, at: place, "is no phase") }
    return phase
}

/// Text that may be empty.
private func text(_ reader: inout JSONObjectReader, _ name: String) throws(JSONError) -> String {
    guard let text = try reader.required(name).text else {
        throw JSONError(.wrongType, at: reader.path(name), "must be a string")
    }
    return text
}

extension Failure {
    fileprivate var json: JSONValue {
        .members([
            ("code", .string(code)), ("exit", .integer(Int64(category.rawValue))), ("context", .string(context)),
            ("remedy", .string(remedy)),
        ])
    }

    fileprivate init(_ reader: JSONObjectReader) throws(JSONError) {
        var reader = reader
        let code = try reader.string("code", limit: 64)
        let exit = Int32(try reader.integer("exit", in: 1...255))
        self.init(
            code: code, category: ErrorCategory(rawValue: exit) ?? .unexpected, context: try text(&reader, "context"),
            remedy: try text(&reader, "remedy"))
        try reader.finish()
    }
}

extension Attempt {
    var json: JSONValue {
        var members: [(String, JSONValue)] = [("id", .string(id)), ("location", .string(location))]
        if let pause { members.append(("pause", pause.json)) }
        if staging != .none { members.append(("staging", .string(staging.rawValue))) }
        if !alternatives.isEmpty {
            members.append(("alternatives", .array(alternatives.map { .string($0) })))
        }
        if let wanted { members.append(("wanted", .string(wanted.hex))) }
        if let manifest { members.append(("manifest", .string(manifest.hex))) }
        members += [
            ("release", .string(releaseID)), ("version", .string(version)), ("phase", .string(phase.rawValue)),
            ("target", .string(target)), ("counters", counters.json),
            ("cost", cost.json), ("imageBytes", .integer(Int64(clamping: imageBytes))),
            ("armedBoot", .string(armedBoot)),
            (
                "progress",
                .array(
                    progress.map {
                        .members([
                            ("component", .string($0.component.text)), ("windows", .integer(Int64($0.count))),
                            ("flushed", .string($0.hex)),
                        ])
                    })
            ),
        ]
        return .members(members)
    }

    init(json: JSONValue) throws(JSONError) {
        var reader = try JSONObjectReader(json, at: "attempt")
        let id = try reader.string("id", limit: 64)
        let location = try reader.string("location", limit: 8192)
        self.init(id: id, location: location, wanted: try reader.optionalDigest("wanted"))
        for value in try reader.optionalArray("alternatives", most: Attempt.alternativesLimit) {
            alternatives.append(try JSONObjectReader.string(value, at: "attempt.alternatives", limit: 8192))
        }
        if let entry = try reader.optionalObject("pause") { pause = try Failure(entry) }
        if let name = try reader.optionalString("staging", limit: 16) {
            guard let staging = Staging(rawValue: name) else {
                throw JSONError(.outOfBounds, at: "attempt.staging", "is no staging")
            }
            self.staging = staging
        }
        manifest = try reader.optionalDigest("manifest")
        releaseID = try text(&reader, "release")
        version = try text(&reader, "version")
        phase = try UpdateEngine.phase(try reader.string("phase", limit: 32), at: "attempt.phase")
        target = try text(&reader, "target")
        counters = try TransferCounters(try reader.object("counters"))
        cost = try AttemptCost(try reader.optionalObject("cost"))
        imageBytes = UInt64(try reader.integer("imageBytes", in: 0...Int64.max))
        armedBoot = try text(&reader, "armedBoot")
        for value in try reader.array("progress", count: 0...BundleLimits.components) {
            var entry = try JSONObjectReader(value, at: "attempt.progress")
            let component = try entry.identifier("component")
            let count = Int(try entry.integer("windows", in: 1...Int64(BundleLimits.tables)))
            let hex = try text(&entry, "flushed")
            guard let bitmap = WindowBitmap(component: component, count: count, hex: hex) else {
                throw JSONError(.outOfBounds, at: "attempt.progress", "does not fit its window count")
            }
            try entry.finish()
            progress.append(bitmap)
        }
        try reader.finish()
    }
}

extension AttemptResult {
    var json: JSONValue {
        var members: [(String, JSONValue)] = [("attempt", .string(attempt)), ("phase", .string(phase.rawValue))]
        if let manifest { members.append(("manifest", .string(manifest.hex))) }
        members += [("release", .string(releaseID)), ("version", .string(version)), ("reason", .string(reason))]
        if let failure { members.append(("failure", failure.json)) }
        members += [("counters", counters.json), ("cost", cost.json)]
        return .members(members)
    }

    init(json: JSONValue) throws(JSONError) {
        var reader = try JSONObjectReader(json, at: "result")
        let attempt = try reader.string("attempt", limit: 64)
        let phase = try UpdateEngine.phase(try reader.string("phase", limit: 32), at: "result.phase")
        let manifest = try reader.optionalDigest("manifest")
        let releaseID = try text(&reader, "release")
        let version = try text(&reader, "version")
        let reason = try text(&reader, "reason")
        var failure: Failure?
        if let entry = try reader.optionalObject("failure") { failure = try Failure(entry) }
        let counters = try TransferCounters(try reader.object("counters"))
        let cost = try AttemptCost(try reader.optionalObject("cost"))
        try reader.finish()
        self.init(
            attempt: attempt, phase: phase, manifest: manifest, releaseID: releaseID, version: version,
            failure: failure, reason: reason, counters: counters, cost: cost)
    }
}
