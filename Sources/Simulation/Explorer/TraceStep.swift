internal import StrictJSON

/// One step of a trace, so that it can be taken again.
struct TraceStep: Equatable, Sendable {
    let step: SampleStep
    let text: String
    /// Fingerprint of the state it leads to; empty where the rule is broken on the way.
    let state: String

    init(_ step: SampleStep, _ text: String, to state: String) {
        self.step = step
        self.text = text
        self.state = state
    }

    var json: JSONValue {
        var members: [(String, JSONValue)] = []
        switch step {
        case .begin: members.append(("do", .string("begin")))
        case .wanted: members.append(("do", .string("wanted")))
        case .end(let fault): members += [("do", .string("end")), ("fault", Self.json(fault))]
        case .cut(let index, let fault):
            members += [("do", .string("cut")), ("at", .integer(Int64(index))), ("fault", Self.json(fault))]
        case .kill(let index, let fault):
            members += [("do", .string("kill")), ("at", .integer(Int64(index))), ("fault", Self.json(fault))]
        }
        return .members(members + [("text", .string(text)), ("state", .string(state))])
    }

    /// Nil when it is none.
    init?(_ json: JSONValue) {
        guard let name = json["do"]?.text, let text = json["text"]?.text, let state = json["state"]?.text else {
            return nil
        }
        self.text = text
        self.state = state
        if name == "wanted" {
            step = .wanted
            return
        }
        var fault: SampleFault?
        if let value = json["fault"], value != .null {
            guard let known = Self.fault(value) else { return nil }
            fault = known
        }
        let index = json["at"]?.number.flatMap { Int(exactly: $0) }
        switch (name, index) {
        case ("end", nil): step = .end(fault)
        case ("cut", let index?) where index >= 0: step = .cut(index, fault)
        case ("kill", let index?) where index >= 0: step = .kill(index, fault)
        default: return nil
        }
    }

    private static func json(_ fault: SampleFault?) -> JSONValue {
        guard let fault else { return .null }
        let (kind, number) = parts(fault)
        var members: [(String, JSONValue)] = [("kind", .string(kind)), ("number", .integer(Int64(number)))]
        if case .writeFails(_, let error) = fault { members.append(("error", .integer(Int64(error)))) }
        return .members(members)
    }

    private static func parts(_ fault: SampleFault) -> (kind: String, number: Int) {
        switch fault {
        case .writeFails(let number, _): ("write-fails", number)
        case .flushFails(let number): ("flush-fails", number)
        case .writeLost(let number): ("write-lost", number)
        case .writeMisdirected(let number): ("write-misdirected", number)
        case .networkBreaks(let number): ("network-breaks", number)
        case .networkCorrupts(let number): ("network-corrupts", number)
        case .networkSwaps(let number): ("network-swaps", number)
        case .networkTruncates(let number): ("network-truncates", number)
        case .diskFull(let number): ("disk-full", number)
        }
    }

    private static func fault(_ json: JSONValue) -> SampleFault? {
        guard let kind = json["kind"]?.text, let value = json["number"]?.number, let number = Int(exactly: value),
            number >= 0
        else { return nil }
        switch kind {
        case "write-fails":
            guard let error = json["error"]?.number.flatMap({ Int32(exactly: $0) }), error > 0 else { return nil }
            return .writeFails(number, number: error)
        case "flush-fails": return .flushFails(number)
        case "write-lost": return .writeLost(number)
        case "write-misdirected": return .writeMisdirected(number)
        case "network-breaks": return .networkBreaks(number)
        case "network-corrupts": return .networkCorrupts(number)
        case "network-swaps": return .networkSwaps(number)
        case "network-truncates": return .networkTruncates(number)
        case "disk-full": return .diskFull(number)
        default: return nil
        }
    }
}
