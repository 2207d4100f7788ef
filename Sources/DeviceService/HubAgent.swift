internal import DeviceTwin
internal import Messaging
internal import Platform
internal import StrictJSON
internal import UpdateEngine

/// Who takes what comes from a hub.
protocol HubReceiver: AnyObject, Sendable {
    /// On the hub's thread.
    func hubBrought(_ event: TwinMachine.Event)
}

/// The thread that talks to the hub. The engine works on whatever becomes of it: what is reported is put into a queue,
/// and nothing here is waited for.
final class HubAgent: @unchecked Sendable {
    private let configuration: HubConfiguration
    private let provisioning: HubProvisioning?
    private let outbox: HubOutbox
    private let surroundings: EngineSurroundings
    /// Seconds since 1970 before which it cannot be.
    private let timeFloor: Int64
    private let monitor = Monitor()
    private var waiting: [HubSession.Event] = []
    private var stopping = false
    private var ended = false
    private var worker: WorkerThread?

    // Of the hub's thread only.
    private var session: HubSession
    private var client: MQTTClient?
    /// Nil until a provisioning service named the hub.
    private var access: HubAccess?
    private var shown: HubStatus?
    /// Until the thread ends.
    private var receiver: (any HubReceiver)?

    /// Reads secrets and what a former run could not deliver.
    init(
        _ configuration: HubConfiguration, data: String, _ surroundings: EngineSurroundings, timeFloor: Int64
    ) throws(Failure) {
        self.configuration = configuration
        self.surroundings = surroundings
        self.timeFloor = timeFloor
        outbox = HubOutbox(data + "/outbox")
        provisioning = HubProvisioning(configuration, data: data, time: surroundings.time)
        do throws(ServiceError) {
            access = try HubAccess(configuration, assignment: AssignmentFile(data).read())
        } catch {
            throw Failure(error)
        }
        let seed: UInt64
        do throws(SystemError) {
            seed = try randomNumber(from: surroundings.random)
        } catch {
            throw Failure(error)
        }
        let settings = HubSession.Settings(
            hasToken: configuration.hasKey, tokenSeconds: configuration.tokenSeconds,
            canProvision: provisioning != nil)
        session = HubSession(settings, seed: seed, kept: outbox.read())
    }

    func start(_ receiver: any HubReceiver) throws(SystemError) {
        self.receiver = receiver
        worker = try WorkerThread(name: "kedge-hub") { self.run() }
    }

    /// To be reported: a merge patch. From any thread.
    func report(_ patch: JSONValue) { put(.report(patch)) }

    /// The answer to a direct method. From any thread.
    func respond(id: String, status: Int, payload: JSONValue) {
        put(.respond(id: id, status: status, payload: payload))
    }

    /// Lets what was reported go out, for a moment, and ends the connection. What could not go is kept on disk.
    func stop() {
        monitor.locked {
            stopping = true
            monitor.signal()
            let end = surroundings.time.monotonicNanoseconds() + Self.stopLimit
            // Resolving a name cannot be broken off; it must not keep a device from its reboot.
            while !ended {
                let now = surroundings.time.monotonicNanoseconds()
                if now >= end || monitor.wait(nanoseconds: end - now) && !ended { return }
            }
        }
        if monitor.locked({ ended }) { worker?.join() }
    }

    private static let second: UInt64 = 1_000_000_000
    /// How long a stop waits for the last report and for the thread.
    private static let lastReport = 2 * second
    private static let stopLimit = 4 * second
    /// The most that waits to be told to the session.
    private static let waitingLimit = 256
    /// Milliseconds for which the line is listened to before the queue is looked at again.
    private static let turn: Int32 = 100

    private func put(_ event: HubSession.Event) {
        monitor.locked {
            if waiting.count >= Self.waitingLimit { compact() }
            waiting.append(event)
            monitor.signal()
        }
    }

    /// Reports that nobody took yet become one.
    private func compact() {
        var all = JSONValue.object([])
        var others: [HubSession.Event] = []
        for event in waiting {
            if case .report(let patch) = event {
                all = MergePatch.compose(all, then: patch)
            } else {
                others.append(event)
            }
        }
        waiting = [.report(all)] + others.suffix(Self.waitingLimit / 2)
    }

    // MARK: the hub's thread

    private func run() {
        var stopAt: UInt64?
        while true {
            let (events, isStopping) = monitor.locked {
                defer { waiting = [] }
                return (waiting, stopping)
            }
            for event in events { handle(event) }
            handle(.tick)
            let now = time.monotonicNanoseconds()
            if isStopping {
                let end = stopAt ?? now + Self.lastReport
                stopAt = end
                if session.isDelivered || session.status.state != .connected || now >= end { break }
            }
            if client != nil { listen() } else { pause() }
        }
        handle(.stop)
        receiver = nil
        monitor.locked {
            ended = true
            monitor.signal()
        }
    }

    private var time: any TimeSource { surroundings.time }

