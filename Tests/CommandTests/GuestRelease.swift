import Foundation
import Platform
import Testing

/// A small Linux system with the built `kedged` in it, as a root file system image and a kernel image: what a release
/// for a gateway in QEMU consists of. Debian's kernel and busybox, and no mounting.
struct GuestRelease {
    /// What its init does.
    enum Behaviour: String, CaseIterable {
        case good
        /// init exits, so the kernel panics.
        case dies
        /// There is no kernel in the kernel's slot.
        case noKernel = "no-kernel"
        /// init does nothing, and nobody serves the watchdog.
        case hangs
        /// Everything comes up, and the health check says no.
        case unhealthy
    }

    /// Unpacked by tools/guest-kernel.
    static let kernel = Repository.root + "/.build/guest-kernel"
    static let isThere = FileManager.default.fileExists(atPath: kernel + "/boot")

    /// Where the boot loader finds the kernel.
    enum KernelPlace {
        /// In an ext4 file system of its own, with the initrd beside it.
        case partition
        /// Two files on the EFI system partition: they are images of their own.
        case systemPartition
    }

    let directory: CommandDirectory
    var kernelPlace = KernelPlace.partition

    /// Writes `NAME-rootfs.img` and `NAME-kernel.img`, and `NAME-initrd.img` for the EFI system partition. A release
    /// that is `online` brings libcurl, which its updater loads when it fetches.
    func make(_ name: String, _ behaviour: Behaviour, device: String, online: Bool = false) throws {
        let tree = directory(name + ".tree")
        for path in [
            "bin", "sbin", "boot", "etc/kedge", "proc", "sys", "dev", "run", "tmp", "media", "var/lib/kedge", "usr/bin",
            "usr/lib/kedge", "lib64",
        ] { try FileSystem.makeDirectories(tree + "/" + path) }
        try shell(
            "cp /bin/busybox '\(tree)/bin/' && strip -o '\(tree)/usr/bin/kedged' '\(BuiltCommand("kedged").path)'")
        for applet in ["sh", "mount", "umount", "cat", "echo", "sleep", "mkdir", "sed", "sync", "grep"] {
            try shell("ln -s busybox '\(tree)/bin/\(applet)'")
        }
        // Libraries at the paths that the program names them by.
        let curl = online ? "/usr/lib/x86_64-linux-gnu/libcurl.so.4" : ""
        try shell(
            """
            for f in \(curl); do mkdir -p '\(tree)'/lib/x86_64-linux-gnu && cp -L $f '\(tree)'/lib/x86_64-linux-gnu/; done
            ldd '\(tree)/usr/bin/kedged' \(curl) | sed -nE 's/.* => (\\/[^ ]+) .*/\\1/p; s/^\\s*(\\/[^ ]+) .*/\\1/p' | while read -r f; do
                mkdir -p "\(tree)$(dirname "$f")" && cp -L "$f" "\(tree)$f"
            done
            """)
        try FileSystem.replace(tree + "/etc/version", with: Array(name.utf8))
        try FileSystem.replace(tree + "/etc/kedge/device.ini", with: Array(device.utf8))
        let health = behaviour == .unhealthy ? "echo 'no answer from the field bus'; exit 1" : "exit 0"
        try FileSystem.replace(
            tree + "/usr/lib/kedge/health", with: Array("#!/bin/sh\n\(health)\n".utf8), mode: 0o755)
        try FileSystem.replace(tree + "/sbin/init", with: Array(Self.initText(behaviour).utf8), mode: 0o755)
        try fileSystem(of: tree, name + "-rootfs.img", online ? "64M" : "56M")
        try makeKernel(name, behaviour)
    }

    private static func initText(_ behaviour: Behaviour) -> String {
        let start = "#!/bin/sh\nexport PATH=/sbin:/bin:/usr/bin\necho \"GUEST $(cat /etc/version) is up\"\n"
        switch behaviour {
        case .dies: return start + "exit 1\n"
        case .hangs: return start + "while :; do sleep 1000; done\n"
        default: break
        }
        return start + """
            busybox watchdog -t 2 /dev/watchdog
            mount -t proc p /proc
            mount -t sysfs s /sys
            mount -t tmpfs t /run
            mount -t tmpfs t /tmp
            mount -t ext4 /dev/disk/by-partlabel/data /var/lib/kedge
            mount -t ext4 -o ro /dev/vdb /media
            busybox ifconfig lo up
            [ ! -e /sys/class/net/eth0 ] || busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
            grep -q vfat /proc/filesystems && mount -t vfat /dev/disk/by-partlabel/boot /boot
            kedged run --once
            sync
            sh /media/next
            busybox sleep 5
            busybox reboot -f

            """
    }

