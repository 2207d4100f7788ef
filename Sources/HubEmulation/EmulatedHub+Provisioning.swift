internal import Platform
internal import StrictJSON

extension EmulatedHub {
    /// Seconds that a client is asked to wait between two questions.
    static let pollSeconds = 1

    // MARK: Over MQTT

    /// CONNECT to the provisioning service: `{idScope}/registrations/{registrationId}/api-version=…`.
    mutating func connectRegistration(
        _ connect: MQTTConnect, on connection: HubConnection, _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        let parts = connect.userName.split(separator: "/", maxSplits: 3).map { String($0) }
        guard parts.count == 4, parts[1] == "registrations", parts[3].hasPrefix("api-version=") else {
            return refuse(connection, .notAuthorized, "the user name \(connect.userName)", now, &effects)
        }
        let id = parts[2]
        guard parts[0] == settings.idScope, connect.clientID == id, Self.isRegistrationID(id) else {
            return refuse(
                connection, .notAuthorized, "registration \(id): scope or client id do not fit", now, &effects)
        }
        let certificate = links[connection]?.certificate
        let token = connect.password.flatMap { AccessToken($0) }
        guard attested(id, token, certificate, now) else {
            return refuse(connection, .notAuthorized, "registration \(id): not enrolled", now, &effects)
        }
        links[connection]?.peer = .registration(id)
        links[connection]?.keepAlive = connect.keepAlive
        send(MQTTEncoder.connectResult(.accepted, sessionPresent: false), on: connection, &effects)
    }

    /// A message of a registering client.
    mutating func provision(
        _ message: MQTTPublish, registration id: String, on connection: HubConnection, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) {
        let halves = message.topic.split(separator: "?", maxSplits: 1)
        var values: [String: String] = [:]
        for pair in PercentText.pairs(halves.count > 1 ? halves[1] : "") { values[pair.name] = pair.value }
        let request = values["$rid"] ?? ""
        let answer: (status: Int, body: JSONValue)
        switch halves[0] {
        case "$dps/registrations/PUT/iotdps-register/":
            answer = register(id, links[connection]?.certificate, now, &effects)
        case "$dps/registrations/GET/iotdps-get-operationstatus/":
            answer = poll(values["operationId"] ?? "", of: id, now)
        default: return cut(connection, "a message on the topic \(message.topic)", now, &effects)
        }
        let wait = answer.status == 202 ? "&retry-after=\(Self.pollSeconds)" : ""
        let topic = "$dps/registrations/res/\(answer.status)/?$rid=\(request)\(wait)"
        self.message(
            MQTTEncoder.publish(topic: topic, payload: answer.body.bytes, id: nil), on: connection, &effects)
    }

    // MARK: Over HTTPS

    /// `PUT /{scope}/registrations/{id}/register` and `GET …/operations/{operation}`.
    mutating func provisionOverHTTPS(
        _ request: HTTPRequest, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        let path = request.path
        let id = path[2]
        guard path[0] == settings.idScope, Self.isRegistrationID(id) else {
            return Self.provisioningError(401, 401_002, "the scope or the registration id is unknown")
        }
        let token = request.headers["authorization"].flatMap { AccessToken($0) }
        if case .tpm(let key)? = enrollments[id]?.attestation {
            return provisionByTPM(request, id: id, endorsementKey: key, token, now, &effects)
        }
        guard attested(id, token, nil, now) else {
            return Self.provisioningError(401, 401_002, "the registration is not enrolled or its token is wrong")
        }
        return httpsAnswer(request, id, now, &effects)
    }

    /// The answer to a client that proved who it is.
    mutating func httpsAnswer(
        _ request: HTTPRequest, _ id: String, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        let path = request.path
        let answer: (status: Int, body: JSONValue)
        switch (request.method, path.count, path.count > 3 ? path[3] : "") {
        case ("PUT", 4, "register"): answer = register(id, nil, now, &effects)
        case ("GET", 5, "operations"): answer = poll(path[4], of: id, now)
        default: return Self.noSuchOperation
        }
        var response = HTTPResponse.json(answer.body, status: answer.status)
        if answer.status == 202 { response.headers.append(("Retry-After", "\(Self.pollSeconds)")) }
        return response
    }

