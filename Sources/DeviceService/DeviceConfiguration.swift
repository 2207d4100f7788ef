internal import BootControl
internal import BundleFormat
internal import Floors
internal import Platform
internal import Slots
internal import UpdateEngine

/// `device.ini`: who the device is, where its slots and its boot record are. See `kedged --help` for every key.
struct DeviceConfiguration: Sendable {
    /// The boot record's home.
    enum Boot: Equatable, Sendable {
        case simulated(record: String)
        case uboot(
            UBootEnvironmentHome.Counting, UBootEnvironmentHome.Location, UBootEnvironmentHome.Location)
        case blocks(ScriptBlocksHome.Form, UBootEnvironmentHome.Location, UBootEnvironmentHome.Location)
        case systemdBoot(entries: String, record: String)
        case efi(a: UInt16, b: UInt16, record: String)
    }
    /// Words of the two commands that select a firmware bank.
    struct Banks: Equatable, Sendable {
        let a: [String]
        let b: [String]
    }
    var identity: DeviceIdentity
    /// Directory for the journal and kept heads.
    var data: String
    /// Bytes that must stay free on the file systems of the data directory and of stores.
    var reserve: UInt64
    /// `root.json`.
    var trust: String
    var boot: Boot
    /// Nil on machines with one bank, or whose banks nobody has to select.
    var banks: Banks?
    /// File with the kernel command line.
    var commandLine: String
    /// The firmware's variables (efivarfs) and its table of what can be updated.
    var variables: String
    var firmwareTable: String
    var tries: UInt8
    /// Words of the reboot command; nil when somebody else reboots.
    var reboot: [String]?
    var slots: [SlotConfiguration]
    /// Words of the health check; empty when there is none.
    var health: [String]
    /// Seconds; the shorter of this and the release's own deadline counts. Nil: only the release's.
    var healthDeadline: UInt32?
    var network: NetworkConfiguration
    var download: DownloadPolicy
    var floor: FloorPlace
    /// The channel that the device follows, if any.
    var channel: ChannelPlace?
    /// The hub to talk to, if any.
    var hub: HubConfiguration?

    /// Where it is by default.
    static let defaultPath = "/etc/kedge/device.ini"
    private static let sections =
        ["device", "trust", "floor", "channel", "boot", "health", "delta", HubConfiguration.section]
        + NetworkConfiguration.sections

    /// Reads and checks the file. Paths are not looked at yet.
    init(path: String) throws(ServiceError) {
        var reader = try ConfigurationReader(path: path)
        let vendor = try reader.required("device", "vendor")
        let deviceClass = try reader.required("device", "class")
        let hardware = try reader.number("device", "hardware", 0...UInt64(UInt32.max), default: nil)
        identity = DeviceIdentity(
            id: try reader.required("device", "id"), vendor: vendor, deviceClass: deviceClass,
            hardware: UInt32(hardware))
        data = reader.optional("device", "data") ?? "/var/lib/kedge"
        reserve = try reader.bytes("device", "reserve", 0...1_000_000_000_000, default: ContainerStoreSlot.reserve)
        trust = reader.optional("trust", "root") ?? "/etc/kedge/root.json"
        boot = try Self.boot(&reader)
        banks = try Self.banks(&reader)
        commandLine = reader.optional("boot", "cmdline") ?? "/proc/cmdline"
        variables = reader.optional("boot", "efivars") ?? EFIVariables.place
        firmwareTable = reader.optional("boot", "esrt") ?? FirmwareResource.table
        // More than nine no boot script can count, and BootNext starts an option once.
        let most: UInt64 = if case .efi = boot { 1 } else { 9 }
        tries = UInt8(try reader.number("boot", "tries", 1...most, default: min(most, 3)))
        let command = reader.optional("boot", "reboot") ?? "/sbin/reboot"
        reboot = command == "none" ? nil : Self.words(command)
        if let reboot, reboot.isEmpty { throw reader.problem("[boot] reboot is empty; write none for no reboot") }
        health = Self.words(reader.optional("health", "command") ?? "")
        let deadline = try reader.number("health", "deadline", 0...86400, default: 0)
        healthDeadline = deadline == 0 ? nil : UInt32(deadline)
        network = try NetworkConfiguration(&reader)
        download = try DownloadPolicy(&reader)
        floor = try FloorPlace(&reader)
        channel = try ChannelPlace(&reader)
        hub = try HubConfiguration(&reader)
        slots = try Self.slots(&reader)
        try reader.finish(known: Self.sections)
    }

