import BootControl
import Floors
import BundleFormat
import Platform
import Slots
import Testing
import Transfer
import UpdateEngine

@testable import DeviceService

@Suite("device.ini")
struct DeviceConfigurationTests {
    private let directory: ServiceDirectory

    init() throws { directory = try ServiceDirectory() }

    /// The smallest file that is right.
    static let smallest = """
        [device]
        id = gw-1
        vendor = acme
        class = edge
        hardware = 2
        [boot]
        backend = simulated
        record = /r
        [slot rootfs a]
        type = block
        path = /a
        [slot rootfs b]
        type = block
        path = /b

        """

    private func read(_ text: String) throws(ServiceError) -> DeviceConfiguration {
        try? FileSystem.replace(directory("device.ini"), with: Array(text.utf8))
        return try DeviceConfiguration(path: directory("device.ini"))
    }

    /// The smallest file with more lines at the end of a section.
    private func read(_ section: String, _ lines: String) throws(ServiceError) -> DeviceConfiguration {
        if Self.smallest.contains("[\(section)]\n") {
            return try read(Self.smallest.replacing("[\(section)]\n", with: "[\(section)]\n\(lines)\n"))
        }
        return try read(Self.smallest + "[\(section)]\n\(lines)\n")
    }

    @Test("The smallest file gives the defaults that kedged --help names")
    func defaults() throws {
        let read = try read(Self.smallest)
        #expect(read.identity == DeviceIdentity(id: "gw-1", vendor: "acme", deviceClass: "edge", hardware: 2))
        #expect(read.data == "/var/lib/kedge")
        #expect(read.trust == "/etc/kedge/root.json")
        #expect(read.boot == .simulated(record: "/r"))
        #expect(read.commandLine == "/proc/cmdline")
        #expect(read.tries == 3)
        #expect(read.reboot == ["/sbin/reboot"])
        #expect(read.health.isEmpty && read.healthDeadline == nil)
        #expect(read.floor == .record)
        #expect(read.network.http == HTTPOptions())
        #expect(read.network.rules == NetworkRules() && read.network.networkClass == .always(.ethernet))
        #expect(read.network.cache == nil && read.network.mirrors.isEmpty && read.network.spread == 0)
        let rootfs = try #require(Identifier("rootfs"))
        #expect(
            read.slots == [
                SlotConfiguration(
                    target: rootfs, generation: "a", place: .block(path: "/a", offset: 0, size: nil)),
                SlotConfiguration(
                    target: rootfs, generation: "b", place: .block(path: "/b", offset: 0, size: nil)),
            ])
    }

    @Test("Every key that is not a default is taken")
    func everyKey() throws {
        let text = """
            ; a comment
            [device]
            id = gw 1
            vendor = acme
            class = edge
            hardware = 4294967295
            data = /srv/kedge
            [trust]
            root = /etc/other.json
            [boot]
            backend = uboot
            environment1 = /dev/mmcblk0boot0 0x1000 16384
            environment2 = /dev/mmcblk0boot1 0 0x4000
            cmdline = /run/cmdline
            tries = 9
            reboot = systemctl  reboot --force
            [slot rootfs a]
            type = block
            path = /dev/sda
            offset = 1048576
            size = 4096
            [slot rootfs b]
            type = block
            path = /dev/sda
            offset = 1052672
            size = 4096
            [slot bios a]
            type = flash
            path = /dev/mtd0
            size = 65536
            erase = 4096
            [slot bios b]
            type = flash
            path = /dev/mtd0
            offset = 65536
            size = 65536
            erase = 4096
            [slot apps a]
            type = store
            path = /store
            [slot apps b]
            type = store
            path = /store
            [health]
            command = /usr/bin/check --all
            deadline = 90
            [network]
            ca = /etc/ca.pem
            proxy = http://proxy:3128
            connect-timeout = 5
            stall-rate = 512
            stall-seconds = 60
            retries = 3
            back-off-ms = 250
            back-off-cap = 60
            retry-budget = 9
            pause = 20
            pause-cap = 40
            deadline = 7200
            spread = 3600
            no-proxy = localhost,.lan
            http2 = no
            certificate = /etc/gw.pem
            key = pkcs11:token=gw
            key-secret = /etc/pin
            credentials = /etc/credentials
            cache = http://cache.lan/kedge/
            mirrors = https://a.test/x https://b.test/y
            class-command = /usr/lib/net-class --now
            [network wifi]
            rate = 2M
            [network cellular]
            use = yes
            rate = 64K
            budget = 1G
            budget-days = 7
            window = 22:00-06:00
            [network ethernet]
            use = no
            """
        let read = try read(text)
        #expect(read.identity == DeviceIdentity(id: "gw 1", vendor: "acme", deviceClass: "edge", hardware: .max))
        #expect(read.data == "/srv/kedge" && read.trust == "/etc/other.json" && read.commandLine == "/run/cmdline")
        #expect(
            read.boot
                == .uboot(
                    .script,
                    UBootEnvironmentHome.Location(path: "/dev/mmcblk0boot0", offset: 4096, size: 16384),
                    UBootEnvironmentHome.Location(path: "/dev/mmcblk0boot1", offset: 0, size: 16384)))
        #expect(read.tries == 9)
        #expect(read.reboot == ["systemctl", "reboot", "--force"])
        #expect(read.health == ["/usr/bin/check", "--all"] && read.healthDeadline == 90)
        var http = HTTPOptions()
        http.certificateAuthorities = "/etc/ca.pem"
        http.proxy = "http://proxy:3128"
        http.connectTimeoutMilliseconds = 5000
        http.stallBytesPerSecond = 512
        http.stallMilliseconds = 60000
        http.attemptsWithoutProgress = 3
        http.backOffBaseMilliseconds = 250
        http.backOffCapMilliseconds = 60_000
        http.retryBudget = 9
        http.pauseBaseMilliseconds = 20_000
        http.pauseCapMilliseconds = 40_000
        http.deadlineMilliseconds = 7_200_000
        http.noProxy = "localhost,.lan"
        http.allowsHTTP2 = false
        http.clientCertificate = "/etc/gw.pem"
        http.clientKey = "pkcs11:token=gw"
        #expect(read.network.http == http)
        #expect(read.network.keySecretFile == "/etc/pin" && read.network.credentialsFile == "/etc/credentials")
        #expect(read.network.spread == 3600 && read.network.cache == "http://cache.lan/kedge/")
        #expect(read.network.mirrors == ["https://a.test/x", "https://b.test/y"])
        #expect(read.network.networkClass == .command(["/usr/lib/net-class", "--now"]))
        var rules = NetworkRules()
        rules.wifi.bytesPerSecond = 2 << 20
        rules.cellular.bytesPerSecond = 64 << 10
        rules.cellular.budget = 1 << 30
        rules.cellular.budgetDays = 7
        rules.cellular.window = DailyWindow(text: "22:00-06:00")
        rules.ethernet.isForbidden = true
        #expect(read.network.rules == rules)
        let places = read.slots.map { "\($0.name): \($0.place)" }
        #expect(places.count == 6)
        #expect(read.slots[1].place == .block(path: "/dev/sda", offset: 1_052_672, size: 4096))
        #expect(read.slots[2].place == .flash(path: "/dev/mtd0", offset: 0, size: 65536, eraseSize: 4096))
        #expect(read.slots[5].place == .store(path: "/store"))
    }

    @Test("The floor's store is the record, a file or a TPM's counter in the owner's range")
    func floor() throws {
        #expect(try read("floor", "store = record").floor == .record)
        #expect(try read("floor", "store = file").floor == .file)
        #expect(
            try read("floor", "store = tpm").floor
                == .tpm(tcti: TPMFloor.defaultTCTI, index: TPMFloor.defaultIndex))
        let full = try read("floor", "store = tpm\ntcti = swtpm:path=/s\nindex = 0x01bfffff")
        #expect(full.floor == .tpm(tcti: "swtpm:path=/s", index: 0x01bf_ffff))
    }

    @Test("A channel has a name, and perhaps a place of its own and a policy")
    func channel() throws {
        #expect(try read(Self.smallest).channel == nil)
        let beside = try #require(try read("channel", "name = stable").channel)
        #expect(beside.name.text == "stable" && beside.location == nil && beside.policy == .report)
        let full = try #require(
            try read("channel", "name = beta\nurl = https://h/beta.channel.json\npolicy = newest").channel)
        #expect(full.location == "https://h/beta.channel.json" && full.policy == .newest)
    }

    @Test("reboot = none leaves the reboot to somebody else")
    func noReboot() throws { #expect(try read("boot", "reboot = none").reboot == nil) }

    /// Section, line that is taken out.
    static let needed: [(section: String, line: String)] = [
        ("device", "id = gw-1"), ("device", "vendor = acme"), ("device", "class = edge"), ("device", "hardware = 2"),
        ("boot", "backend = simulated"), ("boot", "record = /r"), ("slot rootfs a", "path = /a"),
        ("slot rootfs b", "path = /b"),
    ]

    @Test("A key that must be there is named when it is missing or empty", arguments: needed)
    func missing(section: String, line: String) throws {
        let key = line.prefix { $0 != " " }
        for text in ["", "\(key) ="] {
            let error = #expect(throws: ServiceError.self) { try read(Self.smallest.replacing(line, with: text)) }
            #expect(error?.code == "config.invalid")
            #expect(error?.category == .configuration)
            #expect(error?.context.contains("[\(section)]") == true)
            #expect(error?.context.contains(String(key)) == true)
        }
    }

    /// Section, lines that are added to it, words that the message must have.
    static let refused: [(section: String, lines: String, words: [String])] = [
        ("device", "serial = 5", ["[device]", "unknown key serial"]),
        ("device", "Vendor = x", ["[device]", "unknown key Vendor"]),
        ("trust", "roots = /x", ["[trust]", "unknown key roots"]),
        ("channel", "url = http://h/c", ["[channel]", "name"]),
        ("channel", "name = Stable", ["Stable", "a-z"]),
        ("channel", "name = stable\nurl =", ["url is empty"]),
        ("channel", "name = stable\npolicy = strict", ["policy = strict", "report or newest"]),
        ("floor", "store = fuse", ["store = fuse", "record, file or tpm"]),
        ("floor", "store = file\ntcti = x", ["[floor]", "unknown key tcti"]),
        ("floor", "store = tpm\ntcti =", ["tcti is empty"]),
        ("floor", "store = tpm\nindex = 0x01000000", ["0x01000000", "0x01800000"]),
        ("floor", "store = tpm\nindex = 25473863", ["25473863", "0x01800000"]),
        ("boot", "environment1 = /x 0 16384", ["[boot]", "unknown key environment1"]),
        ("boot", "tries = 0", ["tries = 0", "1 to 9"]),
        ("boot", "tries = 10", ["tries = 10", "1 to 9"]),
        ("boot", "tries = three", ["tries = three"]),
        ("boot", "tries = +3", ["tries = +3"]),
        ("boot", "reboot =", ["reboot", "none"]),
        ("slot rootfs a", "erase = 4096", ["[slot rootfs a]", "unknown key erase"]),
        ("slot rootfs a", "offset = -1", ["[slot rootfs a] offset = -1"]),
        ("slot rootfs a", "size = 1G", ["[slot rootfs a] size = 1G"]),
        ("health", "timeout = 5", ["[health]", "unknown key timeout"]),
        ("health", "deadline = 86401", ["deadline = 86401", "86400"]),
        ("network", "timeout = 5", ["[network]", "unknown key timeout"]),
        ("network", "connect-timeout = 0", ["connect-timeout"]),
        ("network", "stall-rate = 0", ["stall-rate"]),
        ("network", "stall-seconds = 3601", ["stall-seconds"]),
        ("network", "retries = 0", ["retries"]),
        ("network", "back-off-ms = 3600001", ["back-off-ms"]),
        ("network", "back-off-cap = 0", ["back-off-cap"]),
        ("network", "retry-budget = 0", ["retry-budget"]),
        ("network", "http2 = maybe", ["http2 = maybe", "yes or no"]),
        ("network", "key = /k", ["key needs certificate"]),
        ("network", "cache = ftp://x/", ["cache and mirrors"]),
        ("network", "mirrors = http:/x", ["cache and mirrors"]),
        ("network", "class = satellite", ["class = satellite", "ethernet, wifi or cellular"]),
        ("network", "class = wifi\nclass-command = x", ["class and class-command"]),
        ("network cellular", "budget = 1T", ["budget = 1T"]),
        ("network cellular", "rate = M", ["rate = M"]),
        ("network cellular", "rate = 99999999999999999999G", ["rate = 9999"]),
        ("network cellular", "budget-days = 0", ["budget-days"]),
        ("network cellular", "window = 1-2", ["window = 1-2", "HH:MM-HH:MM"]),
        ("network cellular", "limit = 5", ["[network cellular]", "unknown key limit"]),
        ("network lte", "rate = 5", ["[network lte] is no known section"]),
        ("helth", "command = x", ["[helth] is no known section"]),
        ("helth", "", ["[helth] is no known section"]),
        ("Device", "", ["[Device] is no known section"]),
        ("slot", "path = /x", ["[slot] is no known section"]),
        ("slot rootfs", "path = /x", ["[slot rootfs] must be"]),
        ("slot rootfs c", "path = /x", ["[slot rootfs c] must be"]),
        ("slot rootfs A", "path = /x", ["[slot rootfs A] must be"]),
        ("slot Root_fs a", "path = /x", ["[slot Root_fs a] must be"]),
        ("slot rootfs a b", "path = /x", ["[slot rootfs a b] must be"]),
        ("slot  rootfs a", "type = block\npath = /x", ["rootfs a is there twice"]),
        ("slot bios a", "type = block\npath = /x", ["[slot bios a] and [slot bios b]"]),
        ("slot bios b", "type = block\npath = /x", ["[slot bios a] and [slot bios b]"]),
        ("slot bios a", "path = /x", ["[slot bios a] needs type"]),
        ("slot bios a", "type = nvme\npath = /x", ["type = nvme", "block, flash, capsule or store"]),
        ("slot bios a", "type = flash\npath = /x\nerase = 4096", ["[slot bios a] needs size"]),
        ("slot bios a", "type = flash\npath = /x\nsize = 4096", ["[slot bios a] needs erase"]),
        ("slot apps a", "type = store\npath = /x\nsize = 4096", ["slot apps needs both"]),
    ]

    @Test("What is wrong in a section is named, with the file", arguments: refused)
    func wrongSection(section: String, lines: String, words: [String]) throws {
        let error = #expect(throws: ServiceError.self) { try read(section, lines) }
        #expect(error?.code == "config.invalid" && error?.category == .configuration)
        #expect(error?.context.hasPrefix(directory("device.ini")) == true)
        for word in words { #expect(error?.context.contains(word) == true, "\(error?.context ?? "") has no \(word)") }
    }

    @Test("Slots that share bytes are refused, or an update would overwrite what runs")
    func overlap() throws {
        let same = Self.smallest.replacing("path = /b", with: "path = /a")
        #expect(throws: ServiceError.self) { try read(same) }
        let behind = same.replacing("path = /a\n[slot", with: "path = /a\nsize = 8192\n[slot")
        #expect(throws: ServiceError.self) { try read(behind + "offset = 8191\n") }
        #expect(try read(behind + "offset = 8192\n").slots.count == 2)
    }

    @Test("Without any slot there is nothing to update")
    func noSlots() throws {
        let text = String(Self.smallest.prefix(upTo: try #require(Self.smallest.firstRange(of: "[slot")).lowerBound))
        let error = #expect(throws: ServiceError.self) { try read(text) }
        #expect(error?.context.contains("no [slot NAME a] section") == true)
    }

    static let homes: [(lines: String, words: [String])] = [
        (
            "backend = lilo",
            ["backend = lilo must be simulated, uboot, uboot-script, uboot-bootcount, grub, systemd-boot or efi"]
        ),
        ("backend = grub", ["environment1"]),
        ("backend = uboot-script\nenvironment1 = /e 0 1024", ["environment2"]),
        ("backend = systemd-boot\nrecord = /r", ["entries"]),
        ("backend = efi\nentry-a = 0001\nentry-b = x\nrecord = /r", ["entry-b = x", "Boot####"]),
        ("backend = efi\nentry-a = 0001\nentry-b = 0002\nrecord = /r\ntries = 3", ["tries = 3"]),
        ("backend = simulated\nrecord = /r\nbank-a = gpioset 1", ["both bank-a and bank-b"]),
        ("backend = uboot", ["environment1"]),
        ("backend = uboot-bootcount\nenvironment1 = /e 0 16384", ["environment2"]),
        ("backend = uboot\nenvironment1 = /e 0 16384", ["environment2"]),
        ("backend = uboot\nenvironment1 = /e 0\nenvironment2 = /e 1 1", ["PATH OFFSET SIZE"]),
        ("backend = uboot\nenvironment1 = /e 0 16K\nenvironment2 = /e 1 1", ["PATH OFFSET SIZE"]),
        ("backend = uboot\nenvironment1 = /e 0 1024\nenvironment2 = /e 1024 1024\nrecord = /r", ["unknown key record"]),
    ]

    @Test("Every boot loader's home is read with its own keys")
    func everyHome() throws {
        func boot(_ lines: String) throws -> DeviceConfiguration {
            try read(Self.smallest.replacing("backend = simulated\nrecord = /r", with: lines))
        }
        let first = UBootEnvironmentHome.Location(path: "/e", offset: 0, size: 1024)
        let second = UBootEnvironmentHome.Location(path: "/f", offset: 2560, size: 1024)
        let places = "environment1 = /e 0 1024\nenvironment2 = /f 2560 1024"
        #expect(try boot("backend = grub\n" + places).boot == .blocks(.grub, first, second))
        #expect(try boot("backend = uboot-script\n" + places).boot == .blocks(.uboot, first, second))
        #expect(
            try boot("backend = systemd-boot\nentries = /d\nrecord = /r").boot
                == .systemdBoot(entries: "/d", record: "/r"))
        let efi = try boot("backend = efi\nentry-a = 001A\nentry-b = 0002\nrecord = /r\nbank-a = x 1\nbank-b = x 2")
        #expect(efi.boot == .efi(a: 26, b: 2, record: "/r"))
        #expect(efi.variables == "/sys/firmware/efi/efivars")
        #expect(efi.tries == 1)
        #expect(efi.banks == DeviceConfiguration.Banks(a: ["x", "1"], b: ["x", "2"]))
    }

    @Test("A boot record's home that is not described in full is refused", arguments: homes)
    func home(lines: String, words: [String]) throws {
        let text = Self.smallest.replacing("backend = simulated\nrecord = /r", with: lines)
        let error = #expect(throws: ServiceError.self) { try read(text) }
        for word in words { #expect(error?.context.contains(word) == true, "\(error?.context ?? "")") }
    }

    static let syntax: [(text: String, code: String, words: [String])] = [
        ("[device\n", "config.syntax", ["line 1"]),
        (smallest + "nonsense\n", "config.syntax", ["line 15"]),
        (smallest + "  path = /c\n", "config.syntax", ["line 15"]),
        (smallest + "; " + String(repeating: "x", count: 200) + "\n", "config.syntax", ["line 15"]),
        (smallest + "path = /c\n", "config.invalid", ["slot rootfs b", "path twice"]),
        (smallest + "[device]\nid = 1\n", "config.invalid", ["[device] is there twice"]),
        ("id = 1\n" + smallest, "config.invalid", ["id stands before any section"]),
    ]

    @Test("Text that is not plain INI is refused, and its line is named", arguments: syntax)
    func wrongText(text: String, code: String, words: [String]) throws {
        let error = #expect(throws: ServiceError.self) { try read(text) }
        #expect(error?.code == code && error?.category == .configuration)
        for word in words { #expect(error?.context.contains(word) == true, "\(error?.context ?? "")") }
    }

    @Test("A file that is not there has its own code")
    func absent() throws {
        let error = #expect(throws: ServiceError.self) { try DeviceConfiguration(path: directory("none.ini")) }
        #expect(error == .configurationMissing(path: directory("none.ini")))
        #expect(error?.code == "config.missing")
    }

    @Test("Every error of the service has a context and a remedy")
    func texts() {
        let errors: [ServiceError] = [
            .configurationMissing(path: "p"), .configurationSyntax(path: "p", line: 3),
            .configuration(path: "p", why: "w"), .usage("u"), .secret(path: "p", why: "w"),
            .dataDirectory(SystemError(number: SystemError.readOnly, operation: "mkdir", subject: "p")),
        ]
        for error in errors { #expect(!error.context.isEmpty && !error.remedy.isEmpty && !error.code.isEmpty) }
        #expect(
            errors.map { $0.category } == [
                .configuration, .configuration, .configuration, .usage, .configuration, .storage,
            ])
    }
}
