internal import BootControl
internal import BundleFormat
internal import Platform
internal import Transfer
internal import UpdateEngine

/// Who brings wishes to `kedged run`, and takes reports.
enum RunAgent: String, Sendable {
    case none, stdio, iothub
}

/// What the user asked for.
struct CommandLineArguments: Equatable {
    enum Command: Equatable {
        case install(Wish)
        case status
        case confirm, rollback, pause, resume, cancel
        /// All raw slots of the running set, or one slot, of the running or the named set.
        case index(slot: Identifier?, set: SlotSet?)
        case run(once: Bool, agent: RunAgent)
        case trustShow
        case trustUpdate(location: String)
        case overrideRequest, overrideForget
        case channelUpdate
        case doctor(repair: Bool)
        case provision
        case floorShow
        case floorInit(ownerPassword: String?)
        case help, version

        /// What bundles are opened for.
        var sourceUse: ConfiguredSources.Use {
            switch self {
            case .install: .install
            case .run(let once, _): once ? .command : .service
            default: .command
            }
        }
    }

    /// What `install` is asked for.
    struct Wish: Equatable {
        var location: String
        var attempt: String?
        var manifest: Digest?
        /// More places of the bundle.
        var sources: [String] = []
        /// File of an override statement.
        var override: String?
    }
    var command: Command
    var configuration = DeviceConfiguration.defaultPath
    var json = false

    /// Parses the words behind the program's name.
    init(_ words: [String]) throws(ServiceError) {
        var plain: [String] = []
        var wish = Wish(location: "")
        var owner: String?
        var once = false
        var agent = RunAgent.none
        var repair = false
        var asked: Command?
        var index = 0
        command = .help
        func value(_ name: String) throws(ServiceError) -> String {
            index += 1
            guard index < words.count else { throw .usage("\(name) needs a value") }
            return words[index]
        }
        while index < words.count {
            switch words[index] {
            case "--config", "-c": configuration = try value("--config")
            case "--override": wish.override = try value("--override")
            case "--owner-password-file": owner = try value("--owner-password-file")
            case "--attempt": wish.attempt = try value("--attempt")
            case "--source": wish.sources.append(try value("--source"))
            case "--manifest":
                guard let digest = Digest(hex: try value("--manifest")) else {
                    throw .usage("--manifest needs the 64 hexadecimal digits of a SHA-256")
                }
                wish.manifest = digest
            case "--json": json = true
            case "--once": once = true
            case "--repair": repair = true
            case "--agent":
                let kind = try value("--agent")
                guard let known = RunAgent(rawValue: kind), known != .none else {
                    throw .usage("--agent \(kind) is not known; it is stdio or iothub")
                }
                agent = known
            case "--help", "-h": asked = .help
            case "--version": asked = asked ?? .version
            default:
                if words[index].utf8.first == 0x2d, !BundleLocation.isStandardInput(words[index]) {
                    throw .usage("the option \(words[index]) is not known")
                }
                plain.append(words[index])
            }
            index += 1
        }
        if let asked {
            command = asked
            return
        }
        if repair, plain.first != "doctor" { throw .usage("--repair belongs to doctor") }
        if plain == ["doctor"] {
            command = .doctor(repair: repair)
            return
        }
        command = try Self.command(plain, wish: wish, owner: owner, once: once, agent: agent)
    }

