public import BootControl
internal import BundleFormat
public import StrictJSON

/// What a gateway is doing, as far as its files tell.
public struct GatewayStatus: Sendable {
    public let gateway: Gateway
    public let record: BootRecord
    /// What the last boot told the kernel; nil before the first boot.
    public let running: RunningSlot?
    /// Slots of disk and flash that were never written, for example `kernel b`.
    public let blank: [String]
}

extension Gateway {
    /// Reads the boot record and looks at the slots. Nothing is changed.
    public func status() throws(GatewayError) -> GatewayStatus {
        let home = try bootHome()
        let record: BootRecord
        do { record = try home.load() } catch { throw .boot(error) }
        var blank: [String] = []
        for slot in slots where try slot.isBlank() { blank.append(slot.displayName) }
        return GatewayStatus(gateway: self, record: record, running: try running(), blank: blank)
    }
}

extension GatewayStatus {
    /// The status for programs.
    public var json: JSONValue {
        .members([
            ("directory", .string(gateway.directory)), ("boot", .string(gateway.description.boot.rawValue)),
            ("media", .string(gateway.description.media.rawValue)),
            ("running", running.map { .string($0.slot.letter) } ?? .null),
            ("bootId", running?.bootID.map { .string($0) } ?? .null), ("record", record.statusJSON),
            ("slots", .array(gateway.slots.map(slotJSON))),
        ])
    }

    private func slotJSON(_ slot: GatewaySlot) -> JSONValue {
        var members: [(String, JSONValue)] = [("name", .string(slot.name)), ("set", .string(slot.set.letter))]
        switch slot.medium {
        case .device(let path): members += [("type", .string("block")), ("path", .string(path))]
        case .region(let path, let offset, let size):
            members += [
                ("type", .string("block")), ("path", .string(path)), ("offset", .integer(Int64(offset))),
                ("size", .integer(Int64(size))),
            ]
        case .bank(let path, let offset, let size, _):
            members += [
                ("type", .string("flash")), ("path", .string(path)), ("offset", .integer(Int64(offset))),
                ("size", .integer(Int64(size))),
            ]
        case .store(let path): members += [("type", .string("store")), ("path", .string(path))]
        }
        if slot.backing != nil { members.append(("blank", .bool(blank.contains(slot.displayName)))) }
        return .members(members)
    }

    /// The status for people, line by line.
    public var lines: [String] {
        let who = gateway.description.identity
        var lines = [
            "gateway   \(who.id): \(who.vendor) \(who.deviceClass), hardware \(who.hardware)",
            "boot      \(gateway.description.boot.rawValue), slots on \(gateway.description.media.rawValue) media",
            "running   \(running.map { "slot \($0.slot.letter)" } ?? "nothing yet (kedge gateway boot starts it)")",
        ]
        var phase = "slot \(record.active.letter), phase \(record.phase.name)"
        if record.phase == .trial { phase += ", \(record.triesLeft) tries left" }
        if record.reason != .none { phase += ", reason \(record.reason.name)" }
        lines.append("next boot \(phase)")
        if !record.attempt.isEmpty { lines.append("attempt   \(record.attempt)") }
        for set in SlotSet.allCases {
            let slot = record[set]
            var line = "slot \(set.letter)    \(slot.state.name)"
            if let manifest = slot.manifest {
                line += ", release \(manifest.hex.prefix(16)), sequence \(slot.sequence), "
                line += "security version \(slot.securityVersion)"
            }
            let empty = blank.filter { $0.hasSuffix(" \(set.letter)") }.map { $0.dropLast(2) }
            if !empty.isEmpty { line += "; blank: \(empty.joined(separator: ", "))" }
            lines.append(line)
        }
        lines.append("accepts   security version \(record.floor) and up, sequence \(record.acceptedSequence) and up")
        return lines
    }
}

extension BootRecord {
    /// The record for programs.
    var statusJSON: JSONValue {
        .members([
            ("revision", .integer(Int64(clamping: revision))), ("active", .string(active.letter)),
            ("phase", .string(phase.name)), ("triesLeft", .integer(Int64(triesLeft))),
            ("userSpaceBoots", .integer(Int64(userSpaceBoots))), ("reason", .string(reason.name)),
            ("attempt", .string(attempt)), ("a", slotA.statusJSON), ("b", slotB.statusJSON),
            ("floor", .integer(Int64(floor))), ("acceptedSequence", .integer(Int64(clamping: acceptedSequence))),
        ])
    }
}

extension SlotRecord {
    var statusJSON: JSONValue {
        .members([
            ("state", .string(state.name)), ("manifest", manifest.map { .string($0.hex) } ?? .null),
            ("sequence", .integer(Int64(clamping: sequence))), ("securityVersion", .integer(Int64(securityVersion))),
        ])
    }
}
