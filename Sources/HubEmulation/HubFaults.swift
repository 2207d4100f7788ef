internal import StrictJSON

/// What the hub does wrong on purpose, for one identity or for all. Counts go down with each use; zero is off.
struct HubFaults: Equatable, Sendable {
    /// Answers and messages to the client that are lost.
    var lose: Int64 = 0
    /// Answers and messages that come twice.
    var duplicate: Int64 = 0
    /// Messages that come after the one behind them.
    var reorder: Int64 = 0
    /// Milliseconds that every answer and message waits.
    var delay: Int64 = 0
    /// Twin requests that are answered with `status` and nothing done.
    var refuse: Int64 = 0
    /// The status of refusals.
    var status: Int64 = 429
    /// Connections that are cut when the next packet comes, before it counts.
    var cut: Int64 = 0
    /// CONNECTs that are answered with "server unavailable".
    var unavailable: Int64 = 0
    /// CONNECTs that are answered with "not authorized".
    var unauthorized: Int64 = 0
    /// The connection stays open, and nothing is read or written any more: what a client sees of a dead line.
    var silent = false

    /// The switches of a JSON object; the name of the first one that is unknown or of a wrong type is the error.
    static func decode(_ object: JSONValue) -> Result<HubFaults, FaultProblem> {
        var faults = HubFaults()
        for member in object.objectMembers {
            if member.name == "silent", let flag = member.value.flag {
                faults.silent = flag
                continue
            }
            guard let path = counts.first(where: { $0.name == member.name })?.path, let number = member.value.number,
                (0...1_000_000).contains(number)
            else { return .failure(FaultProblem(name: member.name)) }
            faults[keyPath: path] = number
        }
        return .success(faults)
    }

    var json: JSONValue {
        .members(Self.counts.map { ($0.name, .integer(self[keyPath: $0.path])) } + [("silent", .bool(silent))])
    }

    /// Takes one of a count; false when none is left.
    mutating func take(_ path: WritableKeyPath<HubFaults, Int64>) -> Bool {
        if self[keyPath: path] == 0 { return false }
        self[keyPath: path] -= 1
        return true
    }

    private static var counts: [(name: String, path: WritableKeyPath<HubFaults, Int64>)] {
        [
            ("lose", \.lose), ("duplicate", \.duplicate), ("reorder", \.reorder), ("delay", \.delay),
            ("refuse", \.refuse), ("status", \.status), ("cut", \.cut), ("unavailable", \.unavailable),
            ("unauthorized", \.unauthorized),
        ]
    }
}

/// A switch that is not known, or whose value is no count.
struct FaultProblem: Error, Equatable {
    let name: String
}
