import Foundation
import Platform
import Testing

/// A computer that QEMU emulates without any help of the processor (TCG), always with a limit of wall time: a machine
/// that boots round and round never ends by itself. A reset ends it.
struct VirtualMachine {
    /// What is emulated.
    enum Board: String, CaseIterable, Sendable {
        /// A PC whose firmware is U-Boot.
        case ubootX86 = "U-Boot, x86"
        /// The virt board, U-Boot as its firmware.
        case ubootARM = "U-Boot, arm64"
        /// A PC whose firmware is OVMF, with a variable store of its own.
        case uefi = "OVMF, x86_64"
    }

    let board: Board
    let directory: TemporaryDirectory
    /// Goes on after a reset instead of ending.
    var staysUp = false
    var memory = "512"
    var more: [String] = []

    private static let uboot = "/usr/lib/u-boot"
    private static let ovmf = "/usr/share/OVMF/"
    /// The variable store as OVMF comes.
    static let freshVariables = ovmf + "OVMF_VARS_4M.fd"

    static func has(_ board: Board) -> Bool {
        let files =
            switch board {
            case .ubootX86: ["/usr/bin/qemu-system-x86_64", uboot + "/qemu-x86/u-boot.rom"]
            case .ubootARM: ["/usr/bin/qemu-system-aarch64", uboot + "/qemu_arm64/u-boot.bin"]
            case .uefi: ["/usr/bin/qemu-system-x86_64", ovmf + "OVMF_CODE_4M.fd"]
            }
        return files.allSatisfy { FileManager.default.fileExists(atPath: $0) }
    }

    /// Runs with these disks until the machine resets or powers off, and gives what it wrote to its serial port.
    func run(disks: [String], seconds: Int, sourceLocation: SourceLocation = #_sourceLocation) throws -> String {
        let serial = directory("serial.log")
        try? FileManager.default.removeItem(atPath: serial)
        var arguments = ["nice", "-n", "10"] + (try machine()) + ["-accel", "tcg", "-m", memory, "-net", "none"]
        arguments += ["-display", "none", "-monitor", "none", "-serial", "file:" + serial]
        if !staysUp { arguments.append("-no-reboot") }
        for disk in disks { arguments += ["-drive", "file=\(disk),if=virtio,format=raw,cache=unsafe"] }
        let outcome = try ChildProcess.run(arguments + more, milliseconds: UInt64(seconds) * 1000)
        let text = try String(decoding: Bytes.read(serial), as: UTF8.self)
        try #require(
            outcome.succeeded, "\(board.rawValue) did not end in \(seconds) s: \(outcome.output) \(text.suffix(2000))",
            sourceLocation: sourceLocation)
        return text
    }

    private func machine() throws -> [String] {
        switch board {
        case .ubootX86:
            try impatient(Self.uboot + "/qemu-x86/u-boot.rom", as: "firmware")
            return ["qemu-system-x86_64", "-M", "pc", "-bios", directory("firmware")]
        case .ubootARM:
            try impatient(Self.uboot + "/qemu_arm64/u-boot.bin", as: "firmware")
            try Descriptor(open: directory("firmware"), [.write]).truncate(to: 64 << 20)
            return [
                "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57",
                "-drive", "if=pflash,format=raw,readonly=on,file=" + directory("firmware"),
            ]
        case .uefi:
            if !FileManager.default.fileExists(atPath: directory("vars.fd")) {
                try Bytes.write(Bytes.read(Self.freshVariables), to: directory("vars.fd"))
            }
            return [
                "qemu-system-x86_64", "-M", "q35",
                "-drive", "if=pflash,format=raw,readonly=on,file=\(Self.ovmf)OVMF_CODE_4M.fd",
                "-drive", "if=pflash,format=raw,file=" + directory("vars.fd"),
            ]
        }
    }

    /// U-Boot that does not wait two seconds for a key.
    private func impatient(_ path: String, as name: String) throws {
        var bytes = Data(try Bytes.read(path))
        let patience = Data("bootdelay=2\0".utf8)
        while let range = bytes.range(of: patience) { bytes.replaceSubrange(range, with: Data("bootdelay=0\0".utf8)) }
        try Bytes.write([UInt8](bytes), to: directory(name))
    }
}

/// A disk image with one FAT partition from byte 1 MiB on, made without mounting anything.
struct FATDisk {
    let path: String
    static let partition = 1 << 20
    /// Bytes behind the FAT partition that tests use as they like start here.
    static let raw = 18 << 20

    init(_ path: String, size: Int) throws {
        self.path = path
        try Descriptor(open: path, [.write, .create]).truncate(to: UInt64(size))
        try Tool.run(
            "sh", "-c",
            "printf 'label: gpt\\nstart=2048,size=32768,type=U,bootable,name=boot\\n' | sfdisk -q '\(path)'")
        try Tool.run("mkfs.vfat", "-F", "16", "--offset", "2048", path, "16384")
    }

    func put(_ file: String, as name: String) throws {
        try Tool.run("mcopy", "-o", "-i", "\(path)@@1M", file, "::/" + name)
    }

    func makeDirectory(_ name: String) throws { try Tool.run("mmd", "-i", "\(path)@@1M", "::/" + name) }

    /// Names in a directory.
    func names(in name: String) throws -> [String] {
        try Tool.run("mdir", "-b", "-i", "\(path)@@1M", "::/" + name).split(separator: "\n").map {
            String($0.split(separator: "/").last ?? "")
        }
    }
}

/// The repository's own files.
enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static func file(_ name: String) -> String { root + "/" + name }
}

/// Slow lanes, for `tools/test --nightly`.
let isNightly = ProcessInformation.environment("KEDGE_NIGHTLY") != nil
