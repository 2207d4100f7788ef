internal import Platform
internal import StrictJSON

extension EmulatedHub {
    // MARK: By the device

    mutating func readTwin(
        of name: HubIdentityName, _ request: String, on connection: HubConnection, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) {
        guard let twin = identities[name]?.twin else { return }
        if let status = twinRefusal(on: connection, now) {
            return answerTwin(request, status, nil, Self.twinError(status), to: name, &effects)
        }
        let body = JSONValue.members([("desired", twin.desiredWithVersion), ("reported", twin.reportedWithVersion)])
        answerTwin(request, 200, nil, body.bytes, to: name, &effects)
    }

    mutating func report(
        _ payload: [UInt8], of name: HubIdentityName, _ request: String, on connection: HubConnection,
        _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        guard var twin = identities[name]?.twin else { return }
        if let status = twinRefusal(on: connection, now) {
            return answerTwin(request, status, nil, Self.twinError(status), to: name, &effects)
        }
        var problem: String?
        var merged = twin.reported
        do throws(JSONError) {
            let patch = try JSONValue.parse(payload, limit: MQTTDecoder.longestPacket)
            problem = TwinLimits.problem(in: patch)
            merged = twin.reported.merging(patch)
        } catch {
            problem = error.context
        }
        problem = problem ?? TwinLimits.problem(ofSection: merged, limit: TwinLimits.properties)
        if let problem {
            effects.append(.note("\(name.text): reported properties refused: \(problem)"))
            return answerTwin(request, 400, nil, Self.twinError(400, problem), to: name, &effects)
        }
        twin.reported = merged
        twin.reportedVersion += 1
        twin.reportedUpdated = now.seconds
        twin.revision += 1
        identities[name]?.twin = twin
        effects.append(.save)
        answerTwin(request, 204, twin.reportedVersion, [], to: name, &effects)
    }

    private mutating func answerTwin(
        _ request: String, _ status: Int64, _ version: Int64?, _ body: [UInt8], to name: HubIdentityName,
        _ effects: inout [HubEffect]
    ) {
        let tail = version.map { "&$version=\($0)" } ?? ""
        publish("$iothub/twin/res/\(status)/?$rid=\(request)\(tail)", body, to: name, &effects)
    }

    /// The status that a twin request gets instead of being done: a fault that was asked for, or too many of them.
    private mutating func twinRefusal(on connection: HubConnection, _ now: HubTime) -> Int64? {
        if let link = links[connection], takeFault(\.refuse, link) { return faults(for: link).status }
        guard settings.twinRequestsPerSecond > 0 else { return nil }
        if throttle.second != now.seconds { throttle = (now.seconds, 0) }
        throttle.count += 1
        return throttle.count > settings.twinRequestsPerSecond ? 429 : nil
    }

    private static func twinError(_ status: Int64, _ message: String = "the request was not done") -> [UInt8] {
        JSONValue.members([("errorCode", .integer(status * 1000)), ("message", .string(message))]).bytes
    }

    // MARK: By the service

    /// Changes the desired section by a patch and tells the device the patch as it was sent, or by replacement and
    /// tells the difference.
    mutating func changeDesired(
        of name: HubIdentityName, _ value: JSONValue, replaces: Bool, _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        guard var twin = identities[name]?.twin else { return }
        let patch = replaces ? twin.desired.mergePatch(to: value) : value
        twin.desired = replaces ? value : twin.desired.merging(value)
        twin.desiredVersion += 1
        twin.desiredUpdated = now.seconds
        twin.revision += 1
        identities[name]?.twin = twin
        effects.append(.save)
        pushDesired(patch, of: name, &effects)
    }

    /// Starts the desired version again at 1, as it does when a module is deleted and made anew.
    mutating func restartDesiredVersion(of name: HubIdentityName, _ effects: inout [HubEffect]) {
        identities[name]?.twin.desiredVersion = 1
        identities[name]?.twin.revision += 1
        effects.append(.save)
    }

    mutating func pushDesired(_ patch: JSONValue, of name: HubIdentityName, _ effects: inout [HubEffect]) {
        guard let version = identities[name]?.twin.desiredVersion else { return }
        publish(
            "$iothub/twin/PATCH/properties/desired/?$version=\(version)",
            patch.setting("$version", .integer(version)).bytes, to: name, acknowledged: true, &effects)
    }

    func etag(of twin: HubTwin) -> String { Base64.encode(Array("\(twin.revision)".utf8)) }

    /// The twin as the service API gives it.
    func json(ofTwin identity: HubIdentity) -> JSONValue {
        let twin = identity.twin
        var members: [(String, JSONValue)] = [("deviceId", .string(identity.name.device))]
        if let module = identity.name.module { members.append(("moduleId", .string(module))) }
        var prints: [(String, JSONValue)] = [("primaryThumbprint", .null), ("secondaryThumbprint", .null)]
        if case .thumbprints(let primary, let secondary) = identity.credential {
            prints = [("primaryThumbprint", .string(primary)), ("secondaryThumbprint", .string(secondary))]
        }
        members += [
            ("etag", .string(etag(of: twin))), ("deviceEtag", .string(deviceEtag(of: identity))),
            ("status", .string(identity.isEnabled ? "enabled" : "disabled")),
            ("connectionState", .string(connection(of: identity.name) == nil ? "Disconnected" : "Connected")),
            ("lastActivityTime", .string(HubTime.text(identity.lastActivity))),
            ("cloudToDeviceMessageCount", .integer(0)),
            ("authenticationType", .string(identity.credential.kind)), ("x509Thumbprint", .members(prints)),
            ("modelId", .string(identity.modelID)), ("version", .integer(twin.revision)), ("tags", twin.tags),
            (
                "properties",
                .members([
                    ("desired", Self.withMetadata(twin.desiredWithVersion, twin.desiredUpdated)),
                    ("reported", Self.withMetadata(twin.reportedWithVersion, twin.reportedUpdated)),
                ])
            ),
            ("capabilities", .members([("iotEdge", .bool(false))])),
        ]
        let applied = twin.configurations.keys.sorted().map { id in
            let status = twin.configurations[id] == true ? "Applied" : "Targeted"
            return (id, JSONValue.members([("status", .string(status))]))
        }
        members.append(("configurations", .members(applied)))
        return .members(members)
    }

    private static func withMetadata(_ section: JSONValue, _ updated: Int64) -> JSONValue {
        section.setting("$metadata", .members([("$lastUpdated", .string(HubTime.text(updated)))]))
    }
}
