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
        guard let enrollment = attesting(id, token, certificate, now) else {
            return refuse(connection, .notAuthorized, "registration \(id): not enrolled", now, &effects)
        }
        links[connection]?.peer = .registration(id)
        links[connection]?.enrollment = enrollment
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
            guard let link = links[connection], let enrollment = link.enrollment else { return }
            answer = register(id, by: enrollment, link.certificate, now, &effects)
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
        if let own = enrollments[.individual]?[id], case .tpm(let key) = own.attestation {
            return provisionByTPM(request, own, endorsementKey: key, token, now, &effects)
        }
        guard let enrollment = attesting(id, token, nil, now) else {
            return Self.provisioningError(401, 401_002, "the registration is not enrolled or its token is wrong")
        }
        return httpsAnswer(request, id, by: enrollment, now, &effects)
    }

    /// The answer to a client that proved who it is.
    mutating func httpsAnswer(
        _ request: HTTPRequest, _ id: String, by enrollment: HubEnrollment, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) -> HTTPResponse {
        let path = request.path
        let answer: (status: Int, body: JSONValue)
        switch (request.method, path.count, path.count > 3 ? path[3] : "") {
        case ("PUT", 4, "register"): answer = register(id, by: enrollment, nil, now, &effects)
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

    /// The enrollment that lets the client in: an individual one if it has one, else the first group by name that does.
    private func attesting(
        _ id: String, _ token: AccessToken?, _ certificate: PeerCertificate?, _ now: HubTime
    ) -> HubEnrollment? {
        func isLetIn(by enrollment: HubEnrollment) -> Bool {
            switch enrollment.attestation {
            case _ where !enrollment.isEnabled: return false
            case .keys(let primary, let secondary):
                let isGroup = enrollment.kind == .group
                let keys = isGroup ? [primary, secondary].map { Self.deviceKey($0, id) } : [primary, secondary]
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
        if let own = enrollments[.individual]?[id] { return isLetIn(by: own) ? own : nil }
        return enrollments[.group]?.values.sorted { $0.id < $1.id }.first { isLetIn(by: $0) }
    }

    /// A device's key in a group: HMAC-SHA256 of its registration id with the group's key.
    static func deviceKey(_ group: [UInt8], _ id: String) -> [UInt8] {
        MessageCode.sha256(key: group, Array(id.utf8))
    }

    /// Makes the identity, or renews its credential, and the operation to ask for.
    private mutating func register(
        _ id: String, by enrollment: HubEnrollment, _ certificate: PeerCertificate?, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) -> (status: Int, body: JSONValue) {
        let device = enrollment.device(registration: id)
        let credential = enrollment.credential(
            registration: id, certificate: certificate, known: identities[HubIdentityName(device: device)]?.credential)
        assign(device, credential, enrollment.initialTwin, now, &effects)
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
        guard request.path.count == 2, Self.isRegistrationID(request.path[1]),
            let kind = HubEnrollment.Kind(rawValue: request.path[0])
        else { return Self.noSuchOperation }
        let id = request.path[1]
        let old = enrollments[kind]?[id]
        switch (request.method, old) {
        case ("GET", let old?): return .json(old.json)
        case ("DELETE", .some):
            enrollments[kind]?[id] = nil
            effects.append(.save)
            return .empty
        case ("PUT", _):
            guard let attestation = HubAttestation(body["attestation"] ?? .null, random: random) else {
                return Self.provisioningError(400, 400_000, "the attestation is not one that can be used")
            }
            if kind == .group, case .tpm = attestation {
                return Self.provisioningError(400, 400_000, "a group cannot attest by TPM")
            }
            let device = kind == .individual ? body["deviceId"]?.text ?? "" : ""
            guard device.isEmpty || HubIdentityName.isValid(device) else {
                return Self.provisioningError(400, 400_000, "the device id is not one that a device can have")
            }
            let made = HubEnrollment(
                kind: kind, id: id, deviceID: device, attestation: attestation,
                isEnabled: body["provisioningStatus"]?.text != "disabled",
                initialTwin: body["initialTwin"] ?? .null, revision: (old?.revision ?? 0) + 1)
            enrollments[kind, default: [:]][id] = made
            effects.append(.save)
            return .json(made.json)
        default: return Self.provisioningError(404, 404_201, "\(id) is not enrolled")
        }
    }
}