    private static func command(
        _ words: [String], wish: Wish, owner: String?, once: Bool, agent: RunAgent
    ) throws(ServiceError) -> Command {
        guard let name = words.first else { throw .usage("there is no command") }
        let takes =
            ["trust", "index"].contains(name)
            ? 3 : ["install", "floor", "override", "channel"].contains(name) ? 2 : 1
        if words.count > takes { throw .usage("\(words[takes]) is one word too many") }
        if wish != Wish(location: ""), name != "install" {
            throw .usage("--attempt, --manifest, --override and --source belong to install")
        }
        if wish.sources.count > Attempt.alternativesLimit {
            throw .usage("--source can be there \(Attempt.alternativesLimit) times")
        }
        if owner != nil, words != ["floor", "init"] {
            throw .usage("--owner-password-file belongs to floor init")
        }
        if once || agent != .none, name != "run" { throw .usage("--once and --agent belong to run") }
        if once, agent == .iothub { throw .usage("--once does not go with --agent iothub") }
        switch name {
        case "install":
            guard words.count == 2 else { throw .usage("install needs a URL, a file, or - for standard input") }
            var whole = wish
            whole.location = words[1]
            return .install(whole)
        case "status": return .status
        case "confirm": return .confirm
        case "rollback": return .rollback
        case "pause": return .pause
        case "resume": return .resume
        case "cancel": return .cancel
        case "index": return try index(words)
        case "provision": return .provision
        case "run": return .run(once: once, agent: agent)
        case "trust": return try trust(words)
        case "override":
            if words == ["override", "request"] { return .overrideRequest }
            if words == ["override", "forget"] { return .overrideForget }
            throw .usage("override needs request or forget")
        case "channel":
            if words == ["channel", "update"] { return .channelUpdate }
            throw .usage("channel needs update")
        case "floor":
            if words == ["floor", "show"] { return .floorShow }
            if words == ["floor", "init"] { return .floorInit(ownerPassword: owner) }
            throw .usage("floor needs show or init")
        case "help": return .help
        case "version": return .version
        default: throw .usage("\(name) is no command")
        }
    }

    private static func index(_ words: [String]) throws(ServiceError) -> Command {
        if words.count == 1 { return .index(slot: nil, set: nil) }
        guard let slot = Identifier(words[1]) else { throw .usage("\(words[1]) is no name of a slot") }
        if words.count == 2 { return .index(slot: slot, set: nil) }
        guard let set = SlotSet.allCases.first(where: { $0.letter == words[2] }) else {
            throw .usage("the slot set is a or b, not \(words[2])")
        }
        return .index(slot: slot, set: set)
    }

    private static func trust(_ words: [String]) throws(ServiceError) -> Command {
        if words.count == 2, words[1] == "show" { return .trustShow }
        if words.count == 3, words[1] == "update" { return .trustUpdate(location: words[2]) }
        throw .usage("trust needs show, or update and a file, directory or URL")
    }