    static func provisioningError(_ status: Int, _ code: Int64, _ message: String) -> HTTPResponse {
        .json(
            .members([
                ("errorCode", .integer(code)), ("message", .string(message)), ("trackingId", .string("emulator")),
            ]), status: status)
    }

    // MARK: What both do

    /// Up to 128 of letters, digits and `-._:`, not beginning or ending with one of the signs.
    static func isRegistrationID(_ id: String) -> Bool {
        let signs = Array("-._:".utf8)
        let bytes = Array(id.utf8)
        guard let first = bytes.first, let last = bytes.last, bytes.count <= 128 else { return false }
        let areKnown = bytes.allSatisfy {
            switch $0 {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
            default: signs.contains($0)
            }
        }
        return areKnown && !signs.contains(first) && !signs.contains(last)
    }

    /// Whether an enrollment lets the client in: an individual one first, then any group.
    private func attested(
        _ id: String, _ token: AccessToken?, _ certificate: PeerCertificate?, _ now: HubTime
    ) -> Bool {
        func isLetIn(by attestation: HubAttestation, derived: Bool) -> Bool {
            switch attestation {
            case .keys(let primary, let secondary):
                let keys = derived ? [primary, secondary].map { Self.deviceKey($0, id) } : [primary, secondary]
                let resource = "\(settings.idScope)/registrations/\(id)"
                guard let token else { return false }
                return token.problem(opening: resource, keys: keys, now: now.seconds) == nil
            case .certificate(let prints):
                guard let certificate else { return false }
                if !prints.isEmpty { return prints.contains(certificate.sha256) || prints.contains(certificate.sha1) }
                return certificate.isTrusted && certificate.commonName == id
            case .tpm: return false
            }
        }
        if let own = enrollments[id] { return own.isEnabled && isLetIn(by: own.attestation, derived: false) }
        return enrollmentGroups.values.contains { $0.isEnabled && isLetIn(by: $0.attestation, derived: true) }
    }

    /// A device's key in a group: HMAC-SHA256 of its registration id with the group's key.
    static func deviceKey(_ group: [UInt8], _ id: String) -> [UInt8] {
        MessageCode.sha256(key: group, Array(id.utf8))
    }

    /// Makes the identity, or renews its credential, and the operation to ask for.
    private mutating func register(
        _ id: String, _ certificate: PeerCertificate?, _ now: HubTime, _ effects: inout [HubEffect]
    ) -> (status: Int, body: JSONValue) {
        let own = enrollments[id]
        let group = enrollmentGroups.values.sorted { $0.id < $1.id }.first
        guard let attestation = own?.attestation ?? group?.attestation else {
            return (404, .members([("errorCode", .integer(404_204)), ("message", .string("not enrolled"))]))
        }
        let device = own.map { $0.deviceID.isEmpty ? id : $0.deviceID } ?? id
        let credential: HubCredential
        switch attestation {
        case .keys(let primary, let secondary):
            credential =
                own == nil
                ? .keys(primary: Self.deviceKey(primary, id), secondary: Self.deviceKey(secondary, id))
                : .keys(primary: primary, secondary: secondary)
        case .certificate:
            credential = .thumbprints(primary: certificate?.sha256 ?? "", secondary: "")
        case .tpm:
            // Its key came with the challenge: the identity has it already.
            credential = identities[HubIdentityName(device: device)]?.credential ?? .authority
        }
        assign(device, credential, own?.initialTwin ?? group?.initialTwin ?? .null, now, &effects)
        let operation = "4.\(nextSerial()).\(id)"
        operations[operation] = ProvisioningOperation(registrationID: id, deviceID: device)
        effects.append(.note("registration \(id): assigned to \(device)"))
        return (202, .members([("operationId", .string(operation)), ("status", .string("assigning"))]))
    }

    mutating func assign(
        _ device: String, _ credential: HubCredential, _ initial: JSONValue, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) {
        let name = HubIdentityName(device: device)
        if identities[name] == nil {
            var identity = HubIdentity(name: name, credential: credential, generation: "\(nextSerial())")
            identity.twin.tags = initial["tags"] ?? .emptyObject
            identity.twin.desired =
                initial.value(at: ["properties", "desired"]).map { $0.isObject ? $0 : .emptyObject } ?? .emptyObject
            identities[name] = identity
        } else {
            identities[name]?.credential = credential
            identities[name]?.revision += 1
        }
        effects.append(.save)
        applyConfigurations(now, &effects)
    }

