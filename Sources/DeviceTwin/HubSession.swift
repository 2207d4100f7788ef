public import StrictJSON

/// The device's side of a session with IoT Hub or an edge hub over MQTT 3.1.1: a value without input or output.
///
/// It connects, subscribes, asks for the whole twin, follows desired properties, brings reported ones into line, hands
/// direct methods over, renews tokens, and knows when to wait. Rules: Microsoft's "Communicate with an IoT hub by using
/// MQTT" and "device twins"; what the documents leave open is said at each place.
///
/// Reports converge: the session keeps what is to be reported and what the hub is known to have, and sends what
/// differs, one patch at a time. Lost answers, doubled patches and a twin that was made anew need no rule of their own.
public struct HubSession: Sendable {
    public struct Settings: Equatable, Sendable {
        /// Whether a token says who we are, and how long each one lives, seconds.
        public var hasToken: Bool
        public var tokenSeconds: UInt64
        /// Whether a provisioning service can be asked when the hub refuses the identity again and again.
        public var canProvision: Bool
        /// Seconds that an answer may take.
        public var answerSeconds: UInt64 = 30

        public init(hasToken: Bool, tokenSeconds: UInt64 = 3600, canProvision: Bool = false) {
            self.hasToken = hasToken
            self.tokenSeconds = tokenSeconds
            self.canProvision = canProvision
        }
    }

    /// What happened.
    public enum Event: Equatable, Sendable {
        /// Time went by.
        case tick
        case connected
        /// The connection could not be made, or the hub did not let us in.
        case refused(HubProblem)
        case lost(HubProblem)
        case message(topic: String, payload: [UInt8])
        /// Messages were thrown away before they were seen.
        case overflow
        /// Something is to be reported (a merge patch).
        case report(JSONValue)
        /// A direct method is answered.
        case respond(id: String, status: Int, payload: JSONValue)
        /// A provisioning service named hub and identity anew.
        case provisioned
        /// The device stops: what is not delivered is kept.
        case stop
    }

    /// What to do.
    public enum Effect: Equatable, Sendable {
        /// Connect with a new client and, where tokens are used, a new token.
        case connect
        case disconnect
        case subscribe(String)
        case publish(topic: String, payload: String)
        /// The whole desired state, and one that a push changed: both as JSON with `$version`.
        case whole(String)
        case document(String)
        case method(name: String, id: String, payload: String)
        /// Keep this patch over a restart; nil when all is delivered.
        case keep(JSONValue?)
        /// Tell somebody, once.
        case note(HubProblem)
        /// Ask the provisioning service.
        case provision
    }

    enum Link: Equatable, Sendable {
        /// Until a time.
        case waiting(UInt64)
        case connecting(since: UInt64)
        case up(since: UInt64)
        case stopped
    }

    /// A request without its answer yet.
    struct Request: Equatable, Sendable {
        let id: String
        let deadline: UInt64
        /// The patch of reported properties; nil for the twin.
        let patch: JSONValue?
    }

    let settings: Settings
    private(set) var link = Link.waiting(0)
    var request: Request?
    /// Pushes that came while the whole twin was asked for.
    var pushes: [(version: Int64, patch: JSONValue)] = []
    /// The desired state and its version, once this connection gave it.
    var desired: JSONValue?
    var version: Int64?
    /// When the whole twin is to be asked for again; nil when it is not.
    var wholeAt: UInt64?
    /// No request before this.
    var requestAt: UInt64 = 0
    var throttles: UInt32 = 0
    private var silences = 0
    /// What is to be reported, with nulls for what is to go; and what the hub has of it, once known.
    var wanted = JSONValue.object([])
    var reported: JSONValue?
    var outstanding: JSONValue?
    /// When the last patch was sent, and whether something waits that is more than progress.
    var sentAt: UInt64 = 0
    var isUrgent = false
    private var kept: JSONValue?
    private var undeliveredSince: UInt64?
    private var keepAt: UInt64 = 0
    /// Whether this connection gave the whole twin: before that nobody knows what differs.
    var isKnown = false
    /// Answers to give: calls of this connection.
    var calls: [String] = []
    /// Failures in a row, and those of them right after a connection began.
    private var failures: UInt32 = 0
    private var shortLives = 0
    private var refusals = 0
    private var renewAt: UInt64?
    private var random: UInt64
    private var requests: UInt64

    /// How it goes.
    public private(set) var status = HubStatus()

