internal import Platform
internal import StrictJSON

extension EmulatedHub {
    /// Filters a client may have at the same time, as the service documents.
    static let mostFilters = 5

    mutating func receive(
        _ bytes: [UInt8], on connection: HubConnection, _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        guard var link = links[connection] else { return }
        if isSilent(link) { return }
        link.decoder.append(bytes)
        link.lastHeard = now.milliseconds
        links[connection] = link
        while var link = links[connection] {
            let packet: MQTTPacket?
            do throws(MQTTError) {
                packet = try link.decoder.next()
            } catch {
                cut(connection, "its bytes are no MQTT 3.1.1", now, &effects)
                return
            }
            links[connection] = link
            guard let packet else { return }
            handle(packet, on: connection, now, &effects)
        }
    }

    private mutating func handle(
        _ packet: MQTTPacket, on connection: HubConnection, _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        guard let link = links[connection] else { return }
        if case .connect(let connect) = packet {
            if link.peer != .nobody { return cut(connection, "a second CONNECT", now, &effects) }
            return self.connect(connect, on: connection, now, &effects)
        }
        if link.peer == .nobody { return cut(connection, "a packet before CONNECT", now, &effects) }
        if takeFault(\.cut, link) { return cut(connection, "a fault that was asked for", now, &effects) }
        switch packet {
        case .connect: break
        case .disconnect:
            close(connection, graceful: true, now, &effects)
            effects.append(.close(connection))
        case .ping: send(MQTTEncoder.pong, on: connection, &effects)
        case .publishAcknowledged: break
        case .subscribe(let id, let filters): subscribe(filters, id: id, on: connection, &effects)
        case .unsubscribe(let id, let filters):
            if case .identity(let name) = link.peer {
                sessions[name]?.filters.removeAll { filters.contains($0) }
                effects.append(.save)
            }
            send(MQTTEncoder.unsubscribed(id: id), on: connection, &effects)
        case .publish(let message):
            if message.quality > 1 { return cut(connection, "quality of service 2", now, &effects) }
            if message.quality == 1, let id = message.id {
                send(MQTTEncoder.acknowledged(id: id), on: connection, &effects)
            }
            switch link.peer {
            case .identity(let name): published(message, by: name, on: connection, now, &effects)
            case .registration(let id): provision(message, registration: id, on: connection, now, &effects)
            case .nobody: break
            }
        }
    }

    // MARK: Connecting

    private mutating func connect(
        _ connect: MQTTConnect, on connection: HubConnection, _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        guard connect.protocolLevel == 4 else {
            return refuse(connection, .badProtocol, "MQTT 3.1.1 is level 4", now, &effects)
        }
        if connect.userName.contains("/registrations/") {
            return connectRegistration(connect, on: connection, now, &effects)
        }
        guard let name = HubIdentityName(connect.clientID) else {
            return refuse(connection, .badIdentifier, "the client id \(connect.clientID)", now, &effects)
        }
        let link = links[connection]
        if takeFault(\.unavailable, named: name) {
            return refuse(connection, .unavailable, "\(name.text): a fault that was asked for", now, &effects)
        }
        if takeFault(\.unauthorized, named: name) {
            return refuse(connection, .notAuthorized, "\(name.text): a fault that was asked for", now, &effects)
        }
        var expiry: Int64?
        if let why = problem(with: connect, by: name, link?.certificate, now, expiry: &expiry) {
            return refuse(connection, .notAuthorized, "\(name.text): \(why)", now, &effects)
        }
        takeOver(name, now, &effects)
        var session = connect.isCleanSession ? HubSession() : sessions[name] ?? HubSession()
        let present = !connect.isCleanSession && session.isPersistent
        session.isPersistent = !connect.isCleanSession
        sessions[name] = session
        links[connection]?.peer = .identity(name)
        links[connection]?.keepAlive = connect.keepAlive
        links[connection]?.tokenExpiry = expiry
        links[connection]?.will = connect.will
        identities[name]?.lastActivity = now.seconds
        if let model = Self.query(ofUser: connect.userName)["model-id"] { identities[name]?.modelID = model }
        effects += [.note("\(name.text): connected"), .save]
        send(MQTTEncoder.connectResult(.accepted, sessionPresent: present), on: connection, &effects)
        startWaitingCalls(to: name, now)
        deliverWaitingCalls(to: name, &effects)
    }

