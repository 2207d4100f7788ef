internal import BundleFormat
internal import Platform
internal import StrictJSON
internal import UpdateEngine

/// Azure Device Update's agent, as the component `deviceUpdate` of the twin: what the service desires, whether it is signed,
/// what the engine is told, and how it went in the service's own words.
///
/// A value without input or output. A deployment is known by its workflow id and its retry time: what is delivered again, or
/// found again after a restart, starts nothing and is reported as it ended. A release that failed or rolled back is tried
/// again only for a new deployment or a new retry time.
///
/// The service signs which Kedge manifest it wants (`installedCriteria`). The engine then accepts no other bundle from the
/// address, whatever that sends, and still checks the bundle's own signatures: it does not need the hash of the whole file,
/// and so can fetch only what is missing.
public struct DeviceUpdateMachine: Sendable {
    /// What the service groups devices by.
    public struct Identity: Equatable, Sendable {
        public var manufacturer: String
        public var model: String

        public init(manufacturer: String, model: String) {
            self.manufacturer = manufacturer
            self.model = model
        }
    }

    /// The model id that the connection announces, so that the service takes the device for one of its own.
    public static let modelID = "dtmi:azure:iot:deviceUpdateModel;3"
    /// Whether a model id is that of a Device Update device, of whatever version.
    public static func isModel(_ id: String) -> Bool { id.utf8.starts(with: "dtmi:azure:iot:deviceUpdateModel;".utf8) }
    static let contractID = "dtmi:azure:iot:deviceUpdateContractModel;3"

    /// A deployment that was accepted.
    private struct Deployment: Equatable, Sendable {
        let attempt: String
        /// As the service wrote it, for reports.
        let workflow: JSONValue
        let manifest: VerifiedUpdateManifest
        let url: String
    }

    private let identity: Identity
    private var trust: DeviceUpdateTrust
    private var status: EngineStatus?
    private var isAnnounced = false
    /// A desired section that came before the engine said where it stands.
    private var early: (service: JSONValue, version: Int64)?
    /// The service section that was handled last.
    private var handled: JSONValue?
    private var current: Deployment?
    private var isCanceling = false
    private var lastAgent: JSONValue?

    public init(_ identity: Identity, trust: DeviceUpdateTrust = DeviceUpdateTrust()) {
        self.identity = identity
        self.trust = trust
    }

    /// Takes a root-key package over; see `DeviceUpdateTrust.adopt`.
    public mutating func adopt(rootKeys package: String) throws(DeviceUpdateError) { try trust.adopt(package) }

    public mutating func handle(_ event: TwinMachine.Event) -> [TwinMachine.Effect] {
        switch event {
        case .document(let text), .whole(let text): return take(text)
        case .method, .idle: return []
        case .status(let status, _):
            self.status = status
            var effects = announce()
            if let (service, version) = early {
                early = nil
                effects += serve(service, version)
            }
            return effects + follow()
        }
    }

    // MARK: What the service desires

    private mutating func take(_ text: String) -> [TwinMachine.Effect] {
        let document: JSONValue
        do throws(JSONError) { document = try JSONValue.parse(text, limit: DesiredUpdate.limit) } catch { return [] }
        guard let service = document["deviceUpdate"]?["service"], service != .null else { return [] }
        // A new twin, whose reported half is empty, has to be told again, but nothing is started by that.
        if service == handled { return [] }
        let version = document["$version"]?.number ?? 0
        guard status != nil else {
            early = (service, version)
            return []
        }
        return serve(service, version)
    }

    private mutating func serve(_ service: JSONValue, _ version: Int64) -> [TwinMachine.Effect] {
        handled = service
        let effects: [TwinMachine.Effect]
        do throws(DeviceUpdateError) {
            effects = try obey(service)
        } catch {
            current = nil
            let agent = Self.result(
                state: .failed, workflow: service["workflow"] ?? .null, code: 0,
                extended: DeviceUpdateError.extended(error.category), details: "\(error.code): \(error.context)",
                hasStep: false)
            effects = tell(agent)
        }
        return [.report(Self.acknowledgement(service, version))] + effects
    }

    /// PnP's acknowledgement of a writable property; the two long members are not sent back, to spare the twin's room.
    private static func acknowledgement(_ service: JSONValue, _ version: Int64) -> JSONValue {
        var members: [JSONMember] = []
        if case .object(let all) = service {
            members = all.filter { $0.name != "updateManifestSignature" && $0.name != "fileUrls" }
        }
        members.append(JSONMember(name: "updateManifestSignature", value: .null))
        members.append(JSONMember(name: "fileUrls", value: .null))
        return component([
            (
                "service",
                .members([
                    ("ac", .integer(200)), ("av", .integer(version)), ("ad", .string("")), ("value", .object(members)),
                ])
            )
        ])
    }

    private mutating func obey(_ service: JSONValue) throws(DeviceUpdateError) -> [TwinMachine.Effect] {
        let workflow = service["workflow"] ?? .null
        guard let id = workflow["id"]?.text, !id.isEmpty, id.utf8.count <= 256 else {
            throw .service("workflow.id is missing")
        }
        switch workflow["action"]?.number {
        case 3: break
        case 255: return cancel(workflow, id)
        default: throw .service("workflow.action must be 3 or 255")
        }
        guard let text = service["updateManifest"]?.text, let signature = service["updateManifestSignature"]?.text
        else {
            throw .service("updateManifest and updateManifestSignature are needed")
        }
        let manifest = try trust.verify(text, signature: signature)
        guard let url = service["fileUrls"]?[manifest.file]?.text, !url.isEmpty else {
            throw .service("fileUrls has no address of \(manifest.file)")
        }
        let deployment = Deployment(
            attempt: Self.attempt(id, workflow["retryTimestamp"]?.text ?? ""), workflow: workflow, manifest: manifest,
            url: url)
        let isNew = current?.attempt != deployment.attempt
        current = deployment
        if isNew { isCanceling = false }
        if hasEnded(deployment.attempt) { return follow() }
        // Another address of the same deployment reaches the engine too: the former one may have run out.
        let update = DesiredUpdate(
            attempt: deployment.attempt, action: .install, url: url, manifest: manifest.manifest)
        return tell(progress(deployment, code: 400)) + [.start(update)]
    }

