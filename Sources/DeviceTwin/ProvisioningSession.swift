public import Platform
internal import StrictJSON

/// One registration with the Device Provisioning Service over MQTT: a value without input or output.
///
/// Rules: Microsoft's "Communicate with DPS using the MQTT protocol". The TPM's way is not there: the service offers it
/// over HTTPS only.
public struct ProvisioningSession: Sendable {
    /// What happened.
    public enum Event: Equatable, Sendable {
        case tick
        case connected
        case refused(ProvisioningError)
        case message(topic: String, payload: [UInt8])
    }

    /// What to do.
    public enum Effect: Equatable, Sendable {
        case subscribe(String)
        case publish(topic: String, payload: String)
        case finish(Assignment)
        case fail(ProvisioningError)
    }

    private let registration: String
    private var request = 0
    private var operation: String?
    /// When to ask again, and when an answer is late, nanoseconds (monotonic).
    private var askAt: UInt64?
    private var deadline: UInt64
    private let end: UInt64
    private var isOver = false
    private var isConnected = false

    private static let second: UInt64 = 1_000_000_000
    /// Seconds for a connection and for one answer, and for the whole.
    private static let answerLimit = 30 * second
    private static let wholeLimit = 300 * second
    /// Seconds between questions where the service names none, and the most that it may name.
    private static let pause: UInt64 = 3
    private static let longestPause: UInt64 = 120
    private static let topic = "$dps/registrations/res/"

    public init(registration: String, at now: UInt64) {
        self.registration = registration
        deadline = now + Self.answerLimit
        end = now + Self.wholeLimit
    }

    /// Takes one event at a time in nanoseconds (monotonic).
    public mutating func handle(_ event: Event, at now: UInt64) -> [Effect] {
        if isOver { return [] }
        switch event {
        case .tick:
            if now >= deadline || now >= end { return fail(.silent) }
            guard let askAt, now >= askAt else { return [] }
            return ask(now)
        case .connected:
            isConnected = true
            return [.subscribe(Self.topic + "#")] + ask(now)
        case .refused(let error): return fail(error)
        case .message(let topic, let payload): return take(topic, payload, now)
        }
    }

    private mutating func fail(_ error: ProvisioningError) -> [Effect] {
        isOver = true
        return [.fail(error)]
    }

    /// Registers, or asks what became of it.
    private mutating func ask(_ now: UInt64) -> [Effect] {
        askAt = nil
        deadline = now + Self.answerLimit
        request += 1
        if let operation {
            let topic =
                "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=\(request)&operationId=\(operation)"
            return [.publish(topic: topic, payload: " ")]
        }
        let body = JSONValue.members([("registrationId", .string(registration))]).compactText
        return [.publish(topic: "$dps/registrations/PUT/iotdps-register/?$rid=\(request)", payload: body)]
    }

    /// `202/?$rid=1&retry-after=3`
    private mutating func take(_ topic: String, _ payload: [UInt8], _ now: UInt64) -> [Effect] {
        guard let answer = HubTopic(topic, behind: Self.topic), answer.property("$rid") == "\(request)",
            let status = Int(answer.name)
        else { return [] }
        var body = JSONValue.null
        do throws(JSONError) {
            body = try JSONValue.parse(payload, limit: 64 * 1024)
        } catch {
            if status < 300 { return fail(.badAnswer) }
        }
        switch status {
        case 200, 202: return takeState(body, answer, now)
        case 401, 403: return fail(.unauthorized)
        case 429, 500...599:
            wait(answer, now)
            return []
        default: return fail(.refused(status: status, Self.reason(body)))
        }
    }

    private mutating func takeState(_ body: JSONValue, _ answer: HubTopic, _ now: UInt64) -> [Effect] {
        if let id = body["operationId"]?.text, Self.isPlain(id) { operation = id }
        switch body["status"]?.text {
        case "assigning":
            if operation == nil { return fail(.badAnswer) }
            wait(answer, now)
            return []
        case "assigned":
            guard let state = body["registrationState"], let hub = state["assignedHub"]?.text,
                let device = state["deviceId"]?.text, let assignment = Assignment(hub: hub, device: device)
            else { return fail(.badAnswer) }
            isOver = true
            return [.finish(assignment)]
        case "failed", "disabled":
            let state = body["registrationState"] ?? .null
            return fail(.refused(status: Int(state["errorCode"]?.number ?? 0), Self.reason(state)))
        default: return fail(.badAnswer)
        }
    }

    private mutating func wait(_ answer: HubTopic, _ now: UInt64) {
        let named = answer.property("retry-after").flatMap { UInt64($0) } ?? Self.pause
        let pause = min(max(named, 1), Self.longestPause) * Self.second
        askAt = now + pause
        deadline = now + pause + Self.answerLimit
    }

    private static func reason(_ body: JSONValue) -> String {
        let text = body["errorMessage"]?.text ?? body["message"]?.text ?? "no reason given"
        return String(decoding: text.utf8.filter { $0 >= 0x20 && $0 < 0x7f }.prefix(200), as: UTF8.self)
    }

    /// It goes into a topic.
    private static func isPlain(_ id: String) -> Bool {
        (1...128).contains(id.utf8.count)
            && id.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && ![0x23, 0x26, 0x2b, 0x2f, 0x3f].contains($0) }
    }
}

/// The hub and the device id that a provisioning service gave.
public struct Assignment: Equatable, Sendable {
    public let hub: String
    public let device: String

    /// Nil when they cannot be names.
    public init?(hub: String, device: String) {
        guard HubIdentity.isName(hub), HubIdentity.isName(device) else { return nil }
        self.hub = hub
        self.device = device
    }
}

/// Why a provisioning service gave no hub.
public enum ProvisioningError: StableError, Equatable, Sendable {
    case silent
    case unauthorized
    /// An HTTP-like status or the service's own number, and its words.
    case refused(status: Int, String)
    case badAnswer
    case connection(Failure)

    public var code: String {
        switch self {
        case .silent: "provisioning.silent"
        case .unauthorized: "provisioning.unauthorized"
        case .refused: "provisioning.refused"
        case .badAnswer: "provisioning.answer"
        case .connection(let failure): failure.code
        }
    }
    public var category: ErrorCategory {
        if case .connection(let failure) = self { return failure.category }
        return .network
    }
    public var context: String {
        switch self {
        case .silent: "the provisioning service did not answer in time"
        case .unauthorized: "the provisioning service does not accept this registration or its key"
        case .refused(let status, let why): "the provisioning service assigned no hub (\(status)): \(why)"
        case .badAnswer: "the provisioning service sent something that is not understood"
        case .connection(let failure): failure.context
        }
    }
    public var remedy: String {
        switch self {
        case .silent: "Run it again; look at the service's health if it stays so"
        case .unauthorized: "Check scope, registration and key in [azure] against the enrollment, and the clock"
        case .refused: "Look at the enrollment and at the hubs that are linked to the service"
        case .badAnswer: "Check that endpoint in [azure] names a Device Provisioning Service"
        case .connection(let failure): failure.remedy
        }
    }
}
