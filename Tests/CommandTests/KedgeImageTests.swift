import Foundation
import Platform
import Testing

@Suite("kedge image", Needs.partitioner)
struct KedgeImageTests {
    private let gateway: FieldGateway
    private let bundle: String

    init() throws {
        gateway = try FieldGateway()
        bundle = try gateway.build()
    }

    private func image(_ layout: String) throws -> BuiltCommand.Outcome {
        try FileSystem.replace(
            gateway.directory("board.env"), with: Array("# The board's own\nbootcmd=run kedge\nconsole=ttyS0\n".utf8))
        try FileSystem.replace(gateway.directory("no-command.env"), with: Array("bootdelay=-2\n".utf8))
        try FileSystem.replace(gateway.directory("layout.ini"), with: Array(layout.utf8))
        return try gateway.kedge.run(
            ["image", "layout.ini", "--from", bundle, "--trust", "keys/root.json", "-o", "disk.img"],
            in: gateway.directory.path)
    }

    static let good = """
        [disk]
        record = uboot-script
        [partition kedge-env-1]
        size = 1M
        [partition kedge-env-2]
        size = 1M
        [partition rootfs-a]
        size = 8M
        [partition rootfs-b]
        size = 8M
        [partition data]
        size = 8M
        state = yes

        """

    @Test("A disk has its partitions, the release in slot set a, a whole boot record and the trust store")
    func whole() throws {
        let outcome = try image(Self.good)
        try #require(outcome.status == 0, "\(outcome.errors)")
        let disk = gateway.directory("disk.img")
        let table = try ChildProcess.run(["sfdisk", "-l", "-o", "Name", disk], milliseconds: 60_000).output
        for name in ["kedge-env-1", "kedge-env-2", "rootfs-a", "rootfs-b", "data"] { #expect(table.contains(name)) }
        let image = try FileSystem.read(gateway.directory("acme-edge-2.1.0-rootfs.img"), limit: 1 << 26)
        #expect(try Descriptor(open: disk, [.read]).readBytes(at: 3 << 20, count: image.count) == image)
        #expect(outcome.output.contains("environment2 = /dev/disk/by-partlabel/kedge-env-2 0 16384"))
        let files = try ChildProcess.run(
            ["debugfs", "-R", "ls -p /", "\(disk)?offset=\(19 << 20)"], milliseconds: 60_000
        ).output
        for name in ["root.json", "head.a", "hints.rootfs.a"] { #expect(files.contains("/\(name)/"), "\(files)") }
    }

    @Test(
        "Both copies of a U-Boot environment hold the board's variables beside the record, as U-Boot reads them",
        Needs.environmentTools)
    func board() throws {
        let outcome = try image(
            Self.good.replacingOccurrences(of: "uboot-script", with: "uboot\nenvironment = board.env"))
        try #require(outcome.status == 0, "\(outcome.errors)")
        let places = (1...2).map { "\(gateway.directory("disk.img")) \($0 << 20) 0x4000\n" }
        for (number, text) in [places.joined(), places.reversed().joined()].enumerated() {
            try FileSystem.replace(gateway.directory("fw_env.config"), with: Array(text.utf8))
            let said = try ChildProcess.run(
                ["fw_printenv", "-c", gateway.directory("fw_env.config")], milliseconds: 60_000)
            #expect(said.succeeded && said.output.contains("bootcmd=run kedge\n"), "\(number): \(said.output)")
            #expect(said.output.contains("kedge_active=a\n") && said.output.contains("console=ttyS0\n"))
        }
    }

    static let refusals: [(what: String, change: (String, String), says: String)] = [
        ("an unknown key", ("state = yes", "state = yes\nkind = x"), "unknown key kind"),
        ("an odd size", ("size = 8M\n[partition rootfs-b]", "size = 8000\n[partition rootfs-b]"), "whole MiB"),
        ("no place for the record", ("[partition kedge-env-2]", "[partition other]"), "the partition kedge-env-2"),
        ("no place for state", ("state = yes\n", ""), "state = yes"),
        ("an unknown record", ("uboot-script", "lilo"), "lilo"),
        // U-Boot would take the environment of the disk, find no bootcmd in it, and stop at its prompt.
        ("no board variables", ("uboot-script", "uboot"), "record = uboot needs environment = FILE, with bootcmd"),
        ("none for U-Boot's own counter", ("uboot-script", "uboot-bootcount"), "with bootcmd and altbootcmd"),
        ("a board without bootcmd", ("uboot-script", "uboot\nenvironment = no-command.env"), "bootcmd is missing"),
        (
            "a board without altbootcmd", ("uboot-script", "uboot-bootcount\nenvironment = board.env"),
            "altbootcmd is missing"
        ),
        ("variables that nobody reads", ("uboot-script", "uboot-script\nenvironment = board.env"), "no variables but"),
    ]

    @Test("A layout that cannot be is refused with its reason and leaves nothing", arguments: refusals.indices)
    func refused(_ index: Int) throws {
        let item = Self.refusals[index]
        let outcome = try image(Self.good.replacingOccurrences(of: item.change.0, with: item.change.1))
        #expect(outcome.status == 3, "\(item.what): \(outcome.errors)")
        #expect(outcome.errors.contains("image.layout") && outcome.errors.contains(item.says), "\(outcome.errors)")
        #expect(try gateway.directory.names.filter { $0.hasPrefix("disk.img") } == [])
    }

    @Test("A component without a slot on the disk is refused, unless the layout says that it is elsewhere")
    func elsewhere() throws {
        let layout = Self.good.replacingOccurrences(of: "rootfs-", with: "kernel-")
        let refused = try image(layout)
        #expect(refused.errors.contains("gateway.no-slot"), "\(refused.errors)")
        let first = "[partition kedge-env-1]"
        let taken = try image(layout.replacingOccurrences(of: first, with: "elsewhere = rootfs\n" + first))
        #expect(taken.status == 0, "\(taken.errors)")
    }
}
