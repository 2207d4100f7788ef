internal import Platform
internal import StrictJSON

extension HubSession {
    /// IoT Hub's topics, the same for devices and modules.
    enum Topic {
        static let results = "$iothub/twin/res/"
        static let desired = "$iothub/twin/PATCH/properties/desired/"
        static let methods = "$iothub/methods/POST/"
        static let filters = [results + "#", desired + "#", methods + "#"]
    }

    /// Longest message, bytes: a twin's two sections at their limits, with room for how JSON writes them.
    private static let messageLimit = 512 * 1024
    private static let pushesLimit = 16
    private static let callsLimit = 32

    // MARK: requests

    /// When the next patch may go: at once, or after a pause if it brings nothing but progress.
    var patchAt: UInt64 {
        isUrgent || sentAt == 0 ? requestAt : max(requestAt, sentAt + Self.quietInterval)
    }

    mutating func askWhole(_ now: UInt64) -> Effect {
        let id = nextID()
        wholeAt = nil
        request = Request(id: id, deadline: now + settings.answerSeconds * Self.second, patch: nil)
        // One space, as Microsoft's clients send it: an edge hub takes no empty message.
        return .publish(topic: "$iothub/twin/GET/?$rid=" + id, payload: " ")
    }

    mutating func sendPatch(_ patch: JSONValue, _ now: UInt64) -> Effect {
        let id = nextID()
        sentAt = now
        isUrgent = false
        request = Request(id: id, deadline: now + settings.answerSeconds * Self.second, patch: patch)
        return .publish(topic: "$iothub/twin/PATCH/properties/reported/?$rid=" + id, payload: patch.compactText)
    }

    // MARK: reports

    /// Takes a patch into what is to be reported.
    mutating func report(_ patch: JSONValue, _ now: UInt64) -> [Effect] {
        let (fitting, cut) = ReportLimits.fit(patch)
        let next = MergePatch.compose(wanted, then: fitting)
        if ReportLimits.size(next) > ReportLimits.section {
            return [.note(.reportCut("it would be over \(ReportLimits.section) bytes, and is left out"))]
        }
        if !MergePatch.isSame(Self.still(next), Self.still(wanted)) { isUrgent = true }
        wanted = next
        compare()
        return cut.map { [.note(.reportCut($0))] } ?? []
    }

    /// Finds what the hub does not have yet.
    mutating func compare() {
        outstanding = MergePatch.difference(wanted, from: reported ?? .object([]))
        if reported == nil, outstanding == nil, wanted != .object([]) { outstanding = wanted }
    }

    /// Without what moves all the time while an update is fetched.
    private static func still(_ document: JSONValue) -> JSONValue {
        guard case .object(let sections) = document else { return document }
        return .object(
            sections.map { section in
                guard section.name == "ota", case .object(let members) = section.value else { return section }
                let rest = members.filter { !["progress", "bytes", "cost", "forms"].contains($0.name) }
                return JSONMember(name: section.name, value: .object(rest))
            })
    }

    // MARK: messages

    mutating func take(_ topic: String, _ payload: [UInt8], _ now: UInt64) -> [Effect] {
        if let answer = HubTopic(topic, behind: Topic.results) { return takeAnswer(answer, payload, now) }
        if let push = HubTopic(topic, behind: Topic.desired) { return takePush(push, payload, now) }
        if let call = HubTopic(topic, behind: Topic.methods) { return takeCall(call, payload) }
        return [.note(.badMessage)]
    }

    /// `204/?$rid=4&$version=6`
    private mutating func takeAnswer(_ answer: HubTopic, _ payload: [UInt8], _ now: UInt64) -> [Effect] {
        guard let asked = request, answer.property("$rid") == asked.id, let status = Int(answer.name)
        // An answer to a request that was given up, or that came twice.
        else { return [] }
        request = nil
        answered()
        if status == 429 || status >= 500 { return putOff(asked, status, now) }
        throttles = 0
        if let patch = asked.patch {
            if status / 100 == 2 {
                reported = MergePatch.apply(patch, to: reported ?? .object([]))
                compare()
                return []
            }
            // Sent again it would be refused again: counts as delivered until it changes.
            reported = MergePatch.apply(patch, to: reported ?? .object([]))
            compare()
            return [.note(.reportRefused(status: status))]
        }
        guard status == 200, let twin = Self.json(payload), let state = twin["desired"],
            let newest = state["$version"]?.number
        else {
            wholeAt = now + Self.longPause
            return [.note(.badMessage)]
        }
        wholeAt = now + Self.wholeInterval
        return takeWhole(state, newest, twin["reported"])
    }

