internal import Platform
internal import StrictJSON
internal import UpdateEngine

/// Moxa ThingsPro Edge's way to upgrade a gateway: the direct method `thingspro-software-upgrade`, jobs in the reported
/// section `installations`, and the part of the REST interface behind `thingspro-api-v1` that suspends, resumes and cancels
/// them. Back ends written for it work unchanged, but for the address of a `.kedge` bundle as `downloadURL`.
///
/// A value without input or output. Wishes are imperative here: a call makes a job. The same call again, while its job is
/// active, is answered with that job, because direct methods may come twice.
public struct ThingsProMachine: Sendable {
    /// The methods that it answers.
    public static let methods = ["thingspro-software-upgrade", "thingspro-api-v1", "system-reboot"]

    /// Attempt ids are this and the job's number.
    static let prefix = "thingspro-"
    /// Jobs that are remembered, for GET and for the install of an earlier download.
    private static let jobLimit = 8
    /// Progress alone is told at most this often, nanoseconds: a fleet shares its hub's limit of updates.
    public static let progressInterval: UInt64 = 5_000_000_000

    private var jobs: [ThingsProJob] = []
    private var status: EngineStatus?
    private var newest: Int64 = 0
    private var lastSection: JSONValue?
    private var lastReportAt: UInt64 = 0

    public init() {}

    public mutating func handle(_ event: TwinMachine.Event) -> [TwinMachine.Effect] {
        switch event {
        case .document, .whole: return []
        case .method(let name, let id, let payload): return call(name, id, payload)
        case .status(let status, let now):
            self.status = status
            learn(status)
            for index in jobs.indices where !jobs[index].state.isFinal { jobs[index].follow(status) }
            return report(now)
        case .idle: return settle()
        }
    }

    /// The only one that can be active.
    private var active: Int? { jobs.lastIndex { !$0.state.isFinal } }

    // MARK: Methods

    private struct Refusal: Error {
        let status: Int
        let text: String
    }

    private mutating func call(_ name: String, _ id: String, _ payload: String) -> [TwinMachine.Effect] {
        guard Self.methods.contains(name) else { return [] }
        do throws(Refusal) {
            var reader: JSONObjectReader
            do throws(JSONError) {
                let value = payload.isEmpty ? .object([]) : try JSONValue.parse(payload, limit: DesiredUpdate.limit)
                reader = try JSONObjectReader(value, at: "")
            } catch { throw Refusal(status: 400, text: error.context) }
            switch name {
            case "thingspro-software-upgrade": return try upgrade(id, &reader)
            case "thingspro-api-v1": return try request(id, &reader)
            default:
                return [.respond(id: id, status: 200, payload: Self.data(.string("rebooting"))), .reboot]
            }
        } catch {
            return [.respond(id: id, status: error.status, payload: Self.error(error.text))]
        }
    }

    private static func data(_ value: JSONValue) -> JSONValue { .members([("data", value)]) }

    private static func error(_ text: String) -> JSONValue {
        .members([("error", .members([("message", .string(text))]))])
    }

    private mutating func upgrade(
        _ id: String, _ reader: inout JSONObjectReader
    ) throws(Refusal) -> [TwinMachine.Effect] {
        let url: String?
        let source: Int64?
        let installs: Bool
        do throws(JSONError) {
            url = try reader.optionalString("downloadURL", limit: 4096)
            source = try reader.optionalInteger("id", in: 1...Int64(Int32.max))
            installs = try reader.optionalBool("runInstallation") ?? false
            try reader.finish()
        } catch { throw Refusal(status: 400, text: error.context) }
        switch (url, source) {
        case (let url?, nil): return try begin(id, url, installs: installs)
        case (nil, let source?):
            guard installs else { throw Refusal(status: 400, text: "a job by id can only be installed") }
            return try install(id, source)
        default: throw Refusal(status: 400, text: "one of downloadURL and id is needed")
        }
    }

    private mutating func begin(_ id: String, _ url: String, installs: Bool) throws(Refusal) -> [TwinMachine.Effect] {
        if url.isEmpty { throw Refusal(status: 400, text: "downloadURL is empty") }
        let shown = Self.shown(url)
        if let index = active {
            let job = jobs[index]
            if job.url == shown, job.installs == installs, job.downloads { return [Self.accepted(id, job)] }
            throw Self.busy(job)
        }
        try checkIdle()
        let job = make(attempt: nil, url: shown, downloads: true, installs: installs, source: nil)
        let update = DesiredUpdate(
            attempt: job.attempt, action: installs ? .install : .download, url: url, manifest: nil)
        return [Self.accepted(id, job), .start(update)] + reportNow()
    }

