import BootControl
import Foundation
import Platform
import StrictJSON
import Testing

/// Firmware banks on flash chips as Linux has them (MTD), in a machine that QEMU emulates: the built `kedged` writes,
/// reads back, and after the start of the trial measures a bank on `/dev/mtd0`, whose chip is the machine's second disk
/// (block2mtd), and one on `/dev/mtdblock1`, whose chip is memory (mtdram).
@Suite("kedged: firmware on MTD, in a machine that boots")
struct FlashMachineTests {
    static let kernel = Repository.root + "/.build/guest-kernel-full"
    static let tools =
        ProcessInformation.environment("KEDGE_NIGHTLY") != nil
        && [kernel + "/boot", "/usr/bin/qemu-system-x86_64", "/bin/busybox", "/usr/bin/cpio"].allSatisfy {
            FileManager.default.fileExists(atPath: $0)
        }
    private static let bank = 256 << 10
    private static let modules = [
        "drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev",
        "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk",
        "drivers/mtd/mtd", "drivers/mtd/mtd_blkdevs", "drivers/mtd/mtdblock", "drivers/mtd/devices/block2mtd",
        "drivers/mtd/devices/mtdram", "lib/bch", "drivers/mtd/nand/nandcore", "drivers/mtd/nand/raw/nand",
        "drivers/mtd/nand/raw/nandsim",
    ]

