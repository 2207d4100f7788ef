import Foundation
import Platform
import StrictJSON
import Testing

/// A gateway that is a real machine, as far as QEMU goes: U-Boot, GRUB or systemd-boot, Debian's kernel, and the built `kedged` in
/// its root file system, on a disk that `kedge image` made.
@Suite("kedged: on a machine that boots", .serialized)
struct MachineStoryTests {
    /// What starts the kernel.
    enum Loader: String, CaseIterable, Sendable {
        case uboot = "U-Boot"
        case grub = "GRUB"
        case systemdBoot = "systemd-boot"

        /// On a PC whose firmware is OVMF.
        var isEFI: Bool { self != .uboot }
        /// What it writes when there is no kernel.
        var noKernel: String {
            self == .systemdBoot ? "Error loading \\kedge\\b\\vmlinuz" : "slot set b cannot be loaded"
        }
    }

    private static func has(_ paths: String...) -> Bool {
        paths.allSatisfy { FileManager.default.fileExists(atPath: $0) }
    }
    static let tools =
        has(
            "/usr/bin/qemu-system-x86_64", "/usr/bin/mcopy", "/usr/bin/mkimage", "/bin/busybox", "/usr/bin/cpio",
            "/usr/sbin/nginx")
        && GuestRelease.isThere
    /// `KEDGE_MACHINE=systemd-boot` runs that one only.
    private static let only = ProcessInformation.environment("KEDGE_MACHINE")
    static let lanes: [Loader] = Loader.allCases.filter {
        if let only, only != $0.rawValue { return false }
        return switch $0 {
        case .uboot: has("/usr/lib/u-boot/qemu-x86/u-boot.rom")
        case .grub:
            ProcessInformation.environment("KEDGE_NIGHTLY") != nil
                && has("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/lib/grub/x86_64-efi/kernel.img")
        case .systemdBoot:
            ProcessInformation.environment("KEDGE_NIGHTLY") != nil
                && has("/usr/share/OVMF/OVMF_CODE_4M.fd", GuestMachine.systemdBoot)
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
        .enabled(if: tools, "needs QEMU, U-Boot, mtools, cpio, busybox-static, nginx and tools/guest-kernel"),
        arguments: lanes
    )
    func story(_ loader: Loader) throws {
        let begun = ContinuousClock.now
        let machine = try GuestMachine(loader)
        let made = ContinuousClock.now
        let log = try machine.run(seconds: loader.isEFI ? 1500 : 600)
        let boots = log.components(separatedBy: "GUEST ").count - 2
        print(
            "MACHINE \(loader.rawValue): \(boots) boots in \(made.duration(to: .now)), made in \(begun.duration(to: made))"
        )
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
        #expect(log.components(separatedBy: loader.noKernel).count - 1 == 2)
        if !loader.isEFI { #expect(machine.fetched() > 1 << 20, "the last release comes over the network") }
        #expect(log.contains("GUEST all attempts are done"))
    }
}

/// The disk, the bundles on a second disk, and the machine.
final class GuestMachine {
    private let directory: CommandDirectory
    private let loader: MachineStoryTests.Loader
    private let kedge: BuiltCommand
    private let server: BundleServer
    static let systemdBoot = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"

    init(_ loader: MachineStoryTests.Loader) throws {
        directory = try CommandDirectory()
        self.loader = loader
        kedge = try BuiltCommand("kedge")
        try FileSystem.makeDirectories(directory("media"))
        try FileSystem.makeDirectories(directory("served"))
        server = try BundleServer(serving: directory("served"))
        try run(["keys", "new", "keys", "--environment", "dev"])
        let place = loader == .systemdBoot ? GuestRelease.KernelPlace.systemPartition : .partition
        let release = GuestRelease(directory: directory, kernelPlace: place)
        try release.make("first", .good, device: device, online: true)
        try build("first", sequence: 1, to: directory("first.kedge"))
        for (number, attempt) in MachineStoryTests.attempts.enumerated() {
            let name = attempt.behaviour.rawValue
            try release.make(name, attempt.behaviour, device: device)
            // The last one is on the server only. OVMF would try to start from a network for minutes.
            let isServed = !loader.isEFI && number + 1 == MachineStoryTests.attempts.count
            let place = isServed ? "served" : "media"
            try build(name, sequence: number + 2, to: directory("\(place)/x-\(number).kedge"))
        }
        try FileSystem.replace(directory("media/next"), with: Array(next.utf8))
        try release.shell("mke2fs -q -F -t ext4 -m 0 -d '\(directory("media"))' '\(directory("media.img"))' 256M")
        try makeBootFiles(release)
        try FileSystem.replace(directory("layout.ini"), with: Array(layout.utf8))
        try run(["image", "layout.ini", "--from", "first.kedge", "--trust", "keys/root.json", "-o", "disk.img"])
    }

    /// Bytes that the guest fetched from the server.
    func fetched() -> UInt64 { (try? server.bytesSent()) ?? 0 }

    private var record: String { loader == .grub ? "grub" : "uboot-script" }
    private var place: String { loader == .grub ? "2560 1024" : "0 16384" }

    private var layout: String {
        var partitions: [(name: String, more: String)] = []
        if loader == .systemdBoot {
            partitions = [("boot", "64M\nfiles = boot"), ("kedge-record", "1M")]
        } else {
            partitions = [("boot", "16M\nfiles = boot"), ("kedge-env-1", "1M"), ("kedge-env-2", "1M")]
            partitions += [("kernel-a", "24M"), ("kernel-b", "24M")]
        }
        partitions += [("rootfs-a", "64M"), ("rootfs-b", "64M"), ("data", "16M\nstate = yes")]
        let disk =
            loader == .systemdBoot
            ? "[disk]\nrecord = simulated\nelsewhere = kernel initrd\n" : "[disk]\nrecord = \(record)\n"
        return disk + partitions.map { "[partition \($0.name)]\nsize = \($0.more)\n" }.joined()
    }

    /// The section `[boot]`.
    private var boot: String {
        let common = "tries = 2\nreboot = /bin/busybox reboot -f\n"
        if loader == .systemdBoot {
            return "backend = systemd-boot\nentries = /boot/loader/entries\n"
                + "record = /dev/disk/by-partlabel/kedge-record\n" + common
        }
        let environments = (1...2).map { "environment\($0) = /dev/disk/by-partlabel/kedge-env-\($0) \(place)\n" }
        return "backend = \(record)\n" + environments.joined() + common
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
            \(boot)
            [health]
            command = /usr/lib/kedge/health

            """
        for set in ["a", "b"] {
            for slot in ["kernel", "initrd"] where loader == .systemdBoot {
                let file = slot == "kernel" ? "vmlinuz" : "initrd.img"
                text += "[slot \(slot) \(set)]\ntype = block\npath = /boot/kedge/\(set)/\(file)\n"
            }
            for slot in ["kernel", "rootfs"] where slot == "rootfs" || loader != .systemdBoot {
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
        if [ $number = \(MachineStoryTests.attempts.count) ]; then
            kedged doctor
            echo "GUEST all attempts are done"
            sync
            busybox umount /boot
            busybox poweroff -f
        fi
        from=/media/x-$number.kedge
        [ -e $from ] || from=http://10.0.2.2:\(server.port)/x-$number.kedge
        kedged install $from --attempt x-$number

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
            + (loader == .systemdBoot
                ? "[[component]]\nid = \"initrd\"\nkind = \"kernel\"\npath = \"\(name)-initrd.img\"\n" : "")
        try FileSystem.replace(directory(name + ".toml"), with: Array(recipe.utf8))
        try run(["build", name + ".toml", "-o", path, "--key", "keys/release.key"])
    }

    /// The kernel's: as little as possible over the serial port, which is slow to emulate.
    /// A kernel that counts on a timer's interrupts in time panics on a machine whose host is busy.
    private static let arguments = "console=ttyS0 rootwait ro panic=1 quiet no_timer_check"

    private func makeBootFiles(_ release: GuestRelease) throws {
        let scripts = Repository.root + "/bootloader/"
        try FileSystem.makeDirectories(directory("boot"))
        switch loader {
        case .uboot:
            try release.shell(
                """
                (echo 'setenv kedge_args "\(Self.arguments)"'; cat '\(scripts)uboot/boot.cmd') > '\(directory("boot.cmd"))'
                mkimage -A x86 -T script -C none -d '\(directory("boot.cmd"))' '\(directory("boot/boot.scr"))'
                """)
            // bootdelay=-2 in a real build: no key stops it.
            try release.shell(
                "sed 's/bootdelay=2/bootdelay=0/' /usr/lib/u-boot/qemu-x86/u-boot.rom > '\(directory("u-boot.rom"))'")
        case .grub:
            try FileSystem.makeDirectories(directory("boot/EFI/BOOT"))
            try FileSystem.makeDirectories(directory("boot/grub"))
            let early =
                "search --file --set=root /grub/grub.cfg\nset prefix=($root)/grub\nset kedge_args=\"\(Self.arguments)\"\n"
            try FileSystem.replace(directory("early.cfg"), with: Array(early.utf8))
            try release.shell(
                """
                cp '\(scripts)grub/grub.cfg' '\(directory("boot/grub/grub.cfg"))'
                grub-mkimage -O x86_64-efi -o '\(directory("boot/EFI/BOOT/BOOTX64.EFI"))' -c '\(directory("early.cfg"))' \
                    -p /grub part_gpt fat ext2 normal test regexp linux loadenv reboot sleep echo configfile search \
                    search_fs_file
                """)
        case .systemdBoot: try makeSystemPartition(scripts, release)
        }
        if loader.isEFI {
            try release.shell("cp /usr/share/OVMF/OVMF_VARS_4M.fd '\(directory("vars.fd"))'")
        }
    }

    /// systemd-boot, its entries, and the files that are slots: those of a hold the first release.
    private func makeSystemPartition(_ scripts: String, _ release: GuestRelease) throws {
        let boot = directory("boot")
        for name in ["EFI/BOOT", "loader/entries", "kedge/a", "kedge/b"] {
            try FileSystem.makeDirectories(boot + "/" + name)
        }
        try release.shell(
            """
            cp '\(Self.systemdBoot)' '\(boot)/EFI/BOOT/BOOTX64.EFI'
            cp '\(scripts)systemd-boot/loader.conf' '\(boot)/loader/'
            cp '\(scripts)systemd-boot/startup.nsh' '\(boot)/'
            for file in kedge-a.conf kedge-b.off; do
                sed 's/^options /&\(Self.arguments) /' '\(scripts)systemd-boot/'$file > '\(boot)/loader/entries/'$file
            done
            cp '\(directory("first-kernel.img"))' '\(boot)/kedge/a/vmlinuz'
            cp '\(directory("first-initrd.img"))' '\(boot)/kedge/a/initrd.img'
            truncate -s 16M '\(boot)/kedge/a/vmlinuz' '\(boot)/kedge/b/vmlinuz'
            truncate -s 8M '\(boot)/kedge/a/initrd.img' '\(boot)/kedge/b/initrd.img'
            """)
    }

    /// Runs until the guest switches itself off; what it wrote to its serial port.
    func run(seconds: Int) throws -> String {
        var arguments = ["nice", "-n", "10", "qemu-system-x86_64", "-accel", "tcg", "-m", "512"]
        arguments +=
            loader.isEFI
            ? ["-net", "none"] : ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
        arguments += ["-display", "none", "-monitor", "none", "-serial", "file:" + directory("serial.log")]
        switch loader {
        case .uboot: arguments += ["-M", "pc", "-bios", directory("u-boot.rom")]
        case .grub, .systemdBoot:
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
