public import Platform

/// Why a rollout cannot be planned or moved on.
public enum RolloutError: StableError, Equatable, Sendable {
    /// The plan is not what it must be.
    case plan(why: String)
    /// A file cannot be read or written.
    case file(path: String, why: String)
    /// The connection string is not there or not whole; its text is never repeated.
    case connectionString(why: String)
    /// The hub cannot be reached.
    case network(host: String, why: String)
    /// The hub refused a request.
    case service(operation: String, status: Int, why: String)
    /// The key of the connection string does not open the service API.
    case unauthorized(policy: String)
    /// The hub refuses a condition of the plan.
    case condition(ring: String, why: String)
    /// No device is in a ring.
    case emptyRing(String)
    /// The hub holds this rollout with another plan.
    case changed(name: String)
    /// The hub has no such rollout.
    case unknown(name: String)
    /// Somebody else changed the rollout in the same moment.
    case raced(name: String)
    /// The rollout is halted, by its own rule or by a person.
    case halted(name: String, reason: String)
    /// Nothing is halted.
    case notHalted(name: String)

    public var code: String {
        switch self {
        case .plan: "rollout.plan"
        case .file: "rollout.file"
        case .connectionString: "rollout.connection-string"
        case .network: "rollout.network"
        case .service: "rollout.service"
        case .unauthorized: "rollout.unauthorized"
        case .condition: "rollout.condition"
        case .emptyRing: "rollout.empty-ring"
        case .changed: "rollout.changed"
        case .unknown: "rollout.unknown"
        case .raced: "rollout.raced"
        case .halted: "rollout.halted"
        case .notHalted: "rollout.not-halted"
        }
    }

    public var category: ErrorCategory {
        switch self {
        case .plan, .connectionString, .condition, .emptyRing, .unauthorized: .configuration
        case .file: .storage
        case .network, .service: .network
        case .changed, .unknown, .raced, .notHalted: .state
        case .halted: .health
        }
    }

    public var context: String {
        switch self {
        case .plan(let why): "the plan: \(why)"
        case .file(let path, let why): "\(path): \(why)"
        case .connectionString(let why): "the connection string: \(why)"
        case .network(let host, let why): "\(host) cannot be reached: \(why)"
        case .service(let operation, let status, let why): "the hub answered \(status) to \(operation): \(why)"
        case .unauthorized(let policy): "the hub does not let the policy \(policy) in"
        case .condition(let ring, let why): "the hub refuses the condition of ring \(ring): \(why)"
        case .emptyRing(let ring): "no device is in ring \(ring)"
        case .changed(let name): "the hub holds rollout \(name) with another plan"
        case .unknown(let name): "the hub has no rollout \(name)"
        case .raced(let name): "rollout \(name) was changed by somebody else just now"
        case .halted(let name, let reason): "rollout \(name) is halted: \(reason)"
        case .notHalted(let name): "rollout \(name) is not halted"
        }
    }

    public var remedy: String {
        switch self {
        case .plan: "Correct it, or make a new one with kedge rollout plan"
        case .file: "Check the path and its permissions"
        case .connectionString:
            "Give a service connection string in KEDGE_HUB_CONNECTION or with --connection FILE, as "
                + "'az iot hub connection-string show' prints it"
        case .network: "Check the network, the host name and --ca, and run the command again; it goes on where it was"
        case .service: "Run the command again later; if it persists, look at the hub's own messages"
        case .unauthorized: "Use a policy with the rights registry read, registry write and service connect"
        case .condition: "Correct the condition; see the IoT Hub query language"
        case .emptyRing: "Correct its condition, register the devices first, or give it a larger share"
        case .changed: "Use the plan that it was started with, or give the new one another name"
        case .unknown: "Start it with kedge rollout apply"
        case .raced: "Run the command again"
        case .halted:
            "Look at kedge rollout status; go on with kedge rollout resume, or end it with kedge rollout remove"
        case .notHalted: "Nothing needs to be resumed; kedge rollout apply moves it on"
        }
    }
}
