internal import Platform
internal import StrictJSON

extension EmulatedHub {
    func deviceEtag(of identity: HubIdentity) -> String { Base64.encode(Array("r\(identity.revision)".utf8)) }

    /// `/devices…`: identities of devices and modules, and queries.
    mutating func registry(
        _ request: HTTPRequest, _ body: JSONValue, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        let path = request.path.dropFirst()
        if path.first == "query", request.method == "POST", path.count == 1 { return runQuery(request, body) }
        if path.last == "applyConfigurationContent", request.method == "POST",
            let name = Self.name(path.dropLast())
        {
            return applyContent(body, to: name, now, &effects)
        }
        if path.isEmpty, request.method == "POST" { return bulk(body, &effects) }
        if request.method == "GET", path.isEmpty || path.count == 2 && path.last == "modules" {
            let wantsModules = !path.isEmpty
            let found = identities.values.filter {
                wantsModules ? $0.name.module != nil && $0.name.device == path.first : $0.name.module == nil
            }
            let most = request.query["top"].flatMap { Int($0) } ?? 1000
            return .json(.array(found.sorted { $0.name < $1.name }.prefix(most).map { json(of: $0) }))
        }
        guard let name = Self.name(path) else { return Self.noSuchOperation }
        switch request.method {
        case "GET":
            guard let identity = identities[name] else { return Self.notRegistered(name) }
            return .json(json(of: identity))
        case "PUT":
            if let identity = identities[name] {
                guard request.headers["if-match"] != nil else {
                    return .error(409, "DeviceAlreadyExists", "\(name.text) is registered")
                }
                if Self.isStale(request, deviceEtag(of: identity)) { return Self.preconditionFailed }
            }
            return register(name, body, now, &effects)
        case "DELETE":
            guard let identity = identities[name] else { return Self.notRegistered(name) }
            if Self.isStale(request, deviceEtag(of: identity)) { return Self.preconditionFailed }
            remove(name, now, &effects)
            return .empty
        default: return Self.noSuchOperation
        }
    }

    /// Makes or changes an identity. Keys that are not given are made.
    private mutating func register(
        _ name: HubIdentityName, _ body: JSONValue, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        if name.module != nil, identities[HubIdentityName(device: name.device)] == nil {
            return Self.notRegistered(HubIdentityName(device: name.device))
        }
        guard let credential = credential(in: body["authentication"] ?? .null) else {
            return .error(400, "ArgumentInvalid", "authentication: keys must be base64 of 16 to 64 bytes")
        }
        var identity =
            identities[name] ?? HubIdentity(name: name, credential: credential, generation: "\(nextSerial())")
        identity.credential = credential
        identity.isEnabled = body["status"]?.text != "disabled"
        if identities[name] != nil { identity.revision += 1 }
        identities[name] = identity
        effects += [.note("\(name.text): registered"), .save]
        // A client whose key is no longer the right one does not keep its connection.
        if !identity.isEnabled, let connection = connection(of: name) { cut(connection, "disabled", now, &effects) }
        return .json(json(of: identity))
    }

    mutating func remove(_ name: HubIdentityName, _ now: HubTime, _ effects: inout [HubEffect]) {
        let all = name.module == nil ? identities.keys.filter { $0.device == name.device } : [name]
        for gone in all {
            identities[gone] = nil
            sessions[gone] = nil
            if let connection = connection(of: gone) { cut(connection, "removed", now, &effects) }
        }
        effects.append(.save)
    }

