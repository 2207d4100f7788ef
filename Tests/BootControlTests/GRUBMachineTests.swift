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
        let disk = try FATDisk(directory("disk"), size: FATDisk.raw + table.bytes.count + (2 << 20))
        try Descriptor(open: disk.path, [.write]).write(table.bytes.rawBytes, at: UInt64(FATDisk.raw))
        var harness = "serial --unit=0\nterminal_output serial\nset kedge_dry=1\n"
        for index in table.cases.indices {
            let sectors = (0..<2).map { (FATDisk.raw + BlockTable.offset(index, $0)) / 512 }
            harness += "echo CASE \(index)\nset kedge_block_1=(hd0)\(sectors[0])+2\nset kedge_block_2=(hd0)\(sectors[1])+2\n"
            harness += "source $prefix/kedge.cfg\n"
        }
        try Bytes.write(Array((harness + "reboot\n").utf8), to: directory("grub.cfg"))
        try GRUBImage.make(directory)
        for name in ["EFI", "EFI/BOOT", "grub"] { try disk.makeDirectory(name) }
        try disk.put(directory("BOOTX64.EFI"), as: "EFI/BOOT/BOOTX64.EFI")
        try disk.put(directory("grub.cfg"), as: "grub/grub.cfg")
        try disk.put(Repository.file("bootloader/grub/grub.cfg"), as: "grub/kedge.cfg")
        let output = try VirtualMachine(board: .uefi, directory: directory).run(disks: [disk.path], seconds: 400)
        try table.compare(output, with: disk.path, at: FATDisk.raw, model: directory)
    }
}

/// GRUB for EFI as one file.
enum GRUBImage {
    static func make(_ directory: TemporaryDirectory) throws {
        try Bytes.write(
            Array("search --file --set=root /grub/grub.cfg\nset prefix=($root)/grub\n".utf8), to: directory("early.cfg"))
        try Tool.run(
            "grub-mkimage", "-O", "x86_64-efi", "-o", directory("BOOTX64.EFI"), "-c", directory("early.cfg"), "-p",
            "/grub", "part_gpt", "fat", "ext2", "normal", "test", "regexp", "linux", "loadenv", "reboot", "sleep", "echo",
            "configfile", "search", "search_fs_file", "serial", "terminal", "halt")
    }
}
