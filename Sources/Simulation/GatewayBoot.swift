public import BootControl
public import FactoryImage
public import Platform
public import StrictJSON

/// Switches a gateway on: attaches its media, plays its boot loader, and leaves the kernel command line for `kedged`.
public struct GatewayBoot: Sendable {
    /// All starts, the last one reached user space.
    public let starts: [SimulatedBoot.Start]
    /// The id of the boot that reached user space.
    public let bootID: String
    /// Slots of the running set that were never written; a real machine could not have started without a kernel.
    public let blank: [String]

    /// The slot set that runs now.
    public var slot: SlotSet { starts.last?.slot ?? .a }

    /// Powers on. `onStart` sees each start when it happens, as the line `line(for:on:)` makes of it.
    public static func run(
        _ gateway: Gateway, fault: SimulatedBoot.Fault? = nil, times: Int? = nil,
        random: any RandomSource = SystemRandom(), onStart: (String) -> Void = { _ in }
    ) throws(GatewayError) -> GatewayBoot {
        // What ran until now is gone, whatever becomes of this boot.
        do { try FileSystem.remove(gateway.commandLine) } catch { throw .system(error) }
        try gateway.attachMedia()
        let home = try gateway.bootHome()
        var blank: [SlotSet: [String]] = [:]
        for set in SlotSet.allCases {
            for slot in gateway.slots where slot.set == set && slot.name != "bios" {
                if try slot.isBlank() { blank[set, default: []].append(slot.name) }
            }
        }
        let starts: [SimulatedBoot.Start]
        do {
            starts = try SimulatedBoot(home: home).powerOn(fault: fault, times: times) { start in
                onStart(line(for: start, blank: blank[start.slot] ?? []))
            }
        } catch { throw .boot(error) }
        let slot = starts.last?.slot ?? .a
        do {
            let bootID = try randomUUID(from: random)
            let words = "console=ttyS0 kedge.slot=\(slot.letter) kedge.boot=\(bootID)\n"
            try FileSystem.replace(gateway.commandLine, with: Array(words.utf8))
            return GatewayBoot(starts: starts, bootID: bootID, blank: blank[slot] ?? [])
        } catch { throw .system(error) }
    }

    /// One start for people, for example `boot 1: slot b (trial, 2 tries left)`.
    static func line(for start: SimulatedBoot.Start, blank: [String]) -> String {
        let why =
            switch start.cause {
            case .steady: "steady"
            case .trial(let left): "trial, \(left) \(left == 1 ? "try" : "tries") left"
            case .fellBack(let reason): "fell back from \(start.slot.other.letter): \(reason.name)"
            }
        var line = "boot \(start.number): slot \(start.slot.letter) (\(why))"
        switch start.fault {
        case nil: break
        case .boot: line += ", panicked before user space"
        case .hang: line += ", hung before user space, reset by the watchdog"
        }
        if !blank.isEmpty { line += "; nothing was ever written to \(blank.joined(separator: " and "))" }
        return line
    }

    /// The boot for programs.
    public var json: JSONValue {
        .members([
            ("slot", .string(slot.letter)), ("bootId", .string(bootID)),
            ("blank", .array(blank.map { .string($0) })), ("boots", .array(starts.map(Self.json))),
        ])
    }

    private static func json(_ start: SimulatedBoot.Start) -> JSONValue {
        var members: [(String, JSONValue)] = [
            ("number", .integer(Int64(start.number))), ("slot", .string(start.slot.letter)),
        ]
        switch start.cause {
        case .steady: members.append(("cause", .string("steady")))
        case .trial(let left):
            members += [("cause", .string("trial")), ("triesLeft", .integer(Int64(left)))]
        case .fellBack(let reason):
            members += [("cause", .string("fell-back")), ("reason", .string(reason.name))]
        }
        members.append(("fault", start.fault.map { .string($0.rawValue) } ?? .null))
        return .members(members)
    }
}