    /// Several identities in one request, as the registry manager's bulk calls send them.
    private mutating func bulk(_ body: JSONValue, _ effects: inout [HubEffect]) -> HTTPResponse {
        guard let entries = body.elements, entries.count <= 100 else {
            return .error(400, "ArgumentInvalid", "an array of at most 100 devices is expected")
        }
        var errors: [JSONValue] = []
        let never = HubTime(milliseconds: 0, seconds: 0)
        for entry in entries {
            let device = entry["id"]?.text ?? ""
            guard HubIdentityName.isValid(device) else {
                errors.append(.members([("deviceId", .string(device)), ("errorStatus", .string("ArgumentInvalid"))]))
                continue
            }
            let name = HubIdentityName(device: device, module: entry["moduleId"]?.text)
            let mode = entry["importMode"]?.text ?? "create"
            var status = 200
            switch mode {
            case "create" where identities[name] != nil: status = 409
            case "create", "createOrUpdate", "update", "updateIfMatchETag":
                status = register(name, entry, never, &effects).status
            case "delete", "deleteIfMatchETag": remove(name, never, &effects)
            default: status = 400
            }
            if status != 200 {
                errors.append(
                    .members([
                        ("deviceId", .string(device)), ("errorCode", .integer(Int64(status) * 1000)),
                        ("errorStatus", .string(mode)),
                    ]))
            }
        }
        return .json(
            .members([("isSuccessful", .bool(errors.isEmpty)), ("errors", .array(errors)), ("warnings", .array([]))]),
            status: errors.isEmpty ? 200 : 400)
    }

    private func credential(in value: JSONValue) -> HubCredential? {
        switch value["type"]?.text {
        case "selfSigned", "selfsigned":
            let prints = value["x509Thumbprint"] ?? .null
            return .thumbprints(
                primary: (prints["primaryThumbprint"]?.text ?? "").lowercased(),
                secondary: (prints["secondaryThumbprint"]?.text ?? "").lowercased())
        case "certificateAuthority": return .authority
        default:
            let keys = value["symmetricKey"] ?? .null
            guard let primary = keyOrNew(keys["primaryKey"]), let secondary = keyOrNew(keys["secondaryKey"]) else {
                return nil
            }
            return .keys(primary: primary, secondary: secondary)
        }
    }

    /// The key that was sent, a new one where none was, or nil where it is none.
    private func keyOrNew(_ value: JSONValue?) -> [UInt8]? {
        guard let text = value?.text, !text.isEmpty else { return random(32) }
        return Self.key(text)
    }

    static func key(_ text: String?) -> [UInt8]? {
        guard let text, let key = Base64.decode(text), (16...64).contains(key.count) else { return nil }
        return key
    }

    /// The identity as the service API gives it.
    func json(of identity: HubIdentity) -> JSONValue {
        var keys: [(String, JSONValue)] = [("primaryKey", .null), ("secondaryKey", .null)]
        var prints: [(String, JSONValue)] = [("primaryThumbprint", .null), ("secondaryThumbprint", .null)]
        switch identity.credential {
        case .keys(let primary, let secondary):
            keys = [
                ("primaryKey", .string(Base64.encode(primary))), ("secondaryKey", .string(Base64.encode(secondary))),
            ]
        case .thumbprints(let primary, let secondary):
            prints = [("primaryThumbprint", .string(primary)), ("secondaryThumbprint", .string(secondary))]
        case .authority: break
        }
        var members: [(String, JSONValue)] = [("deviceId", .string(identity.name.device))]
        if let module = identity.name.module { members.append(("moduleId", .string(module))) }
        members += [
            ("generationId", .string(identity.generation)), ("etag", .string(deviceEtag(of: identity))),
            (
                "connectionState",
                .string(connection(of: identity.name) == nil ? "Disconnected" : "Connected")
            ),
            ("status", .string(identity.isEnabled ? "enabled" : "disabled")),
            ("lastActivityTime", .string(HubTime.text(identity.lastActivity))),
            ("cloudToDeviceMessageCount", .integer(0)),
            (
                "authentication",
                .members([
                    ("symmetricKey", .members(keys)), ("x509Thumbprint", .members(prints)),
                    ("type", .string(identity.credential.kind)),
                ])
            ),
        ]
        if identity.name.module == nil { members.append(("capabilities", .members([("iotEdge", .bool(false))]))) }
        return .members(members)
    }
}
