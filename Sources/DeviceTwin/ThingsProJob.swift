internal import Platform
internal import StrictJSON

/// A software upgrade as ThingsPro Edge calls it, and how its clients read it: `installations` in the reported
/// properties, and the same object in answers of the REST interface behind `thingspro-api-v1`.
struct ThingsProJob: Equatable, Sendable {
    /// Of jobs and of tasks. Two are misspelt in the vendor's interface, and clients compare these very words.
    enum State: String, Sendable {
        case created, pending, running, succeed, failed, canceling, canceled
        case suspending = "suppending"
        case suspended = "suppended"
        case resuming

        /// Nothing more happens to the job.
        var isFinal: Bool { self == .succeed || self == .failed || self == .canceled }
    }

    /// One step of a job, in the order in which they are done.
    struct Task: Equatable, Sendable {
        let type: String
        var name: String
        var state = State.created
        /// Percent.
        var progress: Int64 = 0
        /// Bytes; 0 while unknown.
        var totalSize: Int64 = 0
    }

    let id: Int64
    /// The engine's attempt, which a job that installs an earlier download shares with the one that made it.
    let attempt: String
    /// Without query, where a signature could be.
    let url: String
    let downloads: Bool
    let installs: Bool
    /// The job whose download is installed.
    let source: Int64?
    var state = State.created
    /// What it did before it was suspended.
    var lastState = ""
    var message = ""
    var isDeleted = false
    var tasks: [Task]

    init(id: Int64, attempt: String, url: String, downloads: Bool, installs: Bool, source: Int64? = nil) {
        self.id = id
        self.attempt = attempt
        self.url = url
        self.downloads = downloads
        self.installs = installs
        self.source = source
        let name = url.utf8.split(separator: 0x2f).last.map { String(decoding: Array($0), as: UTF8.self) } ?? "update"
        tasks = []
        if downloads { tasks.append(Task(type: "download", name: name)) }
        if installs { tasks.append(Task(type: "install", name: "Install \(name)")) }
    }

    /// Most tasks of any job: surplus members of an earlier report are taken out.
    static let taskLimit = 2

    private var completed: Int { tasks.count { $0.state == .succeed } }

    private var parameter: JSONValue {
        var members: [(String, JSONValue)] = [("download", .bool(downloads)), ("install", .bool(installs))]
        if let source { members.append(("jobID", .integer(source))) }
        if !url.isEmpty { members.append(("url", .string(url))) }
        return .members(members)
    }

    /// The reported section, as a merge patch: every member is written, absent ones as null. Arrays are objects with
    /// `arraySize`, as the vendor's agent writes them.
    var reported: JSONValue {
        var list: [(String, JSONValue)] = []
        for index in 0..<Self.taskLimit {
            list.append(("\(index)", index < tasks.count ? Self.json(tasks[index]) : .null))
        }
        list.append(("arraySize", .integer(Int64(tasks.count))))
        var parameters: [(String, JSONValue)] = [("jobID", .null), ("url", .null)]
        if case .object(let members) = parameter {
            parameters = parameters.filter { name, _ in !members.contains { $0.name == name } }
            for member in members { parameters.append((member.name, member.value)) }
        }
        return .members([
            ("completedTask", .integer(Int64(completed))), ("id", .integer(id)), ("isDeleted", .bool(isDeleted)),
            ("jobID", .integer(id)), ("lastState", .string(lastState)), ("owner", .string(Self.owner)),
            ("parameter", .members(parameters)), ("state", .string(state.rawValue)),
            ("errorMessage", .text(message)), ("totalTask", .integer(Int64(tasks.count))),
            ("tasks", .members(list)),
        ])
    }

    /// The object of the REST interface.
    var answer: JSONValue {
        var members: [(String, JSONValue)] = [
            ("id", .integer(id)), ("owner", .string(Self.owner)), ("state", .string(state.rawValue)),
            ("lastState", .string(lastState)), ("parameter", parameter),
            ("tasks", .array(tasks.map { Self.json($0) })), ("totalTask", .integer(Int64(tasks.count))),
            ("completedTask", .integer(Int64(completed))), ("isDeleted", .bool(isDeleted)),
        ]
        if !message.isEmpty { members.append(("errorMessage", .string(message))) }
        return .members(members)
    }

    private static let owner = "admin"

    private static func json(_ task: Task) -> JSONValue {
        .members([
            ("type", .string(task.type)), ("name", .string(task.name)), ("progress", .integer(task.progress)),
            ("totalSize", .integer(task.totalSize)), ("state", .string(task.state.rawValue)),
        ])
    }
}
