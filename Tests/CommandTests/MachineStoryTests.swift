import Foundation
import Platform
import StrictJSON
import Testing

/// A gateway that is a real machine, as far as QEMU goes: U-Boot or GRUB, Debian's kernel, and the built `kedged` in
/// its root file system, on a disk that `kedge image` made.
@Suite("kedged: on a machine that boots", .serialized)
struct MachineStoryTests {
    /// What starts the kernel.
    enum Loader: String, CaseIterable, Sendable {
        case uboot = "U-Boot"
        case grub = "GRUB"
    }

    private static func has(_ paths: String...) -> Bool {
        paths.allSatisfy { FileManager.default.fileExists(atPath: $0) }
    }
    static let tools =
        has("/usr/bin/qemu-system-x86_64", "/usr/bin/mcopy", "/usr/bin/mkimage", "/bin/busybox", "/usr/bin/cpio")
        && GuestRelease.isThere
    static let lanes: [Loader] = Loader.allCases.filter {
        switch $0 {
        case .uboot: has("/usr/lib/u-boot/qemu-x86/u-boot.rom")
        case .grub:
            ProcessInformation.environment("KEDGE_NIGHTLY") != nil
                && has("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/lib/grub/x86_64-efi/kernel.img")
        }
    }

    /// Attempts in their order, and how each must end.
    static let attempts: [(behaviour: GuestRelease.Behaviour, phase: String, reason: String)] = [
        (.dies, "rolledBack", "boot-failed"), (.noKernel, "rolledBack", "boot-failed"),
        (.hangs, "rolledBack", "boot-failed"), (.unhealthy, "rolledBack", "health-failed"),
        (.good, "confirmed", ""),
    ]

    @Test(
        "Four broken releases end on the old slot set with their reasons, and a good one stays",
        .enabled(if: tools, "needs QEMU, U-Boot, mtools, cpio, busybox-static and tools/guest-kernel"), arguments: lanes
    )
    func story(_ loader: Loader) throws {
        let machine = try GuestMachine(loader)
        let log = try machine.run(seconds: 1500)
        var results: [String: (phase: String, reason: String, running: String)] = [:]
        for line in log.split(whereSeparator: \.isNewline) where line.hasPrefix("STATUS {") {
            let ota = try #require(try JSONValue.parse(String(line.dropFirst(7)), limit: 1 << 20)["ota"])
            guard let attempt = ota["attempt"]?.text else { continue }
            results[attempt] = (
                phase: ota["phase"]?.text ?? "", reason: ota["result"]?["reason"]?.text ?? "",
                running: ota["running"]?["slot"]?.text ?? ""
            )
        }
        for (number, expected) in Self.attempts.enumerated() {
            let result = results["x-\(number)"]
            let set = expected.phase == "confirmed" ? "b" : "a"
            #expect(result?.phase == expected.phase, "\(expected.behaviour): \(log.suffix(3000))")
            #expect(result?.reason == expected.reason, "\(expected.behaviour)")
            #expect(result?.running == set, "\(expected.behaviour)")
        }
        // Each that never reached user space was tried as often as device.ini says, and no more.
        #expect(log.components(separatedBy: "GUEST dies is up").count - 1 == 2)
        #expect(log.components(separatedBy: "GUEST hangs is up").count - 1 == 2)
        #expect(log.components(separatedBy: "GUEST unhealthy is up").count - 1 == 1)
        #expect(log.components(separatedBy: "slot set b cannot be loaded").count - 1 == 2)
        #expect(log.contains("GUEST all attempts are done"))
    }
}

/// The disk, the bundles on a second disk, and the machine.
final class GuestMachine {
    private let directory: CommandDirectory
    private let loader: MachineStoryTests.Loader
    private let kedge: BuiltCommand

    init(_ loader: MachineStoryTests.Loader) throws {
        directory = try CommandDirectory()
        self.loader = loader
        kedge = try BuiltCommand("kedge")
        try run(["keys", "new", "keys", "--environment", "dev"])
        let release = GuestRelease(directory: directory)
        try FileSystem.makeDirectories(directory("media"))
        try release.make("first", .good, device: device)
        try build("first", sequence: 1, to: directory("first.kedge"))
        for (number, attempt) in MachineStoryTests.attempts.enumerated() {
            let name = attempt.behaviour.rawValue
            try release.make(name, attempt.behaviour, device: device)
            try build(name, sequence: number + 2, to: directory("media/x-\(number).kedge"))
        }
        try FileSystem.replace(directory("media/next"), with: Array(next.utf8))
        try release.shell("mke2fs -q -F -t ext4 -m 0 -d '\(directory("media"))' '\(directory("media.img"))' 256M")
        try makeBootFiles(release)
        try FileSystem.replace(directory("layout.ini"), with: Array(layout.utf8))
        try run(["image", "layout.ini", "--from", "first.kedge", "--trust", "keys/root.json", "-o", "disk.img"])
    }

    private var record: String { loader == .grub ? "grub" : "uboot-script" }
    private var place: String { loader == .grub ? "2560 1024" : "0 16384" }

    private var layout: String {
        """
        [disk]
        record = \(record)
        [partition boot]
        size = 16M
        files = boot
        [partition kedge-env-1]
        size = 1M
        [partition kedge-env-2]
        size = 1M
        [partition kernel-a]
        size = 24M
        [partition kernel-b]
        size = 24M
        [partition rootfs-a]
        size = 96M
        [partition rootfs-b]
        size = 96M
        [partition data]
        size = 16M
        state = yes

        """
    }

