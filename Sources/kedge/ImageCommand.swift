internal import ArgumentParser
internal import FactoryImage
internal import Platform

/// `kedge image`.
struct ImageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "image",
        abstract: "Make the first disk image of a gateway.",
        discussion: """
            The layout is an INI file; partitions stand in its order:
              [disk]
              record = uboot-script        uboot, uboot-bootcount, uboot-script, grub: partitions kedge-env-1 and kedge-env-2;
                                           simulated: partition kedge-record (for systemd-boot and EFI)
              environment = board.env      the board's variables, lines of name=value; uboot and uboot-bootcount
                                           need it, for it takes the place of what U-Boot was built with
              elsewhere = bios             targets of components that are not on this disk
              [partition boot]
              size = 16M
              files = boot                 a FAT file system with the files of this directory
              [partition kernel-a]         NAME-a and NAME-b: slots of the components for NAME
              size = 32M
              [partition data]
              size = 64M
              state = yes                  an ext4 file system for kedged: root.json, and what it knows of the release
              [raw u-boot]                 bytes before the first partition
              path = u-boot.bin
              offset = 32K
            The release's signatures are checked first, its images go to slot set a, and the boot record says so. \
            Nothing is mounted and no privileges are needed. Needs sfdisk, mke2fs, mkfs.vfat and mtools.
            """)

    @Argument(help: "The layout.", completion: .file(extensions: ["ini"]))
    var layout: String
    @Option(help: "The bundle with the release for slot set a.", completion: .file())
    var from: String
    @Option(help: "The root.json that the gateway trusts.", completion: .file(extensions: ["json"]))
    var trust: String
    @Option(name: .shortAndLong, help: "Where to write the image.", completion: .file())
    var output: String

    func run() throws {
        let image = try DiskImage.make(
            layout: DiskLayout(contentsOf: layout), bundle: from, trustRoot: trust, at: output)
        for line in image.lines { StandardStream.output.line(line) }
    }
}