    /// `kedged --help`.
    static let help = """
        kedged: updates this gateway and hauls it back when an update goes wrong.

        USAGE  kedged [--config FILE] COMMAND

          install URL|FILE|- install a release on the spare slots and arm it; the same call again goes on after
                             any interruption; - is a bundle on standard input
                             --attempt ID     names the attempt
                             --source URL     another place of the same bundle; up to 8 times
                             --manifest HEX   the SHA-256 that its manifest must have
                             --override FILE  lets an older release in, once, by a statement that was signed for this
                                              device
          status             what runs, what is spare, what the last attempt did
          confirm            confirm the release on trial without its health check
          rollback           give up the release on trial, or go back to the former release
          pause              stop the attempt in work, and keep it and what came until it goes on: no start, reboot or
                             network takes it up
          resume             go on with a paused or interrupted attempt
          cancel             end the attempt in work, or a paused one, before it is armed
          index [SLOT [a|b]] read what is in a slot, or in all of the running set, and record it, so that an update from
                             an unknown release fetches only the blocks that are not there; what kedged or kedge image
                             wrote is on record already
          doctor             what is wrong with the boot set-up; exit status 8 when an update or a fallback would fail
                             --repair        write the boot record again, so that both copies are whole
          trust show         the trust root in force: keys, thresholds, revoked keys, denied releases, floor
          trust update PLACE take the trust roots that follow: PLACE is a directory or its URL with root.N.json
                             files, one of these files, or a single .json. Every install looks beside the bundle too
          override request   ask for an older release: prints the id and nonce that kedge override new takes
          override forget    give the request up
          channel update     look at the channel's statement now; kedged status shows what it says
          floor show         the lowest security version that this device accepts, and who says so
          floor init         define the TPM's counter for it, once, in the factory (--owner-password-file FILE, if
                             the TPM's owner has a password)
          provision          ask the provisioning service that [azure] names for a hub, and keep its answer
          run                stay: finish a trial, resume an interrupted attempt
                             --once          do what is due and leave
                             --agent stdio   desired documents in, reported patches out, as JSON lines
                             --agent iothub  the same with Azure IoT Hub or an edge hub, see [azure]

        OPTIONS
          -c, --config FILE  device.ini (default /etc/kedge/device.ini)
          --json             machine-readable output
          --help, --version

        EXIT STATUS  0 done  1 defect  2 usage  3 configuration  4 bundle refused  5 not for this device
                     6 storage  7 network (run it again)  8 boot record  9 not now  10 canceled
                     11 the new release failed and was rolled back

        DEVICE.INI
          [device]   id, vendor, class, hardware (number), data (directory; /var/lib/kedge), reserve (bytes that must stay
                     free there and in stores while an attempt works; 1M)
          [trust]    root (root.json; /etc/kedge/root.json)
          [floor]    store = record | file | tpm: keep the floor in the boot record alone (default), in two files of
                     the data directory too, or in a TPM's counter too: tcti (device:/dev/tpmrm0), index (0x0184b347)
          [channel]  name, url (or beside each bundle: NAME.channel.json), policy = report | newest (refuse what a
                     fresh statement does not name as the newest; default report)
          [boot]     backend = simulated: record (file or partition)
                     backend = uboot | uboot-script | uboot-bootcount | grub: environment1, environment2 = PATH OFFSET SIZE
                     backend = systemd-boot: entries (directory), record
                     backend = efi: entry-a, entry-b (of Boot####), record
                     and for all: cmdline (/proc/cmdline); tries (3; efi 1); reboot (/sbin/reboot; or none);
                     bank-a, bank-b (commands that select the firmware bank; none); efivars
                     (/sys/firmware/efi/efivars) and esrt (/sys/firmware/efi/esrt) for efi and capsules
          [slot NAME a] and [slot NAME b]
                     type = block: path, and offset and size for a part of a file or device
                     type = flash: path, offset, size, erase
                     type = capsule: path (file, made when needed), esp (where the EFI system partition is mounted)
                     type = store: path (directory)
          [health]   command (words, no shell), deadline (seconds)
          [delta]    use = auto | always | never: take an image as a delta from the running release, or in the solid
                     form, where that is fewer bytes over a network (default), from local places too, or not at all;
                     full = allow | never: whether an image, or a window whose delta does not hold, may be fetched in
                     full; most-bytes (for one attempt over a network, with K, M or G; 0: no limit)
          [network]  ca (PEM file), certificate and key (PEM files or pkcs11: URIs), key-secret (0600 file with the
                     key's passphrase or PIN), credentials (0600 file: [HOST] or [HOST:PORT] with user and password,
                     or token, and plain = yes to allow http; [proxy] with user and password)
                     proxy (URL; empty: none), no-proxy (hosts, with commas), http2 (yes or no), read-ahead (yes
                     or no: whether the next range is asked for while one still comes, over a second connection)
                     cache (URL of a directory in the LAN, asked first), mirrors (URLs of directories, asked last)
                     connect-timeout (20 s), stall-rate (1024 bytes/s), stall-seconds (30), retries (8 in a row without
                     a byte), retry-budget (32, and one for each 64 KiB), back-off-ms (2000), back-off-cap (900 s),
                     pause (60 s) and pause-cap (21600 s) before kedged run takes a failed download up again,
                     deadline (seconds for a download; 0: none), spread (seconds over which the starts of a fleet are
                     spread, for desired documents; 0: none)
                     class (ethernet), or class-command (prints ethernet, wifi or cellular)
          [azure]    connection-string (0600 file of a device or module); or host, device, module (if it is one), and
                     access-key (0600 file, base64), or certificate and key (PEM files or a pkcs11: URI), key-secret;
                     ca (PEM file; the system's), gateway (edge hub to connect to), port (8883), token-seconds (3600),
                     keep-alive (120 s), model-id, root-keys, status (file for how it goes;
                     /run/kedge/hub.json);
                     or, instead of host and device, a provisioning service: dps-scope, dps-registration, dps-key or
                     dps-group-key (0600 files, base64) or certificate and key, dps-endpoint
          [network ethernet], [network wifi], [network cellular]
                     use (yes or no), rate (bytes/s, with K, M or G), budget (bytes) for budget-days (30), window
                     (HH:MM-HH:MM, local time)
        """
}
