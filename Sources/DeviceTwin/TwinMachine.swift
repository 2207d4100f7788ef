internal import Platform
public import StrictJSON
public import UpdateEngine

/// Turns desired documents and the engine's changes into commands and reports: a value without input or output.
///
/// The desired state is a level, not an edge: a document that is delivered twice, late or out of order changes
/// nothing that its attempt id has not asked for already.
public struct TwinMachine: Sendable {
    /// What happened.
    public enum Event: Sendable {
        /// One JSON document came.
        case document(String)
        /// The whole desired state as it is now, which counts whatever its version: a twin that was made anew starts at
        /// version 1.
        case whole(String)
        /// A direct method was called. `id` goes with the answer; `payload` is JSON text, or empty.
        case method(name: String, id: String, payload: String)
        /// The engine's status changed; the time in nanoseconds (monotonic).
        case status(EngineStatus, at: UInt64)
        /// The engine finished what it was told to do.
        case idle
    }

    /// What to do.
    public enum Effect: Equatable, Sendable {
        case start(DesiredUpdate)
        /// Ask that attempt to stop.
        case requestCancel(String)
        /// Ask that attempt to pause, and take that back.
        case requestPause(String)
        case requestResume(String)
        /// Send a reported patch.
        case report(JSONValue)
        /// Answer a direct method, with a status like HTTP's.
        case respond(id: String, status: Int, payload: JSONValue)
        /// Reboot the device, as somebody asked for; work under way goes on after it.
        case reboot
    }

    private var busy = false
    /// The attempt that the engine was told to work on here, and the one that it works on or has paused, which it may
    /// have taken up by itself after a start.
    private var current: String?
    private var inWork: String?
    private var waiting: DesiredUpdate?
    private var done: [DesiredUpdate] = []
    private var newestVersion: Int64 = .min
    private var lastSection: JSONValue?
    private var lastReportAt: UInt64 = 0

    /// Progress is told at most this often; every other change is told at once.
    public static let progressInterval: UInt64 = 1_000_000_000
    private static let doneLimit = 32

    public init() {}

    public mutating func handle(_ event: Event) -> [Effect] {
        switch event {
        case .document(let text): return take(text)
        case .whole(let text):
            newestVersion = .min
            return take(text)
        // The native section is all that this machine needs.
        case .method: return []
        case .status(let status, let now):
            inWork = status.phase.isBeforeArming ? status.attempt?.id : nil
            return report(status, now)
        case .idle:
            busy = false
            current = nil
            guard let next = waiting else { return [] }
            waiting = nil
            return begin(next)
        }
    }

    private mutating func take(_ text: String) -> [Effect] {
        let decoded: (update: DesiredUpdate, version: Int64?)?
        do throws(JSONError) {
            decoded = try DesiredUpdate.decode(try JSONValue.parse(text, limit: DesiredUpdate.limit))
        } catch {
            return [.report(ReportedDocument.refusal(Failure(error)))]
        }
        guard let (update, version) = decoded else { return [] }
        if let version {
            // A push that is older than what was seen in this session is out of order.
            if version < newestVersion { return [] }
            newestVersion = version
        }
        if isRepeated(update) { return [] }
        done.append(update)
        if done.count > Self.doneLimit { done.removeFirst() }
        if update.action == .pause { return pause(update.attempt) }
        // Taken back at once and not in its turn, where it would undo a pause that came meanwhile.
        let first: [Effect] = update.action == .resume ? [.requestResume(update.attempt)] : []
        return first + follow(update)
    }

    /// An attempt may be paused and resumed any number of times: only the newest wish can be a repeated one.
    private func isRepeated(_ update: DesiredUpdate) -> Bool {
        switch update.action {
        case .pause, .resume: done.last == update
        case .install, .download, .cancel, .confirm, .rollback: done.contains(update) || waiting == update
        }
    }

    /// Stops what works, and keeps what waits for its turn from starting. Nothing has to be done in turn.
    private mutating func pause(_ attempt: String) -> [Effect] {
        let isKnown = [current, inWork, waiting?.attempt].contains(attempt)
        if let waiting, waiting.attempt == attempt, waiting.action == .resume { self.waiting = nil }
        if isKnown { return [.requestPause(attempt)] }
        return [.report(ReportedDocument.refusal(Failure(EngineError.nothingToPause)))]
    }

    private mutating func follow(_ update: DesiredUpdate) -> [Effect] {
        if !busy { return begin(update) + stop(for: update) }
        if update.action == .cancel {
            if waiting?.attempt == update.attempt { waiting = nil }
            return update.attempt == current ? [.requestCancel(update.attempt)] : []
        }
        waiting = update
        // A newer wish replaces the attempt in work, which stops at its next window.
        let replaces = update.action == .install || update.action == .download
        guard let current, replaces, update.attempt != current else { return [] }
        return [.requestCancel(current)]
    }

    /// What the engine took up by itself stops too, when it is canceled or replaced.
    private func stop(for update: DesiredUpdate) -> [Effect] {
        guard let inWork else { return [] }
        switch update.action {
        case .cancel: return update.attempt == inWork ? [.requestCancel(inWork)] : []
        case .install, .download: return update.attempt == inWork ? [] : [.requestCancel(inWork)]
        case .pause, .resume, .confirm, .rollback: return []
        }
    }

    private mutating func begin(_ update: DesiredUpdate) -> [Effect] {
        busy = true
        current = update.attempt
        return [.start(update)]
    }

    private mutating func report(_ status: EngineStatus, _ now: UInt64) -> [Effect] {
        let section = ReportedDocument.section(status)
        if section == lastSection { return [] }
        if let lastSection, Self.still(section) == Self.still(lastSection), now &- lastReportAt < Self.progressInterval
        {
            return []
        }
        lastSection = section
        lastReportAt = now
        return [.report(.members([("ota", section)]))]
    }

    /// The section without what moves all the time.
    private static func still(_ section: JSONValue) -> JSONValue {
        guard case .object(let members) = section else { return section }
        return .object(members.filter { $0.name != "progress" && $0.name != "bytes" })
    }
}
