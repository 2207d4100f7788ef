internal import Platform
internal import StrictJSON

/// Keeps the hub's state in one JSON file, replaced as a whole.
public struct HubStore: Sendable {
    private static let longest = 256 * 1024 * 1024
    let path: String

    public init(path: String) { self.path = path }

    /// Writes the state.
    func save(_ hub: borrowing EmulatedHub) throws(HubError) {
        let bytes = hub.stored.bytes
        // It holds the keys of the identities.
        try system { () throws(SystemError) in try FileSystem.replace(path, with: bytes, mode: 0o600) }
    }

    /// Reads the state into an empty hub; a file that is not there leaves it empty.
    public func load(into hub: inout EmulatedHub) throws(HubError) {
        let kind = try system { () throws(SystemError) in try FileSystem.kind(of: path) }
        if kind == nil { return }
        let bytes = try system { () throws(SystemError) in try FileSystem.read(path, limit: Self.longest) }
        let value: JSONValue
        do throws(JSONError) { value = try .parse(bytes, limit: Self.longest) } catch {
            throw .state(path: path, why: error.context)
        }
        if let problem = hub.restore(value) { throw .state(path: path, why: problem) }
    }
}

extension EmulatedHub {
    private static let format: Int64 = 1

    /// Everything that outlives a restart.
    var stored: JSONValue {
        .members([
            ("format", .integer(Self.format)), ("serial", .integer(serial)),
            ("identities", .array(identities.values.sorted { $0.name < $1.name }.map { Self.stored($0) })),
            (
                "sessions",
                .members(
                    sessions.filter { $0.value.isPersistent }.sorted { $0.key < $1.key }.map {
                        ($0.key.text, .array($0.value.filters.map { .string($0) }))
                    })
            ),
            (
                "configurations",
                .members(
                    configurations.values.sorted { $0.id < $1.id }.map {
                        (
                            $0.id,
                            .members([
                                ("document", $0.document), ("revision", .integer($0.revision)),
                                ("created", .integer($0.created)),
                            ])
                        )
                    })
            ),
            (HubEnrollment.Kind.individual.rawValue, stored(.individual)),
            (HubEnrollment.Kind.group.rawValue, stored(.group)),
        ])
    }

    private func stored(_ kind: HubEnrollment.Kind) -> JSONValue {
        let all = (enrollments[kind] ?? [:]).values.sorted { $0.id < $1.id }
        return .members(all.map { ($0.id, $0.stored) })
    }

    private static func stored(_ identity: HubIdentity) -> JSONValue {
        var credential: [(String, JSONValue)] = [("type", .string(identity.credential.kind))]
        switch identity.credential {
        case .keys(let primary, let secondary):
            credential += [
                ("primary", .string(Base64.encode(primary))), ("secondary", .string(Base64.encode(secondary))),
            ]
        case .thumbprints(let primary, let secondary):
            credential += [("primary", .string(primary)), ("secondary", .string(secondary))]
        case .authority: break
        }
        let twin = identity.twin
        return .members([
            ("id", .string(identity.name.text)), ("credential", .members(credential)),
            ("enabled", .bool(identity.isEnabled)), ("generation", .string(identity.generation)),
            ("revision", .integer(identity.revision)), ("model", .string(identity.modelID)),
            ("lastActivity", .integer(identity.lastActivity)), ("takeovers", .integer(identity.takeovers)),
            ("telemetry", .integer(identity.telemetryCount)), ("tags", twin.tags), ("desired", twin.desired),
            ("desiredVersion", .integer(twin.desiredVersion)), ("desiredUpdated", .integer(twin.desiredUpdated)),
            ("reported", twin.reported), ("reportedVersion", .integer(twin.reportedVersion)),
            ("reportedUpdated", .integer(twin.reportedUpdated)), ("twinRevision", .integer(twin.revision)),
            (
                "configurations",
                .members(twin.configurations.sorted { $0.key < $1.key }.map { ($0.key, .bool($0.value)) })
            ),
        ])
    }

    /// Takes a stored state over; what is wrong with it, or nil.
    mutating func restore(_ value: JSONValue) -> String? {
        guard value["format"]?.number == Self.format else { return "format must be \(Self.format)" }
        serial = value["serial"]?.number ?? 0
        for entry in value["identities"]?.elements ?? [] {
            guard let identity = Self.identity(entry) else { return "an identity is damaged" }
            identities[identity.name] = identity
        }
        for entry in value["sessions"]?.objectMembers ?? [] {
            guard let name = HubIdentityName(entry.name) else { return "a session is damaged" }
            let filters = (entry.value.elements ?? []).compactMap { $0.text }
            sessions[name] = HubSession(filters: filters, isPersistent: true)
        }
        for entry in value["configurations"]?.objectMembers ?? [] {
            let time = HubTime(milliseconds: 0, seconds: entry.value["created"]?.number ?? 0)
            guard case .success(var made) = Self.configuration(entry.name, entry.value["document"] ?? .null, nil, time)
            else { return "the configuration \(entry.name) is damaged" }
            made.revision = entry.value["revision"]?.number ?? 1
            configurations[entry.name] = made
        }
        for kind in HubEnrollment.Kind.allCases {
            for entry in value[kind.rawValue]?.objectMembers ?? [] {
                guard let made = HubEnrollment(stored: entry.value, kind: kind, id: entry.name, random: random) else {
                    return "the enrollment \(entry.name) is damaged"
                }
                enrollments[kind, default: [:]][entry.name] = made
            }
        }
        return nil
    }

    private static func identity(_ value: JSONValue) -> HubIdentity? {
        guard let name = value["id"]?.text.flatMap({ HubIdentityName($0) }) else { return nil }
        let stored = value["credential"] ?? .null
        let (primary, secondary) = (stored["primary"]?.text ?? "", stored["secondary"]?.text ?? "")
        let credential: HubCredential
        switch stored["type"]?.text {
        case "sas":
            guard let first = Base64.decode(primary), let second = Base64.decode(secondary) else { return nil }
            credential = .keys(primary: first, secondary: second)
        case "selfSigned": credential = .thumbprints(primary: primary, secondary: secondary)
        case "certificateAuthority": credential = .authority
        default: return nil
        }
        var identity = HubIdentity(name: name, credential: credential, generation: value["generation"]?.text ?? "")
        identity.isEnabled = value["enabled"]?.flag ?? true
        identity.revision = value["revision"]?.number ?? 1
        identity.modelID = value["model"]?.text ?? ""
        identity.lastActivity = value["lastActivity"]?.number ?? 0
        identity.takeovers = value["takeovers"]?.number ?? 0
        identity.telemetryCount = value["telemetry"]?.number ?? 0
        identity.twin.tags = value["tags"] ?? .emptyObject
        identity.twin.desired = value["desired"] ?? .emptyObject
        identity.twin.desiredVersion = value["desiredVersion"]?.number ?? 1
        identity.twin.desiredUpdated = value["desiredUpdated"]?.number ?? 0
        identity.twin.reported = value["reported"] ?? .emptyObject
        identity.twin.reportedVersion = value["reportedVersion"]?.number ?? 1
        identity.twin.reportedUpdated = value["reportedUpdated"]?.number ?? 0
        identity.twin.revision = value["twinRevision"]?.number ?? 1
        for entry in value["configurations"]?.objectMembers ?? [] {
            identity.twin.configurations[entry.name] = entry.value.flag ?? false
        }
        return identity
    }
}