    /// `seed` spreads pauses over a fleet; `kept` is what a former run could not deliver.
    public init(_ settings: Settings, seed: UInt64, kept: JSONValue? = nil) {
        self.settings = settings
        random = seed
        requests = seed & 0xffff_ff00
        self.kept = kept
        if let kept {
            wanted = kept
            outstanding = kept
            isUrgent = true
        }
    }

    static let second: UInt64 = 1_000_000_000
    /// Pauses between tries: full jitter up to 2 s, 4 s and so on. A refusal is not tried so soon again, and another
    /// client of our name is not fought.
    static let shortPause = 2 * second
    static let longPause = 60 * second
    static let longestPause = 300 * second
    /// A connection that ends sooner was no good one; so many in a row look like somebody else's.
    static let goodLife = 30 * second
    static let shortLivesLimit = 3
    /// Refusals in a row before the provisioning service is asked.
    static let refusalsLimit = 3
    /// Seconds between patches that bring nothing but progress: a fleet must not use up a hub's updates.
    static let quietInterval = 10 * second
    /// The whole twin is asked for this often, should a push have been lost unnoticed.
    static let wholeInterval = 3600 * second
    /// Seconds before an undelivered patch is kept on disk, and between two such writes.
    static let keepDelay = 2 * second
    static let keepInterval = 60 * second

    /// Takes one event at a time in nanoseconds (monotonic).
    public mutating func handle(_ event: Event, at now: UInt64) -> [Effect] {
        var effects: [Effect] = []
        if link == .stopped { return [] }
        switch event {
        case .tick: break
        case .connected: effects += begin(now)
        case .refused(let problem), .lost(let problem): effects += end(problem, now)
        case .message(let topic, let payload): if isUp { effects += take(topic, payload, now) }
        case .overflow: wholeAt = now
        case .report(let patch): effects += report(patch, now)
        case .respond(let id, let code, let payload): effects += answer(id, code, payload)
        case .provisioned:
            refusals = 0
            failures = 0
            link = .waiting(now)
        case .stop:
            if let keep = keep(now, isLast: true) { effects.append(keep) }
            link = .stopped
            status.state = .stopped
            return effects + [.disconnect]
        }
        return effects + advance(now)
    }

    var isUp: Bool { if case .up = link { true } else { false } }

    /// Whether everything that was to be reported is with the hub.
    public var isDelivered: Bool { outstanding == nil }

    /// When the next `tick` is due, nanoseconds (monotonic).
    public var wakeAt: UInt64 {
        var times: [UInt64] = []
        switch link {
        case .waiting(let until): times.append(until)
        case .connecting(let since): times.append(since + settings.answerSeconds * Self.second)
        case .up:
            if let request { times.append(request.deadline) }
            if let renewAt { times.append(renewAt) }
            if request == nil, let wholeAt { times.append(max(wholeAt, requestAt)) }
            if request == nil, outstanding != nil, isKnown { times.append(patchAt) }
        case .stopped: return .max
        }
        if let undeliveredSince, !isUp || isUrgent || request != nil {
            times.append(max(undeliveredSince + Self.keepDelay, keepAt))
        }
        return times.min() ?? .max
    }

    /// What is due by now.
    private mutating func advance(_ now: UInt64) -> [Effect] {
        var effects: [Effect] = []
        switch link {
        case .waiting(let until) where now >= until: effects.append(connect(now))
        case .connecting(let since) where now >= since + settings.answerSeconds * Self.second:
            effects.append(.disconnect)
            effects += end(.silent(seconds: settings.answerSeconds), now)
        case .up(let since): effects += turn(now, since)
        case .waiting, .connecting, .stopped: break
        }
        if let keep = keep(now, isLast: false) { effects.append(keep) }
        return effects
    }

    private mutating func turn(_ now: UInt64, _ since: UInt64) -> [Effect] {
        if now - since >= Self.goodLife {
            failures = 0
            shortLives = 0
        }
        if let request, now >= request.deadline {
            self.request = nil
            silences += 1
            // One answer may be lost; a line on which none comes any more is dead, whatever TCP believes.
            if silences >= 2 {
                return [.disconnect] + end(.silent(seconds: settings.answerSeconds), now)
            }
            wholeAt = now
        }
        if let renewAt, now >= renewAt {
            // MQTT 3.1.1 has no other way to bring a new token.
            forgetConnection()
            return [.disconnect, connect(now)]
        }
        if request != nil || now < requestAt { return [] }
        if let wholeAt, now >= wholeAt { return [askWhole(now)] }
        if isKnown, now >= patchAt, let patch = outstanding { return [sendPatch(patch, now)] }
        return []
    }

