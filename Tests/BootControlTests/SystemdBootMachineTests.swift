import BootControl
import Platform
import Testing

@Suite("Model and machine: systemd-boot")
struct SystemdBootMachineTests {
    static let loader = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
    static let states: [BootEntry.State] = [
        .off, .plain, .counted(left: 2, done: 0), .counted(left: 1, done: 1), .counted(left: 0, done: 2),
    ]

    /// Each pair of entries with either version above the other: one start of the machine each.
    static let cases: [(BootEntry, BootEntry)] = {
        var cases: [(BootEntry, BootEntry)] = []
        for a in states {
            for b in states where a != .off || b != .off {
                for (first, second) in [(1, 2), (2, 1)] as [(UInt64, UInt64)] {
                    cases.append((BootEntry(.a, a, version: first), BootEntry(.b, b, version: second)))
                }
            }
        }
        return cases
    }()

    /// The "kernel" is a GRUB that prints its slot set and switches the machine off.
    @Test(
        "The real systemd-boot starts and renames what the model does, for every pair of entries",
        .enabled(if: isNightly, "slow: runs with tools/test --nightly"),
        .enabled(
            if: GRUBMachineTests.tools && Tool.exists("grub-mkimage")
                && (try? FileSystem.kind(of: loader)) == .some(.file),
            "needs systemd-boot (apt: systemd-boot-efi), grub-efi-amd64-bin, OVMF, QEMU, mtools"))
    func table() throws {
        let directory = try TemporaryDirectory()
        for set in SlotSet.allCases {
            try Bytes.write(Array("echo KEDGE-SLOT \(set.letter)\nhalt\n".utf8), to: directory("early.cfg"))
            try Tool.run(
                "grub-mkimage", "-O", "x86_64-efi", "-o", directory(set.letter + ".efi"), "-c", directory("early.cfg"),
                "-p", "/", "normal", "echo", "halt", "part_gpt", "fat")
        }
        for (a, b) in Self.cases {
            let disk = try FATDisk(directory("disk"), size: 24 << 20)
            for name in ["EFI", "EFI/BOOT", "loader", "loader/entries"] { try disk.makeDirectory(name) }
            try disk.put(Self.loader, as: "EFI/BOOT/BOOTX64.EFI")
            try disk.put(Repository.file("bootloader/systemd-boot/loader.conf"), as: "loader/loader.conf")
            for entry in [a, b] {
                let text = "title x\nsort-key kedge\nversion \(entry.version)\nefi /\(entry.set.letter).efi\n"
                try Bytes.write(Array(text.utf8), to: directory("entry"))
                try disk.put(directory(entry.set.letter + ".efi"), as: entry.set.letter + ".efi")
                try disk.put(directory("entry"), as: "loader/entries/" + entry.fileName)
            }
            let output = try VirtualMachine(board: .uefi, directory: directory).run(disks: [disk.path], seconds: 120)
            let choice = try #require(SystemdBootModel.choose([a, b]))
            let name = "\(a.fileName) \(b.fileName) \(a.version)"
            #expect(output.contains("KEDGE-SLOT \(choice.start.set.letter)"), "\(name)")
            let other = choice.start.set == .a ? b : a
            let names = try disk.names(in: "loader/entries").sorted()
            #expect(names == [choice.renamed.fileName, other.fileName].sorted(), "\(a.fileName) \(b.fileName)")
            try FileSystem.remove(disk.path)
        }
    }
}
