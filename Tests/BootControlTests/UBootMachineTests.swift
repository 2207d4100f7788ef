import BootControl
import Platform
import Testing

@Suite("Model and machine: U-Boot")
struct UBootMachineTests {
    static let boards: [VirtualMachine.Board] = [.ubootX86, .ubootARM]
    static let tools = Tool.exists("mkimage", "mcopy", "mkfs.vfat", "sfdisk")

    /// boot.cmd as it is, on every case of the table, in one start of U-Boot that boots no kernel.
    @Test(
        "The real boot.cmd chooses and writes what the model does, for every record and every state of its copies",
        .enabled(if: tools, "needs mkimage (apt: u-boot-tools), mtools, dosfstools, fdisk"), arguments: boards)
    func table(_ board: VirtualMachine.Board) throws {
        guard VirtualMachine.has(board), board == .ubootX86 || isNightly else { return }
        let directory = try TemporaryDirectory()
        let table = try BlockTable(.uboot)
        let disk = try FATDisk(directory("disk"), size: FATDisk.raw + table.bytes.count + (2 << 20))
        try Descriptor(open: disk.path, [.write]).write(table.bytes.rawBytes, at: UInt64(FATDisk.raw))
        try script(Repository.file("bootloader/uboot/boot.cmd"), board, directory("kedge.scr"))
        var harness = """
            setenv kedge_dry 1
            setenv kedge_size 0x400
            setenv kedge_sectors 2
            setenv at \(board == .ubootARM ? "0x50000000" : "0x8000000")
            load ${devtype} ${devnum}:${distro_bootpart} ${at} kedge.scr

            """
        for index in table.cases.indices {
            let sectors = (0..<2).map { String((FATDisk.raw + BlockTable.offset(index, $0)) / 512, radix: 16) }
            harness += "echo CASE \(index)\nsetenv kedge_block_1 0x\(sectors[0])\n"
            harness += "setenv kedge_block_2 0x\(sectors[1])\nsource ${at}\n"
        }
        try Bytes.write(Array((harness + "reset\n").utf8), to: directory("boot.cmd"))
        try script(directory("boot.cmd"), board, directory("boot.scr"))
        try disk.put(directory("kedge.scr"), as: "kedge.scr")
        try disk.put(directory("boot.scr"), as: "boot.scr")
        let output = try VirtualMachine(board: board, directory: directory).run(disks: [disk.path], seconds: 240)
        try table.compare(output, with: disk.path, at: FATDisk.raw, model: directory)
    }

    private func script(_ source: String, _ board: VirtualMachine.Board, _ out: String) throws {
        try Tool.run(
            "mkimage", "-A", board == .ubootARM ? "arm64" : "x86", "-T", "script", "-C", "none", "-d", source, out)
    }
}
