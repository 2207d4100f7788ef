internal import BootControl
internal import BundleFormat
internal import DeviceTwin
internal import Messaging
internal import Platform

/// What `kedged doctor` finds between this device and its hub. Nothing of it stops an update, so all are warnings.
struct HubCheck {
    private(set) var findings: [BootFinding] = []
    private static let limit: UInt64 = 10_000_000_000

    /// Looks at secrets, the clock, the name, the route and TLS. The hub is asked in without any secret, and refuses.
    init(_ configuration: HubConfiguration, data: String) {
        let time = SystemTime()
        do throws(ServiceError) {
            guard let access = try HubAccess(configuration, assignment: AssignmentFile(data).read()) else {
                findings.append(
                    BootFinding(
                        .warning, code: "hub.unassigned",
                        context: "no provisioning service named this device's hub yet",
                        remedy: "Run kedged provision, or kedged run --agent iothub"))
                return
            }
            if configuration.hasKey, time.realSeconds() < KedgeVersion.made - 86400 { warn(HubProblem.clock) }
            look(access, time)
        } catch { warn(error) }
    }

    private mutating func warn<E: StableError>(_ error: E) {
        findings.append(BootFinding(.warning, code: error.code, context: error.context, remedy: error.remedy))
    }

    private mutating func look(_ access: HubAccess, _ time: SystemTime) {
        do throws(MQTTError) {
            let client = try MQTTClient(access.anonymousSettings)
            let end = time.monotonicNanoseconds() + Self.limit
            while time.monotonicNanoseconds() < end {
                for event in client.turn(milliseconds: 100) {
                    switch event {
                    // Whoever answers in MQTT behind TLS with the right name is a hub.
                    case .connected, .refused: return
                    case .lost(let error): throw error
                    case .message, .overflow: break
                    }
                }
            }
            warn(HubProblem.silent(seconds: Self.limit / 1_000_000_000))
        } catch { warn(error) }
    }
}