    /// Why a CONNECT is refused, and when its token ends.
    private func problem(
        with connect: MQTTConnect, by name: HubIdentityName, _ certificate: PeerCertificate?, _ now: HubTime,
        expiry: inout Int64?
    ) -> String? {
        guard let identity = identities[name] else { return "not in the registry" }
        if !identity.isEnabled || identities[HubIdentityName(device: name.device)]?.isEnabled == false {
            return "disabled in the registry"
        }
        let path = connect.userName.split(separator: "?", maxSplits: 1).first ?? ""
        let expected = "\(settings.hostName)/\(name.text)"
        guard path == expected || path == expected + "/" else {
            return "the user name is \(path), must begin with \(expected)/"
        }
        if Self.query(ofUser: connect.userName)["api-version"] == nil { return "the user name has no api-version" }
        switch identity.credential {
        case .keys(let primary, let secondary):
            guard let password = connect.password, let token = AccessToken(password) else {
                return "the password is no shared access signature"
            }
            expiry = token.expiry
            let resource =
                "\(settings.hostName)/devices/\(name.device)" + (name.module.map { "/modules/\($0)" } ?? "")
            return token.problem(opening: resource, keys: [primary, secondary], now: now.seconds)
        case .thumbprints(let primary, let secondary):
            guard let certificate else { return "it showed no certificate" }
            let known = [primary, secondary].filter { !$0.isEmpty }
            return known.contains(certificate.sha1) || known.contains(certificate.sha256)
                ? nil : "its certificate has the thumbprint \(certificate.sha256), not the registered one"
        case .authority:
            guard let certificate else { return "it showed no certificate" }
            if !certificate.isTrusted { return "no known authority signed its certificate" }
            return certificate.commonName == name.device
                ? nil : "its certificate is for \(certificate.commonName), not for \(name.device)"
        }
    }

    private static func query(ofUser name: String) -> [String: String] {
        let halves = name.split(separator: "?", maxSplits: 1)
        var out: [String: String] = [:]
        for pair in PercentText.pairs(halves.count > 1 ? halves[1] : "") { out[pair.name] = pair.value }
        return out
    }

    /// One connection for each identity: a second one ends the first.
    private mutating func takeOver(_ name: HubIdentityName, _ now: HubTime, _ effects: inout [HubEffect]) {
        guard let former = connection(of: name) else { return }
        identities[name]?.takeovers += 1
        effects.append(.note("\(name.text): a second client took the connection over"))
        close(former, graceful: true, now, &effects)
        effects.append(.close(former))
    }

    mutating func refuse(
        _ connection: HubConnection, _ result: MQTTConnectResult, _ why: String, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) {
        effects.append(.note("refused: \(why)"))
        send(MQTTEncoder.connectResult(result, sessionPresent: false), on: connection, &effects)
        links[connection] = nil
        effects.append(.close(connection))
    }

    mutating func cut(
        _ connection: HubConnection, _ why: String, _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        if let link = links[connection] { effects.append(.note("\(describe(link)): cut: \(why)")) }
        close(connection, graceful: false, now, &effects)
        effects.append(.close(connection))
    }

    /// Forgets a connection; one that did not say goodbye has its will done.
    mutating func close(
        _ connection: HubConnection, graceful: Bool, _ now: HubTime, _ effects: inout [HubEffect]
    ) {
        guard let link = links.removeValue(forKey: connection) else {
            // A back end that no longer waits for a method.
            for (id, call) in calls where call.connection == connection { calls[id] = nil }
            return
        }
        guard case .identity(let name) = link.peer else { return }
        identities[name]?.lastActivity = now.seconds
        if !graceful, let will = link.will, will.topic.contains("/messages/events") {
            identities[name]?.telemetryCount += 1
        }
        if sessions[name]?.isPersistent == false { sessions[name] = nil }
        effects += [.note("\(name.text): disconnected"), .save]
    }

    // MARK: Subscriptions and messages

