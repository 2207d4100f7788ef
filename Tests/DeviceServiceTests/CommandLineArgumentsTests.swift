import BootControl
import BundleFormat
import Platform
import Testing

@testable import DeviceService

@Suite("kedged's command line")
struct CommandLineArgumentsTests {
    typealias Command = CommandLineArguments.Command

    static let digest = String(repeating: "5a", count: 32)
    static let good: [(words: [String], command: Command)] = [
        (["install", "http://h/r.kedge"], .install(.init(location: "http://h/r.kedge"))),
        (["install", "r.kedge", "--attempt", "x-1"], .install(.init(location: "r.kedge", attempt: "x-1"))),
        (["--attempt", "x-1", "install", "r.kedge"], .install(.init(location: "r.kedge", attempt: "x-1"))),
        (["install", "-"], .install(.init(location: "-"))),
        (["index"], .index(slot: nil, set: nil)), (["index", "rootfs"], .index(slot: Identifier("rootfs"), set: nil)),
        (["index", "bios", "b"], .index(slot: Identifier("bios"), set: .b)),
        (
            ["install", "u", "--source", "v", "--manifest", digest, "--source", "w"],
            .install(.init(location: "u", manifest: Digest(hex: digest), sources: ["v", "w"]))
        ),
        (["install", "r.kedge", "--override", "o"], .install(.init(location: "r.kedge", override: "o"))),
        (["override", "request"], .overrideRequest), (["override", "forget"], .overrideForget),
        (["channel", "update"], .channelUpdate),
        (["status"], .status), (["confirm"], .confirm), (["rollback"], .rollback), (["cancel"], .cancel),
        (["trust", "show"], .trustShow), (["trust", "update", "d"], .trustUpdate(location: "d")),
        (["floor", "show"], .floorShow), (["floor", "init"], .floorInit(ownerPassword: nil)),
        (["floor", "init", "--owner-password-file", "f"], .floorInit(ownerPassword: "f")),
        (["run"], .run(once: false, agent: .none)), (["run", "--once"], .run(once: true, agent: .none)),
        (["run", "--agent", "stdio"], .run(once: false, agent: .stdio)),
        (["--once", "run", "--agent", "stdio"], .run(once: true, agent: .stdio)),
        (["run", "--agent", "iothub"], .run(once: false, agent: .iothub)),
        (["help"], .help), (["--help"], .help), (["-h"], .help), (["install", "--help"], .help),
        (["--help", "install"], .help), (["--help", "install", "x", "y"], .help), (["version"], .version),
        (["--version"], .version), (["status", "--version"], .version), (["--version", "--help"], .help),
    ]

    @Test("Every command and its options", arguments: good)
    func accepted(words: [String], command: Command) throws {
        let arguments = try CommandLineArguments(words)
        #expect(arguments.command == command)
        #expect(arguments.configuration == "/etc/kedge/device.ini")
        #expect(!arguments.json)
    }

    @Test("The configuration and JSON go with every command, before and behind it")
    func common() throws {
        for name in ["status", "confirm", "rollback", "cancel", "run"] {
            for words in [["-c", "f.ini", name, "--json"], [name, "--json", "--config", "f.ini"]] {
                let arguments = try CommandLineArguments(words)
                #expect(arguments.configuration == "f.ini")
                #expect(arguments.json)
            }
        }
    }

    static let wrong: [(words: [String], word: String)] = [
        ([], "no command"), (["instal"], "instal is no command"), (["Status"], "Status is no command"),
        (["index", "rootfs", "c"], "a or b"), (["index", "/dev/x"], "no name"), (["index", "r", "a", "x"], "too many"),
        ([""], "is no command"), (["install"], "needs a URL, a file"),
        (["install", "a", "b"], "b is one word too many"),
        (["status", "now"], "now is one word too many"), (["run", "once"], "once is one word too many"),
        (["status", "--attempt", "x"], "belong to install"), (["run", "--source", "x"], "belong to install"),
        (["cancel", "--manifest", digest], "belong to install"),
        (["install", "a", "--manifest", "5a"], "64 hexadecimal"),
        (["install", "a"] + [[String]](repeating: ["--source", "x"], count: 9).flatMap { $0 }, "8 times"),
        (["install", "a", "--attempt"], "needs a value"),
        (["--config"], "needs a value"), (["status", "-c"], "needs a value"),
        (["status", "--once"], "belong to run"), (["install", "a", "--agent", "stdio"], "belong to run"),
        (["trust"], "trust needs show"), (["trust", "update"], "trust needs show"),
        (["trust", "show", "x"], "trust needs show"), (["trust", "update", "a", "b"], "b is one word too many"),
        (["run", "--agent"], "needs a value"), (["run", "--agent", "mqtt"], "--agent mqtt is not known"),
        (["status", "--verbose"], "--verbose is not known"), (["status", "-x"], "-x is not known"),
        (["status", "--json=1"], "--json=1 is not known"), (["--"], "-- is not known"),
    ]

    @Test("What is wrong is usage with exit status 2, and names the word", arguments: wrong)
    func rejected(words: [String], word: String) {
        let error = #expect(throws: ServiceError.self) { try CommandLineArguments(words) }
        #expect(error?.code == "usage")
        #expect(error?.category == .usage && ErrorCategory.usage.rawValue == 2)
        #expect(error?.context.contains(word) == true, "\(error?.context ?? "")")
        #expect(error?.remedy.contains("--help") == true)
    }

    @Test("The help names every command, option, section and exit status, in lines that fit a terminal")
    func help() {
        for word in [
            "install", "status", "confirm", "rollback", "pause", "resume", "cancel", "run", "reserve", "trust show",
            "trust update", "--attempt",
            "--once", "--agent stdio",
            "--config", "--json", "--version", "[device]", "[trust]", "[boot]", "[slot NAME a]", "[health]",
            "[network]", "environment1", "cmdline", "connect-timeout", "stall-rate", "stall-seconds", "retries",
            "back-off-ms", "back-off-cap", "retry-budget", "deadline", "spread", "cache", "mirrors", "class-command",
            "certificate", "key-secret", "credentials", "no-proxy", "http2", "read-ahead", "pause-cap",
            "[network cellular]",
            "budget",
            "budget-days", "window", "--source", "--manifest",
        ] {
            #expect(CommandLineArguments.help.contains(word), "\(word)")
        }
        for status in 0...11 { #expect(CommandLineArguments.help.contains(" \(status) ")) }
        for line in CommandLineArguments.help.split(separator: "\n") { #expect(line.count <= 120) }
    }
}