    private func hasEnded(_ attempt: String) -> Bool {
        status?.results.contains { $0.attempt == attempt } ?? false
    }

    private mutating func cancel(_ workflow: JSONValue, _ id: String) -> [TwinMachine.Effect] {
        guard let deployment = current, deployment.workflow["id"]?.text == id, !hasEnded(deployment.attempt) else {
            // Nothing is under way: the service only wants to see the device idle.
            current = nil
            return tell(
                Self.result(
                    state: .idle, workflow: workflow, code: -1, extended: Self.noError, details: "canceled",
                    hasStep: false))
        }
        isCanceling = true
        let update = DesiredUpdate(attempt: deployment.attempt, action: .cancel, url: "", manifest: nil)
        return [.requestCancel(deployment.attempt), .start(update)]
    }

    /// The engine's attempt id for a deployment at a retry time.
    static func attempt(_ id: String, _ retry: String) -> String {
        "adu-"
            + String(
                decoding: Array(SHA256.digest(of: Array("\(id)\n\(retry)".utf8)).hex.utf8.prefix(40)), as: UTF8.self)
    }

    // MARK: What is reported

    private enum State: Int64 {
        case idle = 0, inProgress = 6, failed = 255
    }

    private static let noError = "00000000"

    private static func component(_ members: [(String, JSONValue)]) -> JSONValue {
        .members([("deviceUpdate", .members([("__t", .string("c"))] + members))])
    }

    /// Once for each start: who this device is.
    private mutating func announce() -> [TwinMachine.Effect] {
        if isAnnounced { return [] }
        isAnnounced = true
        let properties = JSONValue.members([
            ("manufacturer", .string(identity.manufacturer)), ("model", .string(identity.model)),
            ("contractModelId", .string(Self.contractID)), ("aduVer", .string("DU;kedged/" + KedgeVersion.text)),
        ])
        let agent = JSONValue.members([
            ("deviceProperties", properties), ("compatPropertyNames", .string("manufacturer,model")),
        ])
        return [.report(Self.component([("agent", agent)]))]
    }

    /// Reports an agent state once.
    private mutating func tell(_ agent: JSONValue) -> [TwinMachine.Effect] {
        if agent == lastAgent { return [] }
        lastAgent = agent
        return [.report(Self.component([("agent", agent)]))]
    }

    /// The service knows no progress inside a deployment: only that it is under way, and that a reboot is due (709).
    private func progress(_ deployment: Deployment, code: Int64) -> JSONValue {
        Self.result(
            state: .inProgress, workflow: deployment.workflow, code: code, extended: Self.noError, details: "",
            hasStep: false)
    }

    private static func result(
        state: State, workflow: JSONValue, code: Int64, extended: String, details: String, hasStep: Bool,
        installed: String? = nil
    ) -> JSONValue {
        let outcome: [(String, JSONValue)] = [
            ("resultCode", .integer(code)), ("extendedResultCodes", .string(extended)),
            ("resultDetails", .string(details)),
        ]
        let steps: JSONValue = hasStep ? .members([("step_0", .members(outcome))]) : .null
        var members: [(String, JSONValue)] = [("state", .integer(state.rawValue)), ("workflow", workflow)]
        // A JSON text in a string, as the service compares it.
        if let installed { members.append(("installedUpdateId", .string(installed))) }
        members.append(("lastInstallResult", .members(outcome + [("stepResults", steps)])))
        return .members(members)
    }

    /// Takes over what the engine says of the deployment's attempt.
    private mutating func follow() -> [TwinMachine.Effect] {
        guard let deployment = current, let status else { return [] }
        if let result = status.results.last(where: { $0.attempt == deployment.attempt }) {
            return tell(end(deployment, result))
        }
        guard status.attempt?.id == deployment.attempt else { return [] }
        switch status.phase {
        case .armed, .rebooting: return tell(progress(deployment, code: 709))
        default: return tell(progress(deployment, code: 400))
        }
    }

    private func end(_ deployment: Deployment, _ result: AttemptResult) -> JSONValue {
        switch result.phase {
        case .confirmed:
            return Self.result(
                state: .idle, workflow: deployment.workflow, code: 700, extended: Self.noError, details: result.reason,
                hasStep: true, installed: deployment.manifest.updateID)
        case .canceled:
            var workflow = deployment.workflow
            if isCanceling, case .object(let members) = workflow {
                workflow = .object(
                    members.map { $0.name == "action" ? JSONMember(name: "action", value: .integer(255)) : $0 })
            }
            return Self.result(
                state: .idle, workflow: workflow, code: -1, extended: Self.noError, details: "canceled", hasStep: true)
        default:
            let failure = result.failure
            let reason = failure.map { "\($0.code): \($0.context)" } ?? result.reason
            let details = result.phase == .rolledBack ? "rolled back: \(reason)" : reason
            return Self.result(
                state: .failed, workflow: deployment.workflow, code: 0,
                extended: DeviceUpdateError.extended(failure?.category ?? .health), details: details, hasStep: true)
        }
    }
}
