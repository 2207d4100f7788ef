internal import Platform
internal import StrictJSON

extension EmulatedHub {
    /// Seconds that a method may take when the caller does not say.
    private static let usualPatience: Int64 = 30

    static let methodTimedOut = HTTPResponse.error(504, "GatewayTimeout", "The device did not answer in time")

    static func notConnected(_ name: HubIdentityName) -> HTTPResponse {
        .error(404, "DeviceNotOnline", "\(name.text) is not connected")
    }

    /// `POST /twins/{id}/methods`; nil while the device has not answered.
    mutating func callMethod(
        _ name: HubIdentityName, _ body: JSONValue, on connection: HubConnection, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) -> HTTPResponse? {
        guard identities[name] != nil else { return Self.notRegistered(name) }
        guard let method = body["methodName"]?.text, !method.isEmpty, method.utf8.count <= 100 else {
            return .error(400, "ArgumentInvalid", "methodName must have 1 to 100 bytes")
        }
        let answerTime = body["responseTimeoutInSeconds"]?.number ?? Self.usualPatience
        let connectTime = body["connectTimeoutInSeconds"]?.number ?? 0
        guard (5...300).contains(answerTime), (0...300).contains(connectTime) else {
            return .error(400, "ArgumentInvalid", "a time-out must be 5 to 300 seconds, to connect also 0")
        }
        let isThere = self.connection(of: name) != nil
        if !isThere, connectTime == 0 { return Self.notConnected(name) }
        let patience = UInt64(answerTime) * 1000
        let call = MethodCall(
            name: name, connection: connection, method: method, payload: body["payload"] ?? .null, patience: patience,
            deadline: now.milliseconds + (isThere ? patience : UInt64(connectTime) * 1000))
        let id = "\(nextSerial())"
        calls[id] = call
        if isThere { deliver(id, call, &effects) }
        return nil
    }

    /// From when it is connected the device has its own time for what waited for it.
    mutating func startWaitingCalls(to name: HubIdentityName, _ now: HubTime) {
        for (id, call) in calls where call.name == name && !call.isSent {
            calls[id]?.deadline = now.milliseconds + call.patience
        }
    }

    /// What waited for the identity; it may not have subscribed yet.
    mutating func deliverWaitingCalls(to name: HubIdentityName, _ effects: inout [HubEffect]) {
        for (id, call) in calls.sorted(by: { $0.key < $1.key }) where call.name == name && !call.isSent {
            deliver(id, call, &effects)
        }
    }

    private mutating func deliver(_ id: String, _ call: MethodCall, _ effects: inout [HubEffect]) {
        let payload = call.payload == .null ? Array("null".utf8) : call.payload.bytes
        if publish("$iothub/methods/POST/\(call.method)/?$rid=\(id)", payload, to: call.name, &effects) {
            calls[id]?.isSent = true
        }
    }

    mutating func methodAnswered(
        _ request: String, status: Int64, _ payload: [UInt8], by name: HubIdentityName,
        _ effects: inout [HubEffect]
    ) {
        guard let call = calls[request], call.name == name else { return }
        calls[request] = nil
        var value: JSONValue = .null
        if !payload.isEmpty {
            do throws(JSONError) {
                value = try JSONValue.parse(payload, limit: 128 * 1024)
            } catch {
                effects.append(
                    .respond(call.connection, .error(400, "ArgumentInvalid", "the answer is no JSON: \(error.context)"))
                )
                return
            }
        }
        effects.append(
            .respond(call.connection, .json(.members([("status", .integer(status)), ("payload", value)]))))
    }
}
