internal import Platform
internal import StrictJSON

extension EmulatedHub {
    static func notRegistered(_ name: HubIdentityName) -> HTTPResponse {
        .error(404, name.module == nil ? "DeviceNotFound" : "ModuleNotFound", "\(name.text) is not registered")
    }

    static let noSuchOperation = HTTPResponse.error(404, "GenericNotFound", "there is no such operation")

    /// Answers a request, or gives nil when the answer comes later.
    mutating func answer(
        _ request: HTTPRequest, on connection: HubConnection, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse? {
        if let response = page(request) { return response }
        if request.path.count >= 3, request.path[1] == "registrations" {
            return provisionOverHTTPS(request, now, &effects)
        }
        if let refusal = unauthorized(request, now) {
            effects.append(.note("service API refused: \(refusal)"))
            return .error(401, "IotHubUnauthorizedAccess", refusal)
        }
        let body: JSONValue
        do throws(JSONError) {
            body = request.body.isEmpty ? .null : try .parse(request.body, limit: HTTPRequestDecoder.longestBody)
        } catch {
            return .error(400, "ArgumentInvalid", error.context)
        }
        switch request.path.first {
        case "twins":
            if request.path.last == "methods", request.method == "POST" {
                guard let name = Self.name(request.path.dropFirst().dropLast()) else { return Self.noSuchOperation }
                return callMethod(name, body, on: connection, now, &effects)
            }
            return twins(request, body, now, &effects)
        case "devices": return registry(request, body, now, &effects)
        case "configurations": return configurations(request, body, now, &effects)
        case "enrollments", "enrollmentGroups": return enrollments(request, body, &effects)
        case "statistics": return statistics(request)
        case "emulator": return emulator(request, body, now, &effects)
        default: return Self.noSuchOperation
        }
    }

    /// Why a request to the service API is not let in; nil when it is.
    private func unauthorized(_ request: HTTPRequest, _ now: HubTime) -> String? {
        guard let token = request.headers["authorization"].flatMap({ AccessToken($0) }) else {
            return "no shared access signature"
        }
        guard token.policy == "iothubowner" || token.policy == "provisioningserviceowner" else {
            return "no such shared access policy"
        }
        // A token is for the name alone or with the port that the back end connects to.
        let named = PercentText.decode(token.resource) ?? ""
        let host = settings.serviceNames.first { named == $0 || named.hasPrefix("\($0):") }
        return token.problem(
            opening: host == nil ? settings.hostName : named, keys: [settings.ownerKey], now: now.seconds)
    }

    /// `device`, or `device/modules/module`.
    static func name(_ path: ArraySlice<String>) -> HubIdentityName? {
        let parts = Array(path)
        if parts.count == 1, HubIdentityName.isValid(parts[0]) { return HubIdentityName(device: parts[0]) }
        if parts.count == 3, parts[1] == "modules", parts.allSatisfy({ HubIdentityName.isValid($0) }) {
            return HubIdentityName(device: parts[0], module: parts[2])
        }
        return nil
    }

    /// Whether the ETag that a request asks for is not the present one.
    static func isStale(_ request: HTTPRequest, _ etag: String) -> Bool {
        guard let wanted = request.headers["if-match"] else { return false }
        return wanted != "*" && wanted != "\"*\"" && wanted != etag && wanted != "\"\(etag)\""
    }

    static let preconditionFailed = HTTPResponse.error(412, "PreconditionFailed", "it changed since it was read")

    private mutating func twins(
        _ request: HTTPRequest, _ body: JSONValue, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        guard let name = Self.name(request.path.dropFirst()) else { return Self.noSuchOperation }
        guard let identity = identities[name] else { return Self.notRegistered(name) }
        if request.method == "GET" { return .json(json(ofTwin: identity)) }
        guard request.method == "PATCH" || request.method == "PUT" else { return Self.noSuchOperation }
        if Self.isStale(request, etag(of: identity.twin)) { return Self.preconditionFailed }
        let replaces = request.method == "PUT"
        let tags = body["tags"]
        // What a back end read it sends back: the versions and times in it are no part of a patch.
        let desired = body.value(at: ["properties", "desired"]).map {
            $0.setting("$version", nil).setting("$metadata", nil)
        }
        for (patch, old, limit) in [
            (tags, identity.twin.tags, TwinLimits.tags),
            (desired, identity.twin.desired, TwinLimits.properties),
        ] {
            guard let patch, patch != .null else { continue }
            let after = replaces ? patch : old.merging(patch)
            if let why = TwinLimits.problem(in: patch) ?? TwinLimits.problem(ofSection: after, limit: limit) {
                return .error(400, "ArgumentInvalid", why)
            }
        }
        if let tags, tags != .null {
            identities[name]?.twin.tags = replaces ? tags : identity.twin.tags.merging(tags)
            identities[name]?.twin.revision += 1
            effects.append(.save)
        }
        if let desired, desired != .null { changeDesired(of: name, desired, replaces: replaces, now, &effects) }
        applyConfigurations(now, &effects)
        return .json(json(ofTwin: identities[name] ?? identity))
    }

    private func statistics(_ request: HTTPRequest) -> HTTPResponse {
        let devices = identities.values.filter { $0.name.module == nil }
        switch request.path.last {
        case "devices":
            let enabled = devices.count { $0.isEnabled }
            return .json(
                .members([
                    ("totalDeviceCount", .integer(Int64(devices.count))),
                    ("enabledDeviceCount", .integer(Int64(enabled))),
                    ("disabledDeviceCount", .integer(Int64(devices.count - enabled))),
                ]))
        case "service":
            let connected = devices.count { connection(of: $0.name) != nil }
            return .json(.members([("connectedDeviceCount", .integer(Int64(connected)))]))
        default: return Self.noSuchOperation
        }
    }

    /// What only the emulator has: its switches, and all that its page shows.
    private mutating func emulator(
        _ request: HTTPRequest, _ body: JSONValue, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        switch (request.method, request.path.dropFirst().first) {
        case ("GET", "faults"):
            return .json(.members(faults.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) }))
        case ("PUT", "faults"):
            // `*` is for all that have no switches of their own.
            let key = request.path.dropFirst(2).joined(separator: "/")
            guard key == "*" || HubIdentityName(key) != nil else { return Self.noSuchOperation }
            switch HubFaults.decode(body) {
            case .success(let switches):
                faults[key] = switches == HubFaults() ? nil : switches
                return .json(switches.json)
            case .failure(let problem): return .error(400, "ArgumentInvalid", "no such switch: \(problem.name)")
            }
        case ("POST", "disconnect"), ("POST", "restart-version"), ("POST", "push-again"):
            guard let name = HubIdentityName(request.path.dropFirst(2).joined(separator: "/")),
                let identity = identities[name]
            else { return Self.noSuchOperation }
            if request.path[1] == "restart-version" { restartDesiredVersion(of: name, &effects) }
            if request.path[1] == "push-again" { pushDesired(identity.twin.desired, of: name, &effects) }
            if request.path[1] == "disconnect", let connection = connection(of: name) {
                cut(connection, "as asked for", now, &effects)
            }
            return .empty
        default: return Self.noSuchOperation
        }
    }
}