    /// An address without its query, which may hold a secret, and without its fragment.
    private static func shown(_ url: String) -> String {
        String(decoding: Array(url.utf8.prefix { $0 != 0x3f && $0 != 0x23 }), as: UTF8.self)
    }

    /// Installs what an earlier job downloaded.
    private mutating func install(_ id: String, _ source: Int64) throws(Refusal) -> [TwinMachine.Effect] {
        if let index = active {
            if jobs[index].source == source { return [Self.accepted(id, jobs[index])] }
            throw Self.busy(jobs[index])
        }
        guard let earlier = jobs.last(where: { $0.id == source }) else {
            throw Refusal(status: 404, text: "job \(source) does not exist")
        }
        // Only the newest download can still be there: the spare slot holds one release.
        guard earlier.downloads, earlier.state == .succeed, let status, status.attempt?.id == earlier.attempt,
            status.pause?.code == EngineError.stagedCode
        else { throw Refusal(status: 400, text: "job \(source) has no download that can be installed") }
        let job = make(attempt: earlier.attempt, url: earlier.url, downloads: false, installs: true, source: source)
        let update = DesiredUpdate(attempt: job.attempt, action: .resume, url: "", manifest: nil)
        return [Self.accepted(id, job), .requestResume(job.attempt), .start(update)] + reportNow()
    }

    /// Another updater's attempt is not interrupted by a call.
    private func checkIdle() throws(Refusal) {
        guard let status else { return }
        let isStaged = status.pause?.code == EngineError.stagedCode
        let isBusy = status.phase.isBeforeArming && !isStaged
        switch status.phase {
        case .armed, .rebooting, .trial: throw Refusal(status: 409, text: "an update waits for its end")
        default: if isBusy { throw Refusal(status: 409, text: "another update is under way") }
        }
    }

    private static func busy(_ job: ThingsProJob) -> Refusal {
        Refusal(status: 409, text: "job \(job.id) is active")
    }

    private static func accepted(_ id: String, _ job: ThingsProJob) -> TwinMachine.Effect {
        .respond(id: id, status: 200, payload: data(.members([("id", .integer(job.id))])))
    }

    private mutating func make(
        attempt: String?, url: String, downloads: Bool, installs: Bool, source: Int64?
    ) -> ThingsProJob {
        newest += 1
        let job = ThingsProJob(
            id: newest, attempt: attempt ?? "\(Self.prefix)\(newest)", url: url, downloads: downloads,
            installs: installs, source: source)
        jobs.append(job)
        if jobs.count > Self.jobLimit { jobs.removeFirst() }
        return job
    }

    // MARK: The REST interface

    /// `{"path": "/upgrades/3/suspend", "method": "PUT", "headers": [], "requestBody": {…} | "…"}`.
    private mutating func request(
        _ id: String, _ reader: inout JSONObjectReader
    ) throws(Refusal) -> [TwinMachine.Effect] {
        let path: String
        let method: String
        var body: JSONValue?
        do throws(JSONError) {
            path = try reader.string("path", limit: 256)
            method = try reader.string("method", limit: 8)
            _ = reader.optional("headers")
            body = reader.optional("requestBody")
            try reader.finish()
            if let text = body?.text, !text.isEmpty { body = try JSONValue.parse(text, limit: DesiredUpdate.limit) }
        } catch { throw Refusal(status: 400, text: error.context) }
        let words = path.utf8.split(separator: 0x2f).map { String(decoding: Array($0), as: UTF8.self) }
        guard words.first == "upgrades", words.count <= 3 else { throw Refusal(status: 404, text: "no such path") }
        if words.count == 1 {
            if method == "GET" {
                let list = JSONValue.array(jobs.filter { !$0.isDeleted }.map { $0.answer })
                return [.respond(id: id, status: 200, payload: Self.data(list))]
            }
            guard method == "POST" else { throw Refusal(status: 405, text: "GET and POST are known here") }
            return try post(id, body ?? .null)
        }
        guard let number = Int64(words[1]), let index = jobs.lastIndex(where: { $0.id == number }) else {
            throw Refusal(status: 404, text: "job \(words[1]) does not exist")
        }
        switch (method, words.count == 3 ? words[2] : "") {
        case ("GET", ""): return [answer(id, index)]
        case ("DELETE", ""):
            if jobs[index].isDeleted { throw Refusal(status: 400, text: "job \(number) is deleted already") }
            guard jobs[index].state.isFinal else { throw Self.notAllowed }
            jobs[index].isDeleted = true
            return [answer(id, index)] + reportNow()
        case ("PUT", "suspend"), ("PUT", "resume"), ("PUT", "cancel"): return try change(id, index, to: words[2])
        // Jobs start by themselves.
        case ("PUT", "start"): throw Self.notAllowed
        default: throw Refusal(status: 404, text: "no such path")
        }
    }

