public import Platform

/// Why a simulation cannot be run or replayed, and that it found something.
public enum SimulationError: StableError, Equatable, Sendable {
    /// A trace cannot be used.
    case trace(path: String, why: String)
    /// A trace belongs to something else.
    case otherTrace(path: String, what: String)
    /// A step of a trace leads elsewhere now.
    case diverged(step: Int, text: String)
    /// A rule is broken.
    case broken(rule: String, trace: String?)
    /// There is no such seeded bug.
    case noBug(String)

    public var code: String {
        switch self {
        case .trace: "simulate.trace"
        case .otherTrace: "simulate.other-trace"
        case .diverged: "simulate.diverged"
        case .broken: "simulate.broken"
        case .noBug: "simulate.no-bug"
        }
    }
    public var category: ErrorCategory {
        switch self {
        case .trace: .configuration
        case .otherTrace, .diverged: .state
        case .broken: .simulation
        case .noBug: .usage
        }
    }
    public var context: String {
        switch self {
        case .trace(let path, let why): "\(path) is no trace that can be replayed: \(why)"
        case .otherTrace(let path, let what): "\(path) was written with another \(what)"
        case .diverged(let step, let text): "step \(step) of the trace leads elsewhere: \(text)"
        case .broken(let rule, _): "a rule is broken: \(rule)"
        case .noBug(let name): "there is no seeded bug \(name)"
        }
    }
    public var remedy: String {
        switch self {
        case .trace: "Give the file that kedge simulate wrote"
        case .otherTrace: "Give the files and options that the trace was written with"
        case .diverged: "This kedge does not do what the one that wrote the trace did: simulate anew"
        case .broken(_, let trace?): "Do not ship it; replay it with --replay \(trace), and report it"
        case .broken(_, nil): "Do not ship it, and report it"
        case .noBug: "Give one of those that the tests list"
        }
    }
}