    private mutating func subscribe(
        _ filters: [String], id: UInt16, on connection: HubConnection, _ effects: inout [HubEffect]
    ) {
        guard let link = links[connection] else { return }
        var codes: [UInt8] = []
        for filter in filters {
            guard case .identity(let name) = link.peer else {
                codes.append(filter == "$dps/registrations/res/#" ? 1 : 0x80)
                continue
            }
            var session = sessions[name] ?? HubSession()
            let isNew = !session.filters.contains(filter)
            guard Self.isAllowed(filter, for: name), !isNew || session.filters.count < Self.mostFilters else {
                effects.append(.note("\(name.text): the filter \(filter) is refused"))
                codes.append(0x80)
                continue
            }
            if isNew { session.filters.append(filter) }
            sessions[name] = session
            codes.append(1)
        }
        effects.append(.save)
        send(MQTTEncoder.subscribed(id: id, codes: codes), on: connection, &effects)
        if case .identity(let name) = link.peer { deliverWaitingCalls(to: name, &effects) }
    }

    private static func isAllowed(_ filter: String, for name: HubIdentityName) -> Bool {
        let own = "devices/\(name.device)" + (name.module.map { "/modules/\($0)" } ?? "")
        return [
            "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#",
            "\(own)/messages/devicebound/#", "\(own)/inputs/#", "\(own)/#",
        ].contains(filter)
    }

    private mutating func published(
        _ message: MQTTPublish, by name: HubIdentityName, on connection: HubConnection, _ now: HubTime,
        _ effects: inout [HubEffect]
    ) {
        identities[name]?.lastActivity = now.seconds
        let parts = message.topic.split(separator: "?", maxSplits: 1)
        let path = parts[0]
        let values = PercentText.pairs(parts.count > 1 ? parts[1] : "")
        let request = values.first { $0.name == "$rid" }?.value ?? ""
        if path == "$iothub/twin/GET/" {
            readTwin(of: name, request, on: connection, now, &effects)
        } else if path == "$iothub/twin/PATCH/properties/reported/" {
            report(message.payload, of: name, request, on: connection, now, &effects)
        } else if path.hasPrefix("$iothub/methods/res/") {
            let status = path.split(separator: "/").last.flatMap { Int64($0) } ?? 0
            methodAnswered(request, status: status, message.payload, by: name, &effects)
        } else if path.hasPrefix("devices/\(name.device)/"), path.contains("/messages/events") {
            identities[name]?.telemetryCount += 1
        } else {
            cut(connection, "a message on the topic \(message.topic)", now, &effects)
        }
    }

    // MARK: Sending, with the faults that were asked for

    /// A message on a topic to an identity; false when it is not connected or did not subscribe.
    @discardableResult
    mutating func publish(
        _ topic: String, _ payload: [UInt8], to name: HubIdentityName, acknowledged: Bool = false,
        _ effects: inout [HubEffect]
    ) -> Bool {
        guard let connection = connection(of: name), var session = sessions[name], session.wants(topic) else {
            return false
        }
        var id: UInt16?
        if acknowledged {
            id = session.nextID
            session.nextID = session.nextID == .max ? 1 : session.nextID + 1
            sessions[name] = session
        }
        message(MQTTEncoder.publish(topic: topic, payload: payload, id: id), on: connection, &effects)
        return true
    }

    /// A message, which may be lost, doubled or overtaken; MQTT's own packets are not: TCP does not lose them either.
    mutating func message(_ bytes: [UInt8], on connection: HubConnection, _ effects: inout [HubEffect]) {
        guard let link = links[connection] else { return }
        if takeFault(\.lose, link) { return }
        if link.held == nil, takeFault(\.reorder, link) {
            links[connection]?.held = bytes
            return
        }
        send(bytes, on: connection, &effects)
        if takeFault(\.duplicate, link) { send(bytes, on: connection, &effects) }
        if let held = link.held {
            links[connection]?.held = nil
            send(held, on: connection, &effects)
        }
    }

    mutating func send(_ bytes: [UInt8], on connection: HubConnection, _ effects: inout [HubEffect]) {
        guard let link = links[connection] else { return }
        let faults = faults(for: link)
        if faults.silent { return }
        effects.append(.send(connection, bytes, after: UInt64(faults.delay)))
    }

    mutating func takeFault(_ path: WritableKeyPath<HubFaults, Int64>, _ link: HubLink) -> Bool {
        faults[faultKey(link)]?.take(path) ?? false
    }

    private mutating func takeFault(_ path: WritableKeyPath<HubFaults, Int64>, named name: HubIdentityName) -> Bool {
        faults[faults[name.text] != nil ? name.text : "*"]?.take(path) ?? false
    }
}