    private mutating func putOff(_ asked: Request, _ status: Int, _ now: UInt64) -> [Effect] {
        let isFirst = throttles == 0
        throttles = min(throttles + 1, 16)
        let limit = min(Self.shortPause << UInt64(throttles), Self.longPause)
        requestAt = now + limit / 2 + jitter(limit / 2)
        if asked.patch == nil { wholeAt = requestAt } else { isUrgent = true }
        return isFirst ? [.note(.throttled(status: status))] : []
    }

    /// The whole twin counts whatever its version: one that was deleted and made anew starts at 1.
    private mutating func takeWhole(_ state: JSONValue, _ newest: Int64, _ known: JSONValue?) -> [Effect] {
        isKnown = true
        desired = state
        version = newest
        reported = known ?? .object([])
        compare()
        if outstanding != nil { isUrgent = true }
        var effects: [Effect] = [.whole(state.compactText)]
        let waiting = pushes
        pushes = []
        for push in waiting where push.version > newest { effects += merge(push.version, push.patch, 0) }
        return effects
    }

    /// `?$version=7`
    private mutating func takePush(_ push: HubTopic, _ payload: [UInt8], _ now: UInt64) -> [Effect] {
        guard let patch = Self.json(payload),
            let number = push.property("$version").flatMap({ Int64($0) }) ?? patch["$version"]?.number
        else { return [.note(.badMessage)] }
        let asksWhole = (wholeAt ?? .max) <= now || (request != nil && request?.patch == nil)
        if asksWhole {
            if pushes.count >= Self.pushesLimit { pushes.removeFirst() }
            pushes.append((version: number, patch: patch))
            return []
        }
        return merge(number, patch, now)
    }

    /// Applies a push that follows what is known. One that comes again changes nothing; one that was missed, or one of an
    /// older number, which a twin that was made anew gives too, has the whole asked for.
    private mutating func merge(_ number: Int64, _ patch: JSONValue, _ now: UInt64) -> [Effect] {
        guard let desired, let version else { return [] }
        if number == version { return [] }
        if number != version + 1 {
            wholeAt = number > version ? now : now + Self.quietInterval
            return []
        }
        let next = MergePatch.apply(
            .members([("$version", .integer(number))]), to: MergePatch.apply(patch, to: desired))
        self.desired = next
        self.version = number
        return [.document(next.compactText)]
    }

    /// `NAME/?$rid=4`
    private mutating func takeCall(_ call: HubTopic, _ payload: [UInt8]) -> [Effect] {
        guard let id = call.property("$rid"), !id.isEmpty, !call.name.isEmpty else { return [.note(.badMessage)] }
        // Delivered twice.
        if calls.contains(id) { return [] }
        if calls.count >= Self.callsLimit { calls.removeFirst() }
        calls.append(id)
        return [.method(name: call.name, id: id, payload: String(decoding: payload, as: UTF8.self))]
    }

    /// Only to a call of this connection: the hub gave the others up.
    mutating func answer(_ id: String, _ status: Int, _ payload: JSONValue) -> [Effect] {
        guard isUp, calls.contains(id) else { return [] }
        return [.publish(topic: "$iothub/methods/res/\(status)/?$rid=" + id, payload: payload.compactText)]
    }

    // MARK: texts

    private static func json(_ payload: [UInt8]) -> JSONValue? {
        do throws(JSONError) {
            let value = try JSONValue.parse(payload, limit: messageLimit)
            guard case .object = value else { return nil }
            return value
        } catch {
            return nil
        }
    }
}