    /// Splits at spaces; there is no quoting, and no shell runs.
    static func words(_ text: String) -> [String] {
        text.utf8.split(separator: 0x20).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func boot(_ reader: inout ConfigurationReader) throws(ServiceError) -> Boot {
        let backend = try reader.required("boot", "backend")
        switch backend {
        case "simulated": return .simulated(record: try reader.required("boot", "record"))
        case "uboot", "uboot-bootcount":
            let (first, second) = try environments(&reader)
            return .uboot(backend == "uboot" ? .script : .bootcount, first, second)
        case "uboot-script", "grub":
            let (first, second) = try environments(&reader)
            return .blocks(backend == "grub" ? .grub : .uboot, first, second)
        case "systemd-boot":
            return .systemdBoot(
                entries: try reader.required("boot", "entries"), record: try reader.required("boot", "record"))
        case "efi":
            return .efi(
                a: try bootOption(&reader, "entry-a"), b: try bootOption(&reader, "entry-b"),
                record: try reader.required("boot", "record"))
        default:
            throw reader.problem(
                "[boot] backend = \(backend) must be simulated, uboot, uboot-script, uboot-bootcount, grub, "
                    + "systemd-boot or efi")
        }
    }

    /// The two copies of a boot loader's environment.
    private static func environments(
        _ reader: inout ConfigurationReader
    ) throws(ServiceError) -> (UBootEnvironmentHome.Location, UBootEnvironmentHome.Location) {
        let first = try reader.required("boot", "environment1")
        let second = try reader.required("boot", "environment2")
        guard let one = UBootEnvironmentHome.Location(text: first),
            let two = UBootEnvironmentHome.Location(text: second)
        else { throw reader.problem("[boot] environment1 and environment2 must be PATH OFFSET SIZE") }
        return (one, two)
    }

    /// The four hexadecimal digits behind `Boot` in the name of a firmware's boot option.
    private static func bootOption(_ reader: inout ConfigurationReader, _ key: String) throws(ServiceError) -> UInt16 {
        let text = try reader.required("boot", key)
        guard text.utf8.count == 4, let number = UInt16(text, radix: 16) else {
            throw reader.problem("[boot] \(key) = \(text) must be the four hexadecimal digits of Boot####")
        }
        return number
    }

    /// Both commands or neither.
    private static func banks(_ reader: inout ConfigurationReader) throws(ServiceError) -> Banks? {
        let a = words(reader.optional("boot", "bank-a") ?? "")
        let b = words(reader.optional("boot", "bank-b") ?? "")
        if a.isEmpty && b.isEmpty { return nil }
        if a.isEmpty || b.isEmpty { throw reader.problem("[boot] needs both bank-a and bank-b, or neither") }
        return Banks(a: a, b: b)
    }

    /// Sections `slot NAME a` and `slot NAME b`; each name needs both.
    private static func slots(_ reader: inout ConfigurationReader) throws(ServiceError) -> [SlotConfiguration] {
        var slots: [SlotConfiguration] = []
        var names: [(target: Identifier, set: String)] = []
        for section in reader.sectionNames where section.utf8.starts(with: "slot ".utf8) {
            let parts = words(section)
            guard parts.count == 3, let target = Identifier(parts[1]), SlotSet(letter: parts[2]) != nil else {
                throw reader.problem("[\(section)] must be [slot NAME a] or [slot NAME b]")
            }
            if names.contains(where: { $0.target == target && $0.set == parts[2] }) {
                throw reader.problem("slot \(target) \(parts[2]) is there twice")
            }
            names.append((target: target, set: parts[2]))
            slots.append(try slot(&reader, section, target, parts[2]))
        }
        for name in names where !names.contains(where: { $0.target == name.target && $0.set != name.set }) {
            throw reader.problem("slot \(name.target) needs both [slot \(name.target) a] and [slot \(name.target) b]")
        }
        if slots.isEmpty { throw reader.problem("there is no [slot NAME a] section") }
        try checkOverlaps(slots, reader)
        return slots
    }

    /// Two slots on the same bytes would let an update overwrite what runs. A store is shared by design.
    private static func checkOverlaps(
        _ slots: [SlotConfiguration], _ reader: ConfigurationReader
    ) throws(ServiceError) {
        for (index, first) in slots.enumerated() {
            for second in slots[(index + 1)...] {
                guard let a = first.extent, let b = second.extent, a.path == b.path else { continue }
                if a.range.overlaps(b.range) {
                    throw reader.problem("slots \(first.name) and \(second.name) have bytes of \(a.path) in common")
                }
            }
        }
    }

    /// One slot section.
    private static func slot(
        _ reader: inout ConfigurationReader, _ section: String, _ target: Identifier, _ set: String
    ) throws(ServiceError) -> SlotConfiguration {
        let all: ClosedRange<UInt64> = 0...BundleLimits.bundle
        let path = try reader.required(section, "path")
        let place: SlotConfiguration.Place
        switch try reader.required(section, "type") {
        case "block":
            let size = try reader.number(section, "size", all, default: 0)
            let offset = try reader.number(section, "offset", all, default: 0)
            place = .block(path: path, offset: offset, size: size == 0 ? nil : size)
        case "flash":
            place = .flash(
                path: path, offset: try reader.number(section, "offset", all, default: 0),
                size: try reader.number(section, "size", all, default: nil),
                eraseSize: try reader.number(section, "erase", all, default: nil))
        case "capsule": place = .capsule(path: path, system: try reader.required(section, "esp"))
        case "store": place = .store(path: path)
        case let other: throw reader.problem("[\(section)] type = \(other) must be block, flash, capsule or store")
        }
        return SlotConfiguration(target: target, generation: set, place: place)
    }
}

extension SlotConfiguration {
    /// The bytes of a file or device that the slot takes; nil for a store.
    fileprivate var extent: (path: String, range: Range<UInt64>)? {
        switch place {
        case .block(let path, let offset, let size): (path, offset..<(size.map { offset + $0 } ?? .max))
        case .flash(let path, let offset, let size, _): (path, offset..<(offset + size))
        case .capsule(let path, _): (path, 0..<UInt64.max)
        case .store: nil
        }
    }
}