    // MARK: the connection

    private mutating func connect(_ now: UInt64) -> Effect {
        link = .connecting(since: now)
        status.state = .connecting
        return .connect
    }

    /// Subscribes whatever the hub says of an older session: a hub that lost it would say nothing for ever.
    private mutating func begin(_ now: UInt64) -> [Effect] {
        guard case .connecting = link else { return [] }
        link = .up(since: now)
        refusals = 0
        status.state = .connected
        status.connectedAt = now
        status.connections += 1
        if settings.hasToken {
            let life = settings.tokenSeconds * Self.second
            renewAt = now + life - min(life / 5, 300 * Self.second) - jitter(life / 20)
        }
        wholeAt = now
        return Topic.filters.map { .subscribe($0) }
    }

    private mutating func end(_ problem: HubProblem, _ now: UInt64) -> [Effect] {
        var problem = problem
        switch link {
        case .waiting, .stopped: return []
        case .connecting: break
        case .up(let since):
            status.losses += 1
            shortLives = now - since < Self.goodLife ? shortLives + 1 : 0
            if shortLives == 0 { failures = 0 }
        }
        let isRefusal = problem == .unauthorized
        refusals = isRefusal ? refusals + 1 : 0
        if shortLives >= Self.shortLivesLimit, isUp { problem = .takeover(times: shortLives) }
        let isNews = status.problem?.code != problem.code
        status.problem = problem
        status.state = .waiting
        forgetConnection()
        failures = min(failures + 1, 16)
        var base = Self.shortPause
        switch problem {
        case .unauthorized, .takeover, .clock: base = Self.longPause
        default: break
        }
        let limit = min(base << UInt64(failures - 1), max(Self.longestPause, base))
        var pause = jitter(limit)
        // Half of it at least: these do not pass by themselves.
        if base == Self.longPause { pause = limit / 2 + jitter(limit / 2) }
        if problem == .clock { pause = min(pause, 10 * Self.second) }
        link = .waiting(now + pause)
        let note: [Effect] = isNews ? [.note(problem)] : []
        if isRefusal, settings.canProvision, refusals >= Self.refusalsLimit {
            refusals = 0
            return note + [.provision]
        }
        return note
    }

    private mutating func forgetConnection() {
        request = nil
        isKnown = false
        pushes = []
        calls = []
        renewAt = nil
        silences = 0
        requestAt = 0
        throttles = 0
        wholeAt = nil
    }

    mutating func answered() { silences = 0 }

    /// A request's id: no other one's of this process, and hardly one of the last.
    mutating func nextID() -> String {
        requests += 1
        return String(requests, radix: 16)
    }

    /// A time from nothing to `limit` nanoseconds (SplitMix64).
    mutating func jitter(_ limit: UInt64) -> UInt64 {
        random &+= 0x9e37_79b9_7f4a_7c15
        var z = random
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        z ^= z >> 31
        return limit == 0 ? 0 : z % (limit + 1)
    }

    // MARK: the outbox

    /// Keeps what waits too long, and forgets it when it is delivered; nil when the disk has it so already.
    private mutating func keep(_ now: UInt64, isLast: Bool) -> Effect? {
        guard let outstanding else {
            undeliveredSince = nil
            if kept == nil { return nil }
            kept = nil
            return .keep(nil)
        }
        let since = undeliveredSince ?? now
        undeliveredSince = since
        // Progress that waits for its turn on a good line is worth no write.
        if !isLast, isUp, !isUrgent, request == nil { return nil }
        if !isLast, now < max(since + Self.keepDelay, keepAt) { return nil }
        // Looked at again only when it may be written again.
        keepAt = now + Self.keepInterval
        if outstanding == kept { return nil }
        kept = outstanding
        return .keep(outstanding)
    }
}

/// How a session goes.
public struct HubStatus: Equatable, Sendable {
    public enum State: String, Sendable {
        case waiting, connecting, connected, stopped
    }
    public var state = State.waiting
    /// Nanoseconds (monotonic) of the last connection's begin.
    public var connectedAt: UInt64?
    /// Connections that were made and lost; the renewal of a token is no loss.
    public var connections: UInt64 = 0
    public var losses: UInt64 = 0
    /// What went wrong last.
    public var problem: HubProblem?

    public init() {}
}