    private mutating func poll(
        _ id: String, of registration: String, _ now: HubTime
    ) -> (status: Int, body: JSONValue) {
        guard var operation = operations[id], operation.registrationID == registration else {
            return (404, .members([("errorCode", .integer(404_205)), ("message", .string("no such operation"))]))
        }
        operation.polls += 1
        operations[id] = operation
        // The service needs some time: a client that cannot wait is found out here.
        if operation.polls == 1 {
            return (202, .members([("operationId", .string(id)), ("status", .string("assigning"))]))
        }
        operations[id] = nil
        let time = JSONValue.string(HubTime.text(now.seconds))
        let state: [(String, JSONValue)] = [
            ("registrationId", .string(registration)), ("createdDateTimeUtc", time),
            ("assignedHub", .string(settings.hostName)), ("deviceId", .string(operation.deviceID)),
            ("status", .string("assigned")), ("substatus", .string("initialAssignment")),
            ("lastUpdatedDateTimeUtc", time), ("etag", .string("emulator")),
        ]
        return (
            200,
            .members([
                ("operationId", .string(id)), ("status", .string("assigned")), ("registrationState", .members(state)),
            ])
        )
    }

    // MARK: Enrollments, by the service's API

    mutating func enrollments(
        _ request: HTTPRequest, _ body: JSONValue, _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        let isGroup = request.path[0] == "enrollmentGroups"
        guard request.path.count == 2, Self.isRegistrationID(request.path[1]) else { return Self.noSuchOperation }
        let id = request.path[1]
        let exists = isGroup ? enrollmentGroups[id] != nil : enrollments[id] != nil
        switch request.method {
        case "GET" where exists: return .json(enrollmentJSON(id, isGroup))
        case "DELETE" where exists:
            if isGroup { enrollmentGroups[id] = nil } else { enrollments[id] = nil }
            effects.append(.save)
            return .empty
        case "PUT":
            guard let attestation = HubAttestation(body["attestation"] ?? .null, random: random) else {
                return Self.provisioningError(400, 400_000, "the attestation is not one that can be used")
            }
            if isGroup, case .tpm = attestation {
                return Self.provisioningError(400, 400_000, "a group cannot attest by TPM")
            }
            let isEnabled = body["provisioningStatus"]?.text != "disabled"
            let initial = body["initialTwin"] ?? .null
            if isGroup {
                enrollmentGroups[id] = HubEnrollmentGroup(
                    id: id, attestation: attestation, isEnabled: isEnabled, initialTwin: initial,
                    revision: (enrollmentGroups[id]?.revision ?? 0) + 1)
            } else {
                let device = body["deviceId"]?.text ?? ""
                guard device.isEmpty || HubIdentityName.isValid(device) else {
                    return Self.provisioningError(400, 400_000, "the device id is not one that a device can have")
                }
                enrollments[id] = HubEnrollment(
                    registrationID: id, deviceID: device, attestation: attestation, isEnabled: isEnabled,
                    initialTwin: initial, revision: (enrollments[id]?.revision ?? 0) + 1)
            }
            effects.append(.save)
            return .json(enrollmentJSON(id, isGroup))
        default: return Self.provisioningError(404, 404_201, "\(id) is not enrolled")
        }
    }

    private func enrollmentJSON(_ id: String, _ isGroup: Bool) -> JSONValue {
        let (attestation, isEnabled, initial, revision) =
            isGroup
            ? enrollmentGroups[id].map { ($0.attestation, $0.isEnabled, $0.initialTwin, $0.revision) }
                ?? (.certificate(thumbprints: []), false, .null, 0)
            : enrollments[id].map { ($0.attestation, $0.isEnabled, $0.initialTwin, $0.revision) }
                ?? (.certificate(thumbprints: []), false, .null, 0)
        var members: [(String, JSONValue)] = [(isGroup ? "enrollmentGroupId" : "registrationId", .string(id))]
        if !isGroup { members.append(("deviceId", .string(enrollments[id]?.deviceID ?? ""))) }
        members += [
            ("attestation", attestation.json), ("provisioningStatus", .string(isEnabled ? "enabled" : "disabled")),
            ("initialTwin", initial), ("etag", .string(Base64.encode(Array("e\(revision)".utf8)))),
        ]
        return .members(members)
    }
}
