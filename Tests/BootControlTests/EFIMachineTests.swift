import BootControl
import Platform
import Testing

@Suite("Model and machine: EFI boot options")
struct EFIMachineTests {
    /// Numbers that OVMF gives to no option of its own.
    private static let options: [SlotSet: UInt16] = [.a: 0x00a1, .b: 0x00b2]
    private static let cases: [(next: SlotSet?, order: [SlotSet])] = {
        let orders: [[SlotSet]] = [[.a, .b], [.b, .a], [.a], [.b]]
        return orders.flatMap { order in ([nil, .a, .b] as [SlotSet?]).map { (next: $0, order: order) } }
    }()

    /// The variables are in the firmware's store before it starts, and are read there after each of two starts. Each
    /// slot set is a GRUB that prints its letter and switches the machine off.
    @Test(
        "The real firmware starts what the model says, once by BootNext and then by BootOrder, for every state of both",
        .enabled(if: isNightly, "slow: runs with tools/test --nightly"),
        .enabled(if: GRUBMachineTests.tools, "needs grub-mkimage (apt: grub-efi-amd64-bin), OVMF, QEMU, mtools"))
    func table() throws {
        let directory = try TemporaryDirectory()
        let disk = try FATDisk(directory("disk"), size: 24 << 20)
        try Tool.run("sfdisk", "-q", "--part-uuid", disk.path, "1", BootOption.identifier)
        for set in SlotSet.allCases {
            try Bytes.write(Array("echo KEDGE-SLOT \(set.letter)\nhalt\n".utf8), to: directory("early.cfg"))
            try Tool.run(
                "grub-mkimage", "-O", "x86_64-efi", "-o", directory(set.letter), "-c", directory("early.cfg"), "-p",
                "/", "normal", "echo", "halt", "part_gpt", "fat")
            try disk.put(directory(set.letter), as: "\(set.letter).efi")
        }
        let a = try #require(Self.options[.a])
        let b = try #require(Self.options[.b])
        for (next, order) in Self.cases {
            let name = "BootNext \(next?.letter ?? "-"), BootOrder \(order.map { $0.letter })"
            let machine = VirtualMachine(board: .uefi, directory: directory)
            try Tool.run("cp", VirtualMachine.freshVariables, directory("vars.fd"))
            var variables = try FirmwareVariables(directory("vars.fd"))
            try variables.add("Boot00A1", BootOption.value("\\a.efi"))
            try variables.add("Boot00B2", BootOption.value("\\b.efi"))
            let numbers = order.map { $0 == .a ? a : b }
            try variables.add("BootOrder", numbers.flatMap { FirmwareVariables.littleEndian(UInt64($0), 2) })
            var left = next.map { $0 == .a ? a : b }
            if let left { try variables.add("BootNext", FirmwareVariables.littleEndian(UInt64(left), 2)) }
            for start in 1...2 {
                let choice = try #require(EFIBootHome.choose(next: left, order: numbers, a: a, b: b))
                if choice.consumesNext { left = nil }
                let said = try machine.run(disks: [disk.path], seconds: 180)
                #expect(
                    said.contains("KEDGE-SLOT \(choice.start.letter)")
                        && !said.contains("KEDGE-SLOT \(choice.start.other.letter)"),
                    "\(name), start \(start): \(said.suffix(800))")
                variables = try FirmwareVariables(directory("vars.fd"))
                #expect(variables.numbers("BootNext")?.first == left, "\(name), start \(start)")
                // The firmware adds options of its own behind these.
                #expect(variables.numbers("BootOrder")?.filter { $0 == a || $0 == b } == numbers, "\(name)")
            }
        }
    }

    @Test(
        "Variables in the store are what virt-fw-vars reads there",
        .enabled(if: Tool.exists("virt-fw-vars"), "needs virt-fw-vars (apt: python3-virt-firmware, from Debian 13)"),
        .enabled(if: VirtualMachine.has(.uefi), "needs OVMF (apt: ovmf)"))
    func oracle() throws {
        let directory = try TemporaryDirectory()
        try Tool.run("cp", VirtualMachine.freshVariables, directory("vars.fd"))
        var variables = try FirmwareVariables(directory("vars.fd"))
        try variables.add("Boot00A1", BootOption.value("\\a.efi"))
        try variables.add("BootOrder", [0xa1, 0, 0xb2, 0])
        try variables.add("BootNext", [0xb2, 0])
        let text = try Tool.run("virt-fw-vars", "-i", directory("vars.fd"), "--print", "--verbose")
        #expect(text.contains("BootNext") && text.contains("BootOrder") && text.contains("00b2"), "\(text)")
        #expect(text.contains("Boot00A1") && text.contains("kedge"), "\(text)")
    }
}