    /// An ext4 file system with vmlinuz and initrd.img. The initrd starts the watchdog before it hands over.
    private func makeKernel(_ name: String, _ behaviour: Behaviour) throws {
        let tree = directory(name + ".kernel")
        let ram = directory(name + ".initrd")
        for path in [tree, ram + "/bin", ram + "/m", ram + "/proc", ram + "/sys", ram + "/dev", ram + "/new"] {
            try FileSystem.makeDirectories(path)
        }
        var modules = [
            "drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev",
            "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk",
            "drivers/watchdog/watchdog", "drivers/watchdog/softdog", "net/core/failover", "drivers/net/net_failover",
            "drivers/net/virtio_net",
        ]
        if kernelPlace == .systemPartition {
            modules += ["fs/nls/nls_cp437", "fs/nls/nls_ascii", "fs/nls/nls_utf8", "fs/fat/fat", "fs/fat/vfat"]
        }
        var load = ""
        for module in modules {
            try shell("cp '\(Self.kernel)'/lib/modules/*/kernel/\(module).ko '\(ram)/m/'")
            let file = module.split(separator: "/").last ?? ""
            load += "/bin/busybox insmod /m/\(file).ko\(file == "softdog" ? " soft_margin=15 nowayout=1" : "")\n"
        }
        try shell("cp /bin/busybox '\(ram)/bin/'")
        let text = """
            #!/bin/busybox sh
            B=/bin/busybox
            $B mount -t proc p /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev
            \(load)
            echo 1 > /dev/watchdog
            for word in $($B cat /proc/cmdline); do case $word in root=PARTLABEL=*) label=${word##*=} ;; esac; done
            $B mkdir -p /dev/disk/by-partlabel
            for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
                [ -e /sys/class/block/vda1 ] && break
                $B usleep 100000
            done
            for part in /sys/class/block/vda*; do
                name=$($B sed -n s/PARTNAME=//p $part/uevent)
                [ -z "$name" ] || $B ln -sf ../../${part##*/} /dev/disk/by-partlabel/$name
            done
            $B mount -t ext4 -o ro /dev/disk/by-partlabel/$label /new || $B reboot -f
            $B mount --move /dev /new/dev
            exec $B switch_root /new /sbin/init

            """
        try FileSystem.replace(ram + "/init", with: Array(text.utf8), mode: 0o755)
        let pack = "find . | LC_ALL=C sort | cpio -o -H newc --quiet | gzip -1"
        if kernelPlace == .systemPartition {
            try shell("cd '\(ram)' && \(pack) > '\(directory(name + "-initrd.img"))'")
            let image = directory(name + "-kernel.img")
            if behaviour == .noKernel { return try FileSystem.replace(image, with: [UInt8](repeating: 0, count: 4096)) }
            return try shell("cp '\(Self.kernel)'/boot/vmlinuz-* '\(image)'")
        }
        if behaviour != .noKernel { try shell("cp '\(Self.kernel)'/boot/vmlinuz-* '\(tree)/vmlinuz'") }
        try shell("cd '\(ram)' && \(pack) > '\(tree)/initrd.img'")
        try fileSystem(of: tree, name + "-kernel.img", "24M")
    }

    /// U-Boot reads ext4 without these two features.
    private func fileSystem(of tree: String, _ image: String, _ size: String) throws {
        try shell("mke2fs -q -F -t ext4 -O ^metadata_csum,^64bit -m 0 -d '\(tree)' '\(directory(image))' \(size)")
    }

    func shell(_ line: String) throws {
        let outcome = try ChildProcess.run(["sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin; " + line], milliseconds: 120_000)
        try #require(outcome.succeeded, "\(line): \(outcome.output)")
    }
}

/// The repository's own files.
enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
}