    private func listen() {
        guard let client else { return }
        for event in client.turn(milliseconds: Self.turn) {
            switch event {
            case .connected: handle(.connected)
            case .refused(let code):
                handle(.refused(MQTTClient.refusesIdentity(code) ? .unauthorized : .refused(code)))
            case .lost(let error):
                self.client = nil
                handle(.lost(.connection(Failure(error))))
            case .message(let topic, let payload): handle(.message(topic: topic, payload: payload))
            case .overflow: handle(.overflow)
            }
        }
    }

    /// Until something is to be done.
    private func pause() {
        monitor.locked {
            if !waiting.isEmpty || stopping { return }
            let now = time.monotonicNanoseconds()
            let due = session.wakeAt
            if due == .max { return monitor.wait() }
            if due > now { _ = monitor.wait(nanoseconds: min(due - now, 3600 * Self.second)) }
        }
    }

    private func handle(_ event: HubSession.Event) {
        let effects = session.handle(event, at: time.monotonicNanoseconds())
        for effect in effects { perform(effect) }
        if shown != session.status {
            shown = session.status
            show()
        }
    }

    private func perform(_ effect: HubSession.Effect) {
        switch effect {
        case .connect: connect()
        case .disconnect:
            client?.disconnect()
            client = nil
        case .subscribe(let filter): send { (client) throws(MQTTError) in try client.subscribe(filter) }
        case .publish(let topic, let payload):
            send { (client) throws(MQTTError) in try client.publish(topic, Array(payload.utf8)) }
        case .whole(let text): receiver?.hubBrought(.whole(text))
        case .document(let text): receiver?.hubBrought(.document(text))
        case .method(let name, let id, let payload):
            receiver?.hubBrought(.method(name: name, id: id, payload: payload))
        case .keep(let patch): outbox.write(patch)
        case .note(let problem): StandardStream.error.line("kedged: " + Failure(problem).line)
        case .provision: provision()
        }
    }

    private func connect() {
        client = nil
        let now = time.realSeconds()
        if configuration.hasKey, now < timeFloor - 86400 { return handle(.refused(.clock)) }
        guard let access else { return provision() }
        do throws(MQTTError) {
            client = try MQTTClient(access.settings(now: now))
        } catch {
            handle(.refused(.connection(Failure(error))))
        }
    }

    /// Asks the service for the hub, at first and when the hub refused us again and again: it may have moved the device.
    private func provision() {
        guard let provisioning else { return }
        do throws(Failure) {
            let assignment = try provisioning.run { monitor.locked { stopping } }
            do throws(ServiceError) {
                access = try HubAccess(configuration, assignment: assignment)
            } catch {
                throw Failure(error)
            }
            handle(.provisioned)
        } catch {
            if access == nil { return handle(.refused(.connection(error))) }
            StandardStream.error.line("kedged: " + error.line)
        }
    }

    private func send(_ body: (MQTTClient) throws(MQTTError) -> Void) {
        guard let client else { return }
        do throws(MQTTError) {
            try body(client)
        } catch {
            self.client = nil
            handle(.lost(.connection(Failure(error))))
        }
    }

    /// What the file says, for another process; nil when there is none.
    static func lastStatus(_ configuration: HubConfiguration) -> JSONValue? {
        JSONValue(keptIn: configuration.status, limit: 64 * 1024)
    }

    /// For `kedged status`. That nobody can read it stops nothing.
    private func show() {
        let status = session.status
        var since: JSONValue = .null
        if status.state == .connected, let connectedAt = status.connectedAt {
            let age = (time.monotonicNanoseconds() - connectedAt) / Self.second
            since = .integer(time.realSeconds() - Int64(age))
        }
        let document = JSONValue.members([
            ("hub", access.map { .string($0.identity.hub) } ?? .null),
            ("identity", access.map { .string($0.identity.clientIdentifier) } ?? .null),
            ("state", .string(status.state.rawValue)), ("connectedSince", since),
            ("connections", .integer(Int64(clamping: status.connections))),
            ("losses", .integer(Int64(clamping: status.losses))),
            ("problem", status.problem.map { ReportedDocument.failure(Failure($0)) } ?? .null),
        ])
        do throws(SystemError) {
            try FileSystem.makeDirectories(FileSystem.parent(of: configuration.status))
            try FileSystem.replace(configuration.status, with: document.bytes)
        } catch {
            if shownProblem { return }
            shownProblem = true
            StandardStream.error.line("kedged: " + Failure(error).line)
        }
    }
    private var shownProblem = false
}

/// The reported patch that is not delivered yet, in a file of the data directory (0600; at most some tens of KiB).
final class HubOutbox: Sendable {
    private let path: String
    private static let limit = 256 * 1024

    init(_ path: String) { self.path = path }

    /// Nil when nothing is there, or nothing that can be read: the next report brings the whole section again.
    func read() -> JSONValue? {
        let value = JSONValue(keptIn: path, limit: Self.limit)
        if case .object? = value { return value }
        return nil
    }

    /// Replaces it as a whole, or removes it.
    func write(_ patch: JSONValue?) {
        do throws(SystemError) {
            if let patch {
                try FileSystem.replace(path, with: patch.bytes, mode: 0o600)
            } else {
                try FileSystem.remove(path)
            }
        } catch {
            StandardStream.error.line("kedged: " + Failure(error).line)
        }
    }
}