    private static let notAllowed = Refusal(status: 400, text: "state is not allowed to change")

    private func answer(_ id: String, _ index: Int) -> TwinMachine.Effect {
        .respond(id: id, status: 200, payload: Self.data(jobs[index].answer))
    }

    /// `{"url": …, "install": true}`, or `{"id": 2, "install": true}`; other members of the vendor's object are passed over.
    private mutating func post(_ id: String, _ body: JSONValue) throws(Refusal) -> [TwinMachine.Effect] {
        let installs = body["install"] == .bool(true)
        if let url = body["url"]?.text { return try begin(id, url, installs: installs) }
        guard let source = body["id"]?.number, installs else { throw Refusal(status: 400, text: "url is needed") }
        return try install(id, source)
    }

    private mutating func change(_ id: String, _ index: Int, to wish: String) throws(Refusal) -> [TwinMachine.Effect] {
        let job = jobs[index]
        // Once the release is armed, only its trial decides.
        let isEarly = status.map { $0.attempt?.id != job.attempt || $0.phase.isBeforeArming } ?? true
        guard !job.state.isFinal, isEarly else { throw Self.notAllowed }
        switch (wish, job.state) {
        case ("suspend", .created), ("suspend", .pending), ("suspend", .running):
            jobs[index].lastState = job.state.rawValue
            jobs[index].setState(.suspending)
            return [answer(id, index), .requestPause(job.attempt)] + reportNow()
        case ("resume", .suspended), ("resume", .suspending):
            jobs[index].setState(.resuming)
            let update = DesiredUpdate(attempt: job.attempt, action: .resume, url: "", manifest: nil)
            return [answer(id, index), .requestResume(job.attempt), .start(update)] + reportNow()
        case ("cancel", let state) where state != .canceling:
            jobs[index].setState(.canceling)
            let update = DesiredUpdate(attempt: job.attempt, action: .cancel, url: "", manifest: nil)
            return [answer(id, index), .requestCancel(job.attempt), .start(update)] + reportNow()
        default: throw Self.notAllowed
        }
    }

    // MARK: What became of them

    /// After a restart the engine's own record says which job there was.
    private mutating func learn(_ status: EngineStatus) {
        var known = status.results.map { $0.attempt }
        if let id = status.attempt?.id { known.append(id) }
        for attempt in known where attempt.utf8.starts(with: Self.prefix.utf8) {
            guard
                let number = Int64(
                    String(decoding: Array(attempt.utf8.dropFirst(Self.prefix.utf8.count)), as: UTF8.self))
            else { continue }
            newest = max(newest, number)
            if jobs.contains(where: { $0.attempt == attempt }) || attempt != status.attempt?.id { continue }
            let only = status.attempt?.staging ?? .none
            let url = Self.shown(status.attempt?.location ?? "")
            jobs.append(
                ThingsProJob(id: number, attempt: attempt, url: url, downloads: true, installs: only == .none))
        }
    }

    /// The engine has nothing more to do: a job of which it never took note could not begin.
    private mutating func settle() -> [TwinMachine.Effect] {
        guard let index = active, let status else { return [] }
        let job = jobs[index]
        let isKnown = status.attempt?.id == job.attempt || status.results.contains { $0.attempt == job.attempt }
        if isKnown || job.state != .created && job.state != .canceling { return [] }
        jobs[index].end(job.state == .canceling ? .canceled : .failed)
        if job.state != .canceling { jobs[index].message = "the update could not be started" }
        return reportNow()
    }

    private mutating func reportNow() -> [TwinMachine.Effect] { report(nil) }

    /// `now` nil: at once.
    private mutating func report(_ now: UInt64?) -> [TwinMachine.Effect] {
        guard let job = jobs.last else { return [] }
        let section = job.reported
        if section == lastSection { return [] }
        // Only while bytes come: a later phase may be the last change for long.
        if let now, status?.phase == .fetching, let lastSection, Self.still(section) == Self.still(lastSection),
            now &- lastReportAt < Self.progressInterval
        {
            return []
        }
        lastSection = section
        if let now { lastReportAt = now }
        return [.report(.members([("installations", section)]))]
    }

    /// The section without what moves all the time.
    private static func still(_ section: JSONValue) -> JSONValue {
        switch section {
        case .object(let members):
            .object(
                members.filter { $0.name != "progress" }.map { JSONMember(name: $0.name, value: still($0.value)) })
        default: section
        }
    }
}
