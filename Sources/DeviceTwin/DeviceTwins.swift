internal import StrictJSON

/// All that this device understands of its twin: the native section and the dialects beside it, over one engine.
///
/// Each machine is a value that takes `TwinMachine.Event` and gives `TwinMachine.Effect`. What it does not know, it
/// answers with nothing; a machine that knows a direct method answers it with exactly one `respond`, at once or later.
public struct DeviceTwins: Sendable {
    private var native = TwinMachine()
    private var thingsPro = ThingsProMachine()

    private var deviceUpdate: DeviceUpdateMachine?

    /// `deviceUpdate` where this device is one of Azure Device Update's.
    public init(deviceUpdate: DeviceUpdateMachine? = nil) { self.deviceUpdate = deviceUpdate }

    /// Hands an event to every machine, and gives what they want done, in their order.
    public mutating func handle(_ event: TwinMachine.Event) -> [TwinMachine.Effect] {
        let effects = native.handle(event) + thingsPro.handle(event) + (deviceUpdate?.handle(event) ?? [])
        guard case .method(let name, let id, _) = event, !Self.methods.contains(name) else { return effects }
        return effects + [.respond(id: id, status: 404, payload: Self.unknownMethod(name))]
    }

    /// Names of the direct methods that a machine answers. A dialect adds its own.
    public static let methods: [String] = ThingsProMachine.methods

    private static func unknownMethod(_ name: String) -> JSONValue {
        let known = name.utf8.prefix(64).allSatisfy { $0 > 0x20 && $0 < 0x7f } ? name : "?"
        return .members([
            ("code", .string("method.unknown")), ("text", .string("this device has no method \(known)")),
        ])
    }
}
