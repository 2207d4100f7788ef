import BootControl
import Platform
import Testing

@Suite("Model and machine: GRUB")
struct GRUBMachineTests {
    static let tools = Tool.exists("grub-mkimage", "mcopy", "mkfs.vfat", "sfdisk") && VirtualMachine.has(.uefi)

    /// grub.cfg as it is, on every case of the table, in one start of GRUB that boots no kernel.
    @Test(
        "The real grub.cfg chooses and writes what the model does, for every record and every state of its copies",
        .enabled(if: isNightly, "slow: runs with tools/test --nightly"),
        .enabled(if: tools, "needs grub-mkimage (apt: grub-efi-amd64-bin grub-common), OVMF, QEMU, mtools, dosfstools"))
    func table() throws {
        let directory = try TemporaryDirectory()
        let table = try BlockTable(.grub)
        let disk = try FATDisk(directory("disk"), size: FATDisk.raw + (2 << 20))
        try FileSystem.makeDirectories(directory("table"))
        var harness = "serial --unit=0\nterminal_output serial\necho\nset kedge_dry=1\n"
        for (index, item) in table.cases.enumerated() {
            try Bytes.write(item.first, to: directory("table/\(index)a"))
            try Bytes.write(item.second, to: directory("table/\(index)b"))
            harness += "echo CASE \(index)\nset kedge_block_1=$prefix/table/\(index)a\n"
            harness += "set kedge_block_2=$prefix/table/\(index)b\nsource $prefix/kedge.cfg\n"
        }
        try Bytes.write(Array((harness + "echo CASE END\nreboot\n").utf8), to: directory("grub.cfg"))
        try GRUBImage.make(directory)
        for name in ["EFI", "EFI/BOOT", "grub"] { try disk.makeDirectory(name) }
        try disk.put(directory("BOOTX64.EFI"), as: "EFI/BOOT/BOOTX64.EFI")
        try disk.put(directory("grub.cfg"), as: "grub/grub.cfg")
        try disk.put(Repository.file("bootloader/grub/grub.cfg"), as: "grub/kedge.cfg")
        try Tool.run("mcopy", "-s", "-i", "\(disk.path)@@1M", directory("table"), "::/grub/table")
        let output = try VirtualMachine(board: .uefi, directory: directory).run(disks: [disk.path], seconds: 900)
        try Tool.run("mcopy", "-s", "-i", "\(disk.path)@@1M", "::/grub/table", directory("after"))
        var after: [UInt8] = []
        for index in table.cases.indices {
            after += try Bytes.read(directory("after/\(index)a")) + Bytes.read(directory("after/\(index)b"))
        }
        try Bytes.write(after, to: directory("blocks"))
        try table.compare(output, with: directory("blocks"), at: 0, model: directory)
    }
}

/// GRUB for EFI as one file.
enum GRUBImage {
    static func make(_ directory: TemporaryDirectory) throws {
        try Bytes.write(
            Array("search --file --set=root /grub/grub.cfg\nset prefix=($root)/grub\n".utf8), to: directory("early.cfg")
        )
        try Tool.run(
            "grub-mkimage", "-O", "x86_64-efi", "-o", directory("BOOTX64.EFI"), "-c", directory("early.cfg"), "-p",
            "/grub", "part_gpt", "fat", "ext2", "normal", "test", "regexp", "linux", "loadenv", "reboot", "sleep",
            "echo",
            "configfile", "search", "search_fs_file", "serial", "terminal", "halt")
    }
}