    private var device: String {
        var text = """
            [device]
            id = machine-1
            vendor = acme
            class = edge-gateway
            hardware = 1
            [trust]
            root = /var/lib/kedge/root.json
            [boot]
            backend = \(record)
            environment1 = /dev/disk/by-partlabel/kedge-env-1 \(place)
            environment2 = /dev/disk/by-partlabel/kedge-env-2 \(place)
            tries = 2
            reboot = /bin/busybox reboot -f
            [health]
            command = /usr/lib/kedge/health

            """
        for slot in ["kernel", "rootfs"] {
            for set in ["a", "b"] {
                text += "[slot \(slot) \(set)]\ntype = block\npath = /dev/disk/by-partlabel/\(slot)-\(set)\n"
            }
        }
        return text
    }

    /// What a machine does that came up and has nothing on trial any more: tells, and installs the next release.
    private var next: String {
        """
        status=$(kedged status --json)
        echo "STATUS $status"
        [ -n "$status" ] || busybox poweroff -f
        last=$(echo "$status" | sed -nE 's/.*"attempt":"x-([0-9])".*/\\1/p')
        if [ -z "$last" ]; then number=0; else number=$((last + 1)); fi
        if [ ! -e /media/x-$number.kedge ]; then
            kedged doctor
            echo "GUEST all attempts are done"
            sync
            busybox poweroff -f
        fi
        kedged install /media/x-$number.kedge --attempt x-$number

        """
    }

    private func build(_ name: String, sequence: Int, to path: String) throws {
        let recipe = """
            [release]
            id = "\(name)"
            version = "\(sequence)"
            sequence = \(sequence)
            security-version = 1
            update = "feature"
            [product]
            vendor = "acme"
            class = "edge-gateway"
            hardware = [1, 1]
            [compression]
            level = 1
            [[component]]
            id = "rootfs"
            kind = "rootfs"
            path = "\(name)-rootfs.img"
            [[component]]
            id = "kernel"
            kind = "kernel"
            path = "\(name)-kernel.img"

            """
        try FileSystem.replace(directory(name + ".toml"), with: Array(recipe.utf8))
        try run(["build", name + ".toml", "-o", path, "--key", "keys/release.key"])
    }

    private func makeBootFiles(_ release: GuestRelease) throws {
        let scripts = Repository.root + "/bootloader/"
        try FileSystem.makeDirectories(directory("boot"))
        switch loader {
        case .uboot:
            try release.shell(
                "mkimage -A x86 -T script -C none -d '\(scripts)uboot/boot.cmd' '\(directory("boot/boot.scr"))'")
            // bootdelay=-2 in a real build: no key stops it.
            try release.shell(
                "sed 's/bootdelay=2/bootdelay=0/' /usr/lib/u-boot/qemu-x86/u-boot.rom > '\(directory("u-boot.rom"))'")
        case .grub:
            try FileSystem.makeDirectories(directory("boot/EFI/BOOT"))
            try FileSystem.makeDirectories(directory("boot/grub"))
            let early = "search --file --set=root /grub/grub.cfg\nset prefix=($root)/grub\n"
            try FileSystem.replace(directory("early.cfg"), with: Array(early.utf8))
            try release.shell(
                """
                cp '\(scripts)grub/grub.cfg' '\(directory("boot/grub/grub.cfg"))'
                grub-mkimage -O x86_64-efi -o '\(directory("boot/EFI/BOOT/BOOTX64.EFI"))' -c '\(directory("early.cfg"))' \
                    -p /grub part_gpt fat ext2 normal test regexp linux loadenv reboot sleep echo configfile search \
                    search_fs_file
                cp /usr/share/OVMF/OVMF_VARS_4M.fd '\(directory("vars.fd"))'
                """)
        }
    }

    /// Runs until the guest switches itself off; what it wrote to its serial port.
    func run(seconds: Int) throws -> String {
        var arguments = ["nice", "-n", "10", "qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-net", "none"]
        arguments += ["-display", "none", "-monitor", "none", "-serial", "file:" + directory("serial.log")]
        switch loader {
        case .uboot: arguments += ["-M", "pc", "-bios", directory("u-boot.rom")]
        case .grub:
            arguments += [
                "-M", "q35", "-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
                "-drive", "if=pflash,format=raw,file=" + directory("vars.fd"),
            ]
        }
        for (disk, more) in [("disk.img", ""), ("media.img", ",readonly=on")] {
            arguments += ["-drive", "file=\(directory(disk)),if=virtio,format=raw,cache=unsafe\(more)"]
        }
        let outcome = try ChildProcess.run(arguments, milliseconds: UInt64(seconds) * 1000)
        let log = String(decoding: try FileSystem.read(directory("serial.log"), limit: 1 << 26), as: UTF8.self)
        try #require(outcome.succeeded, "it did not switch itself off in \(seconds) s: \(log.suffix(3000))")
        return log
    }

    private func run(_ arguments: [String]) throws {
        let outcome = try kedge.run(arguments, in: directory.path)
        try #require(outcome.status == 0, "kedge \(arguments): \(outcome.errors)")
    }
}
