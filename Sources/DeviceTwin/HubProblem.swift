public import Platform

/// What keeps the device and its hub apart. None of them stops an update.
public enum HubProblem: StableError, Equatable, Sendable {
    /// The hub did not take the credentials (CONNACK 4 and 5).
    case unauthorized
    /// The hub is busy or of another kind (CONNACK's code).
    case refused(UInt8)
    /// No answer to a request, or to a connection, in time.
    case silent(seconds: UInt64)
    /// The connection ended again and again right after it began.
    case takeover(times: Int)
    /// A token cannot be made: the clock is wrong.
    case clock
    /// A reported patch was not taken.
    case reportRefused(status: Int)
    /// Something of a report was left out or shortened, because IoT Hub would take none of it.
    case reportCut(String)
    /// A request was put off by the hub (429, 5xx).
    case throttled(status: Int)
    /// A message that is none of IoT Hub's.
    case badMessage
    /// What the connection itself says.
    case connection(Failure)

    public var code: String {
        switch self {
        case .unauthorized: "hub.unauthorized"
        case .refused: "hub.refused"
        case .silent: "hub.silent"
        case .takeover: "hub.takeover"
        case .clock: "hub.clock"
        case .reportRefused: "hub.report-refused"
        case .reportCut: "hub.report-cut"
        case .throttled: "hub.throttled"
        case .badMessage: "hub.message"
        case .connection(let failure): failure.code
        }
    }
    public var category: ErrorCategory {
        if case .connection(let failure) = self { return failure.category }
        return .network
    }
    public var context: String {
        switch self {
        case .unauthorized: "the hub does not accept this identity or its key"
        case .refused(let code): "the hub refused the connection with code \(code)"
        case .silent(let seconds): "the hub did not answer in \(seconds) s"
        case .takeover(let times):
            "the connection ended \(times) times right after it began: another client may use the same identity"
        case .clock: "no token can be made, because the clock is wrong"
        case .reportRefused(let status): "the hub refused a report with status \(status)"
        case .reportCut(let what): "a report was cut to IoT Hub's limits: \(what)"
        case .throttled(let status): "the hub put a request off with status \(status)"
        case .badMessage: "the hub sent something that is not understood"
        case .connection(let failure): failure.context
        }
    }
    public var remedy: String {
        switch self {
        case .unauthorized: "Check the identity and its key or certificate in the hub and in [azure], and the clock"
        case .refused, .silent, .throttled: "It is tried again; look at the hub's health and quota if it stays so"
        case .takeover: "Give each client an identity of its own, for example a module identity for kedged"
        case .clock: "Set the clock, by NTP or from a battery, or use a certificate"
        case .reportRefused: "Compare the twin with IoT Hub's limits; newer reports are sent all the same"
        case .reportCut: "Nothing has to be done; kedged status has the whole text"
        case .badMessage: "Check that host in [azure] names an IoT Hub or an edge hub"
        case .connection(let failure): failure.remedy
        }
    }
}