    @Test(
        "Two banks are written erase block by erase block, read back, and measured at the trial; NAND is refused",
        .enabled(if: tools, "nightly: needs QEMU, busybox-static, cpio and tools/guest-kernel --full"))
    func banks() throws {
        let directory = try CommandDirectory()
        let kedge = try BuiltCommand("kedge")
        let keys = try kedge.run(["keys", "new", "keys", "--environment", "dev"], in: directory.path)
        try #require(keys.status == 0, "\(keys.errors)")
        let image = [UInt8](FieldGateway.image(megabytes: 1).prefix(Self.bank - 100_000))
        let controller = [UInt8](FieldGateway.image(megabytes: 1, seed: 5).prefix(Self.bank))
        try FileSystem.replace(directory("bios.img"), with: image)
        try FileSystem.replace(directory("controller.img"), with: controller)
        try FileSystem.replace(directory("recipe.toml"), with: Array(Self.recipe.utf8))
        let built = try kedge.run(
            ["build", "recipe.toml", "-o", "r.kedge", "--key", "keys/release.key"], in: directory.path)
        try #require(built.status == 0, "\(built.errors)")
        // Bank a, and what bank b held before: nothing of it may stay.
        let former = [UInt8](FieldGateway.image(megabytes: 1, seed: 9).prefix(2 * Self.bank))
        try FileSystem.replace(directory("chip.img"), with: former)
        try pack(directory)
        let begun = ContinuousClock.now
        let log = try start(directory)
        print("MACHINE MTD: one boot in \(begun.duration(to: .now))")

        let states = try log.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("STATUS {") }.map {
            try #require(try JSONValue.parse(String($0.dropFirst(7)), limit: 1 << 20)["ota"])
        }
        #expect(states.map { $0["phase"]?.text } == ["armed", "confirmed"], "\(log.suffix(3000))")
        #expect(states.last?["running"]?["slot"]?.text == "b")
        #expect(log.contains("NAND slot.unusable"), "\(log.suffix(3000))")
        #expect(log.contains("ERASE slot.unusable"), "\(log.suffix(3000))")
        // What the chip on the disk holds: the other bank as it was, then the image, erased behind it.
        let chip = try FileSystem.read(directory("chip.img"), limit: 1 << 24)
        #expect(Array(chip[..<Self.bank]) == Array(former[..<Self.bank]))
        #expect(Array(chip[Self.bank..<(Self.bank + image.count)]) == image)
        #expect(chip[(Self.bank + image.count)...].allSatisfy { $0 == 0xff })
    }

    private static let recipe = """
        [release]
        id = "firmware-2"
        version = "2"
        sequence = 2
        security-version = 1
        update = "feature"
        [product]
        vendor = "acme"
        class = "edge-gateway"
        hardware = [1, 1]
        [[component]]
        id = "bios"
        kind = "bios"
        path = "bios.img"
        [[component]]
        id = "controller"
        kind = "bios"
        path = "controller.img"

        """

    /// `device` is the chip of the component `bios`.
    private static func configuration(_ device: String, erase: Int = 65536) -> String {
        var text = """
            [device]
            id = machine-1
            vendor = acme
            class = edge-gateway
            hardware = 1
            data = /data
            [trust]
            root = /root.json
            [boot]
            backend = simulated
            record = /record
            cmdline = /cmdline
            reboot = none

            """
        for (number, set) in ["a", "b"].enumerated() {
            for (name, path, erase) in [("bios", device, erase), ("controller", "/dev/mtdblock1", 65536)] {
                text += "[slot \(name) \(set)]\ntype = flash\npath = \(path)\noffset = \(number * bank)\n"
                text += "size = \(bank)\nerase = \(erase)\n"
            }
        }
        return text
    }

    /// The whole system is its initramfs.
    private func pack(_ directory: CommandDirectory) throws {
        let tree = directory("tree")
        for name in ["bin", "dev", "proc", "sys", "m", "data", "lib64"] {
            try FileSystem.makeDirectories(tree + "/" + name)
        }
        try FileSystem.replace(tree + "/device.ini", with: Array(Self.configuration("/dev/mtd0").utf8))
        try FileSystem.replace(tree + "/nand.ini", with: Array(Self.configuration("/dev/mtd2").utf8))
        try FileSystem.replace(tree + "/erase.ini", with: Array(Self.configuration("/dev/mtd0", erase: 4096).utf8))
        var load = ""
        for module in Self.modules {
            let file = module.split(separator: "/").last.map(String.init) ?? ""
            let words = ["block2mtd": "block2mtd=/dev/vda,65536", "mtdram": "total_size=512 erase_size=64"]
            load += "$B insmod /m/\(file).ko \(words[file] ?? "")\n"
            if file == "virtio_blk" {
                load += "for _ in 1 2 3 4 5 6 7 8 9; do [ -e /dev/vda ] || $B usleep 200000; done\n"
            }
        }
        let text = """
            #!/bin/busybox sh
            B=/bin/busybox
            $B mount -t proc p /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev
            \(load)$B cat /proc/mtd
            echo kedge.slot=a > /cmdline
            refusal() { kedged --config /$1.ini install /r.kedge 2>&1 | $B sed -nE "s/^kedged: ([a-z.-]*):.*/$2 \\1/p"; }
            refusal nand NAND
            refusal erase ERASE
            kedged --config /device.ini install /r.kedge
            echo "STATUS $(kedged --config /device.ini status --json)"
            echo kedge.slot=b > /cmdline
            kedged --config /device.ini run --once
            echo "STATUS $(kedged --config /device.ini status --json)"
            $B sync
            $B poweroff -f

            """
        try FileSystem.replace(tree + "/init", with: Array(text.utf8), mode: 0o755)
        try SimulatedBootHome.create(path: tree + "/record", record: BootRecord())
        let modules = Self.modules.map { "'\(Self.kernel)'/lib/modules/*/kernel/\($0).ko" }.joined(separator: " ")
        try shell(
            """
            cp /bin/busybox '\(tree)/bin/' && strip -o '\(tree)/bin/kedged' '\(BuiltCommand("kedged").path)'
            ln -s busybox '\(tree)/bin/sh'
            cp \(modules) '\(tree)/m/'
            cp '\(directory("keys/root.json"))' '\(directory("r.kedge"))' '\(tree)/'
            ldd '\(tree)/bin/kedged' | sed -nE 's/.* => (\\/[^ ]+) .*/\\1/p; s/^\\s*(\\/[^ ]+) .*/\\1/p' |
            while read -r f; do
                mkdir -p "\(tree)$(dirname "$f")" && cp -L "$f" "\(tree)$f"
            done
            cd '\(tree)' && find . | cpio -o -H newc --quiet | gzip -1 > '\(directory("initrd"))'
            """)
    }

    private func start(_ directory: CommandDirectory) throws -> String {
        let kernel = try #require(
            try FileSystem.list(Self.kernel + "/boot").first { $0.hasPrefix("vmlinuz") })
        let outcome = try ChildProcess.run(
            [
                "nice", "-n", "10", "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", "768", "-net", "none",
                "-display", "none", "-monitor", "none", "-serial", "file:" + directory("serial.log"), "-no-reboot",
                "-kernel", Self.kernel + "/boot/" + kernel, "-initrd", directory("initrd"), "-append",
                "console=ttyS0 quiet panic=1 no_timer_check", "-drive",
                "file=\(directory("chip.img")),if=virtio,format=raw,cache=unsafe",
            ], milliseconds: 300_000)
        let log = String(decoding: try FileSystem.read(directory("serial.log"), limit: 1 << 24), as: UTF8.self)
        try #require(outcome.succeeded, "it did not switch itself off: \(log.suffix(3000))")
        return log
    }

    private func shell(_ line: String) throws {
        let outcome = try ChildProcess.run(["sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin; " + line], milliseconds: 120_000)
        try #require(outcome.succeeded, "\(line): \(outcome.output)")
    }
}
